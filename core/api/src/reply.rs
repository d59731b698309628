//! What is answered.

use crate::body::Body;
use crate::fault::Fault;
use crate::route::Gives;
use crate::schema::trim::trim;
use crate::version::{NEWEST, Version};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

/// What a route answers.
pub enum Reply {
    /// A document, still to be brought into the shape of the client's version.
    Document(StatusCode, Value),
    /// The text of a document for the newest version.
    Text(Vec<u8>),
    Ready(Response<Body>),
}

/// A reply, or a refusal.
pub type Outcome = Result<Reply, Fault>;

impl Reply {
    /// As it is sent to a client of a version.
    pub fn into_response(self, gives: &Gives, version: Version) -> Result<Response<Body>, Fault> {
        let (status, mut value) = match self {
            Reply::Ready(response) => return Ok(response),
            Reply::Document(status, value) => (status, value),
            Reply::Text(text) if version == NEWEST => return Ok(document(StatusCode::OK, text)),
            Reply::Text(text) => {
                let value = serde_json::from_slice(&text).map_err(|error| Fault::internal(error.to_string()))?;
                (StatusCode::OK, value)
            }
        };
        match gives {
            Gives::Document(kind) => trim(&mut value, kind, version),
            Gives::Documents(of) => trim(&mut value, &crate::schema::Kind::Object(of), version),
            _ => {}
        }
        let mut bytes = serde_json::to_vec(&value).map_err(|error| Fault::internal(error.to_string()))?;
        bytes.push(b'\n');
        Ok(document(status, bytes))
    }
}

fn document(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    response(status, Body::Whole(Some(bytes.into())), &[("content-type", "application/json")])
}

/// Nothing but a status.
pub fn empty(status: StatusCode) -> Reply {
    with(status, Body::Whole(None), &[])
}

/// `204 No Content`.
pub fn done() -> Outcome {
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A document.
pub fn json(value: impl Into<Value>) -> Outcome {
    json_as(StatusCode::OK, value)
}

/// A document under another status.
pub fn json_as(status: StatusCode, value: impl Into<Value>) -> Outcome {
    Ok(Reply::Document(status, value.into()))
}

/// A body with headers.
pub fn with(status: StatusCode, body: Body, headers: &[(&'static str, &str)]) -> Reply {
    Reply::Ready(response(status, body, headers))
}

fn response(status: StatusCode, body: Body, headers: &[(&'static str, &str)]) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A refusal as it is sent.
pub fn refusal(fault: &Fault) -> Response<Body> {
    let text = serde_json::json!({ "message": fault.message }).to_string() + "\n";
    let mut response = Response::new(Body::Whole(Some(Bytes::from(text))));
    *response.status_mut() = fault.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
