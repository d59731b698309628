//! One request and its answer: redirects are followed by hand, so that no credentials go where they do not belong.

use std::io::Read;

use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use ureq::http::{HeaderMap, Method, Request as HttpRequest, Uri};
use ureq::{Agent, Body, SendBody};

use crate::error::{BoxError, Error, Result, is_passing};

/// How often one request may be redirected.
const HOPS: usize = 10;
/// Bytes of an error's text that we read.
const ERROR_BYTES: u64 = 64 << 10;

/// What is sent along.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// Opened anew for each try; so many bytes.
    Stream(&'a dyn Fn() -> std::io::Result<Box<dyn Read + 'a>>, u64),
}

/// A request, which may be sent several times.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload<'a>,
    /// Rights that a token must give.
    pub(crate) scopes: Vec<String>,
    /// For errors: `fetch the manifest of x`.
    pub(crate) act: String,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, url: impl Into<String>, act: impl Into<String>) -> Self {
        let (url, act) = (url.into(), act.into());
        Self { method, url, headers: Vec::new(), payload: Payload::Nothing, scopes: Vec::new(), act }
    }

    pub(crate) fn get(url: impl Into<String>, act: impl Into<String>) -> Self {
        Self::new(Method::GET, url, act)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }

    pub(crate) fn scopes(mut self, scopes: &[String]) -> Self {
        self.scopes = scopes.to_vec();
        self
    }
}

/// An answer whose body is not yet read.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Where it came from in the end.
    pub(crate) url: String,
    pub(crate) body: Body,
    pub(crate) host: String,
    act: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reads a small body whole.
    pub(crate) fn read(self, what: &str, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let lost = |source: std::io::Error| Error::Lost { host: self.host.clone(), source: source.into() };
        self.body.into_reader().take(limit + 1).read_to_end(&mut bytes).map_err(lost)?;
        match bytes.len() as u64 > limit {
            true => Err(Error::Limit { what: what.to_owned(), limit }),
            false => Ok(bytes),
        }
    }

    /// The answer if its status is one of those, else the refusal in the registry's words.
    pub(crate) fn expect(self, statuses: &[u16]) -> Result<Self> {
        if statuses.contains(&self.status) { Ok(self) } else { Err(self.refusal()) }
    }

    /// What the registry says is wrong.
    pub(crate) fn refusal(self) -> Error {
        let (status, host, act) = (self.status, self.host.clone(), self.act.clone());
        let text = self.read("an error", ERROR_BYTES).unwrap_or_default();
        let message = message(&text).unwrap_or_else(|| reason(status).to_owned());
        match status {
            401 => Error::Unauthorized { host, message },
            403 => Error::Denied { host, message },
            404 => Error::NotFound { what: act, message },
            _ => Error::Refused { host, act, status, message },
        }
    }

    /// How long the registry asks us to wait.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        is_passing(self.status).then(|| self.header("retry-after")?.trim().parse().ok()).flatten()
    }
}

#[derive(serde::Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Entry>,
    details: Option<String>,
}

#[derive(serde::Deserialize)]
struct Entry {
    #[serde(default)]
    message: String,
    #[serde(default)]
    code: String,
}

/// `code: message` of the protocol's error, made harmless for a terminal.
fn message(body: &[u8]) -> Option<String> {
    let parsed: Errors = serde_json::from_slice(body).ok()?;
    let text = match parsed.errors.first() {
        Some(entry) if entry.message.is_empty() => entry.code.to_lowercase(),
        Some(entry) => entry.message.clone(),
        None => parsed.details?,
    };
    let clean: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
    (!clean.is_empty()).then_some(clean)
}

fn reason(status: u16) -> &'static str {
    match status {
        401 => "authentication required",
        403 => "requested access to the resource is denied",
        404 => "not known to the registry",
        429 => "too many requests",
        _ => "it gives no reason",
    }
}

/// Sends a request with the given authorization, which only its own origin sees.
pub(crate) fn send(agent: &Agent, request: &Request<'_>, host: &str, auth: Option<&str>) -> Result<Answer> {
    let mut url = request.url.clone();
    let origin = origin(&url);
    for _ in 0..HOPS {
        let allowed = auth.filter(|_| self::origin(&url) == origin);
        let response = once(agent, request, &url, allowed).map_err(|error| broken(host, error))?;
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        let target = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let follow =
            matches!(status, 301 | 302 | 303 | 307 | 308) && matches!(request.method, Method::GET | Method::HEAD);
        match target.filter(|_| follow) {
            Some(target) => url = redirected(&url, target)?,
            None => {
                let (host, act) = (host.to_owned(), request.act.clone());
                return Ok(Answer { status, headers: parts.headers, url, body, host, act });
            }
        }
    }
    Err(Error::Redirect { url: request.url.clone(), reason: "it goes on and on" })
}

