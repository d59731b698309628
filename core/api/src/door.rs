//! What happens to each request: its version, its route, the headers that every reply has.

use crate::app::App;
use crate::ask::{Ask, Call};
use crate::body::{self, Body};
use crate::fault::Fault;
use crate::query::Query;
use crate::reply;
use crate::route::{self, Found, Handler, Route};
use crate::routes::ROUTES;
use crate::version::{NEWEST, OLDEST, Version};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;

const SERVER: &str = concat!("Gantry/", env!("CARGO_PKG_VERSION"), " (linux)");

/// Answers a request, whatever it is.
pub async fn answer(app: Arc<App>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut response = dispatch(Arc::clone(&app), request).await.unwrap_or_else(|fault| reply::refusal(&fault));
    let headers = response.headers_mut();
    let mut put = |name, value| headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    put("api-version", "1.48");
    put("docker-experimental", "false");
    put("ostype", "linux");
    put("server", SERVER);
    app.worked.notify_one();
    Ok(response)
}

async fn dispatch(app: Arc<App>, mut request: Request<Incoming>) -> Result<Response<Body>, Fault> {
    let path = request.uri().path().to_owned();
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    let version = take_version(&mut segments)?;
    let method = request.method().clone();
    let (route, names) = match wanted(&app, &method, &path, &segments) {
        Ok(found) => found,
        Err(fault) => {
            body::drain(request.into_body()).await;
            return Err(fault);
        }
    };
    let wants_upgrade = request.headers().contains_key("upgrade");
    let upgrade = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let call = Call { version, names, query, headers: parts.headers, body: Bytes::new() };
    let ask = Ask { call, body, upgrade };
    let gives = &route.doc.gives;
    match route.handler {
        Handler::Quick(act) => {
            let call = ask.whole().await?;
            app.quick(move |engine| act(engine, &call)?.into_response(gives, version)).await
        }
        Handler::Slow(act) => {
            let call = ask.whole().await?;
            app.slow(move |engine| act(engine, &call)?.into_response(gives, version)).await
        }
        Handler::Own(act) => act(app, ask).await?.into_response(gives, version),
    }
}

/// The route, and what stands in its places.
fn wanted(app: &App, method: &Method, path: &str, segments: &[&str]) -> Result<(&'static Route, Vec<String>), Fault> {
    match route::find(ROUTES, method, segments) {
        Found::Route(..) if app.read_only && !matches!(*method, Method::GET | Method::HEAD) => Err(Fault::read_only()),
        Found::Route(route, names) => Ok((route, names)),
        Found::Method => Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed for {path}"))),
        Found::Nothing => Err(Fault::missing("page not found")),
    }
}

/// Takes a version from the front of a path; without it, the newest is meant.
fn take_version(segments: &mut Vec<&str>) -> Result<Version, Fault> {
    let Some(first) = segments.first() else { return Ok(NEWEST) };
    let Some(version) = Version::parse(first) else { return Ok(NEWEST) };
    let said = first.trim_start_matches('v');
    if version > NEWEST {
        return Err(Fault::bad(format!("client version {said} is too new. Maximum supported API version is {NEWEST}")));
    }
    if version < OLDEST {
        return Err(Fault::bad(format!(
            "client version {said} is too old. Minimum supported API version is {OLDEST}, please upgrade your \
             client to a newer version"
        )));
    }
    segments.remove(0);
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_off() {
        let take = |path: &'static str| {
            let mut segments: Vec<&str> = path.split('/').skip(1).collect();
            take_version(&mut segments).map(|version| (version, segments.join("/")))
        };
        assert_eq!(take("/v1.41/info"), Ok((Version(41), "info".into())));
        assert_eq!(take("/info"), Ok((NEWEST, "info".into())));
        assert!(take("/v1.99/info").is_err_and(|fault| fault.message.contains("too new")));
        assert!(take("/v9.9/info").is_err_and(|fault| fault.message.contains("client version 9.9 is too new")));
        assert!(take("/v1/info").is_err_and(|fault| fault.message.contains("client version 1 is too old")));
        assert!(take("/v1.12/info").is_err_and(|fault| fault.message.contains("too old")));
    }
}
