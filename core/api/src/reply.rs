//! What is answered.

use crate::body::Body;
use crate::fault::Fault;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A reply, or a refusal.
pub type Outcome = Result<Response<Body>, Fault>;

/// Nothing but a status.
pub fn empty(status: StatusCode) -> Response<Body> {
    with(status, Body::Whole(None), &[])
}

/// `204 No Content`.
pub fn done() -> Outcome {
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A document.
pub fn json(value: &impl Serialize) -> Outcome {
    json_as(StatusCode::OK, value)
}

/// A document under another status.
pub fn json_as(status: StatusCode, value: &impl Serialize) -> Outcome {
    let mut bytes = serde_json::to_vec(value).map_err(|error| Fault::internal(error.to_string()))?;
    bytes.push(b'\n');
    Ok(with(status, Body::Whole(Some(bytes.into())), &[("content-type", "application/json")]))
}

/// A body with headers.
pub fn with(status: StatusCode, body: Body, headers: &[(&'static str, &str)]) -> Response<Body> {
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