fn once(
    agent: &Agent,
    request: &Request<'_>,
    url: &str,
    auth: Option<&str>,
) -> Result<ureq::http::Response<Body>, ureq::Error> {
    let mut builder = HttpRequest::builder().method(request.method.clone()).uri(url);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    if let Some(auth) = auth {
        builder = builder.header(AUTHORIZATION, auth);
    }
    match request.payload {
        Payload::Nothing => agent.run(builder.body(())?),
        Payload::Bytes(bytes) => agent.run(builder.body(bytes)?),
        Payload::Stream(open, len) => {
            let mut reader = open()?;
            agent.run(builder.header(CONTENT_LENGTH, len).body(SendBody::from_reader(&mut reader))?)
        }
    }
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_ascii_lowercase()))
}

/// Where a redirection leads; never from an encrypted place to a plain one.
pub(crate) fn redirected(from: &str, target: &str) -> Result<String> {
    let fault = |reason| Error::Redirect { url: from.to_owned(), reason };
    let (scheme, authority) = origin(from).ok_or_else(|| fault("it has no address"))?;
    let url = match target {
        full if full.starts_with("https://") || full.starts_with("http://") => full.to_owned(),
        same if same.starts_with("//") => format!("{scheme}:{same}"),
        path if path.starts_with('/') => format!("{scheme}://{authority}{path}"),
        other => {
            let base = from.split(['?', '#']).next().unwrap_or(from);
            let dir = base.rsplit_once('/').map_or(base, |(dir, _)| dir);
            format!("{dir}/{other}")
        }
    };
    match self::origin(&url) {
        None => Err(fault("its target is no address")),
        Some((new, _)) if scheme == "https" && new == "http" => Err(fault("its target is not encrypted")),
        Some(_) => Ok(url),
    }
}

/// Sorts the failures of a connection.
fn broken(host: &str, error: ureq::Error) -> Error {
    use std::io::ErrorKind as K;
    let host = host.to_owned();
    let kind = match &error {
        ureq::Error::Io(io) => Some(io.kind()),
        _ => None,
    };
    match (&error, kind) {
        (ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_), _) => {
            Error::Trust { host, source: Box::new(error) }
        }
        (ureq::Error::Io(io), _) if is_tls(io) => Error::Trust { host, source: Box::new(error) },
        (ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_), _)
        | (ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve), _) => {
            Error::Connect { host, source: plain(error) }
        }
        (ureq::Error::Io(io), _) if io.to_string().starts_with("failed to lookup address") => {
            Error::Connect { host, source: plain(error) }
        }
        (_, Some(K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::AddrNotAvailable)) => {
            Error::Connect { host, source: plain(error) }
        }
        (ureq::Error::BadUri(_) | ureq::Error::Http(_), _) => Error::Answer { host, reason: error.to_string() },
        _ => Error::Lost { host, source: plain(error) },
    }
}

fn is_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// The system's words without the client's.
fn plain(error: ureq::Error) -> BoxError {
    match error {
        ureq::Error::Io(io) => io.into(),
        other => Box::new(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections() {
        let to = |target| redirected("https://a.test:5000/v2/x/blobs/y?z=1", target).ok();
        assert_eq!(to("https://b.test/c").as_deref(), Some("https://b.test/c"));
        assert_eq!(to("/c?d").as_deref(), Some("https://a.test:5000/c?d"));
        assert_eq!(to("//b.test/c").as_deref(), Some("https://b.test/c"));
        assert_eq!(to("c").as_deref(), Some("https://a.test:5000/v2/x/blobs/c"));
        assert_eq!(to("http://b.test/c"), None);
        assert_eq!(redirected("http://a/x", "http://b/c").ok().as_deref(), Some("http://b/c"));
    }

    #[test]
    fn words_of_registries() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest \u001bunknown","detail":{"a":1}}]}"#;
        assert_eq!(message(body).as_deref(), Some("manifest unknown"));
        assert_eq!(message(br#"{"errors":[{"code":"DENIED"}]}"#).as_deref(), Some("denied"));
        assert_eq!(
            message(br#"{"details":"incorrect username or password"}"#).as_deref(),
            Some("incorrect username or password")
        );
        assert_eq!(message(b"<html>"), None);
    }
}
