//! Which route a request takes.

use crate::app::App;
use crate::ask::{Ask, Call};
use crate::reply::Outcome;
use crate::schema::{Field, Kind, Type};
use crate::version::OLDEST;
use gantry_engine::Engine;
use hyper::Method;
use percent_encoding::percent_decode_str;
use std::pin::Pin;
use std::sync::Arc;

/// The answer of a route that is not a plain call.
pub type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// How a route answers.
#[derive(Clone, Copy)]
pub enum Handler {
    /// A short call of the engine.
    Quick(fn(&Engine, &Call) -> Outcome),
    /// A call that may take its time: a stop, a removal, a transfer.
    Slow(fn(&Engine, &Call) -> Outcome),
    /// Streams, and what needs the connection.
    Own(fn(Arc<App>, Ask) -> Answer),
}

/// What a route's body holds.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    Nothing,
    Document(&'static Type),
    /// An archive, compressed or not.
    Archive,
}

/// What a route answers when all is well.
#[derive(Clone, Copy, Debug)]
pub enum Gives {
    Nothing,
    /// Plain text.
    Text,
    Document(Kind),
    /// Documents, one after the other, for as long as it takes.
    Documents(&'static Type),
    /// A container's output.
    Lines,
    /// The same, on a connection that is taken over when the client wishes that.
    Output,
    Archive,
    /// A refusal, whatever is asked.
    Refusal,
}

/// What is said about a route in the description of the API.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    pub summary: &'static str,
    /// The first version that has it.
    pub since: u16,
    pub query: &'static [Field],
    pub takes: Takes,
    pub gives: Gives,
    /// The status when all is well.
    pub status: u16,
    /// Gantry's own.
    pub own: bool,
}

impl Doc {
    pub const fn new(summary: &'static str) -> Doc {
        let (takes, gives) = (Takes::Nothing, Gives::Nothing);
        Doc { summary, since: OLDEST.0, query: &[], takes, gives, status: 200, own: false }
    }

    pub const fn own(self) -> Doc {
        Doc { own: true, ..self }
    }

    pub const fn since(self, minor: u16) -> Doc {
        Doc { since: minor, ..self }
    }

    pub const fn asks(self, query: &'static [Field]) -> Doc {
        Doc { query, ..self }
    }

    pub const fn takes(self, of: &'static Type) -> Doc {
        Doc { takes: Takes::Document(of), ..self }
    }

    pub const fn takes_archive(self) -> Doc {
        Doc { takes: Takes::Archive, ..self }
    }

    pub const fn gives(self, gives: Gives) -> Doc {
        Doc { gives, ..self }
    }

    /// One document.
    pub const fn shows(self, of: &'static Type) -> Doc {
        Doc { gives: Gives::Document(Kind::Object(of)), ..self }
    }

    /// A list of documents.
    pub const fn lists(self, of: &'static Type) -> Doc {
        Doc { gives: Gives::Document(Kind::Objects(of)), ..self }
    }

    pub const fn status(self, status: u16) -> Doc {
        Doc { status, ..self }
    }
}

/// One route.
pub struct Route {
    pub method: Method,
    /// Segments; `{}` is any one, `{*}` any number of them.
    pub pattern: &'static str,
    pub handler: Handler,
    pub doc: Doc,
}

impl Route {
    pub const fn new(method: Method, pattern: &'static str, handler: Handler, doc: Doc) -> Route {
        Route { method, pattern, handler, doc }
    }
}

/// How a path fits the routes.
pub enum Found {
    Route(&'static Route, Vec<String>),
    /// The path is one of ours, the method is not.
    Method,
    Nothing,
}

/// Finds the route of a path without version.
pub fn find(routes: &'static [Route], method: &Method, path: &[&str]) -> Found {
    let mut known = false;
    for route in routes {
        let Some(names) = fit(route.pattern, path) else { continue };
        if route.method == *method {
            return Found::Route(route, names);
        }
        known = true;
    }
    if known { Found::Method } else { Found::Nothing }
}

fn fit(pattern: &str, path: &[&str]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path;
    let mut parts = pattern.split('/').skip(1);
    while let Some(part) = parts.next() {
        let (first, others) = rest.split_first()?;
        match part {
            "{}" => names.push(decoded(first)),
            "{*}" => {
                // The rest of a pattern has no more places.
                let after = parts.clone().count();
                let length = rest.len().checked_sub(after).filter(|length| *length > 0)?;
                names.push(rest[..length].iter().map(|segment| decoded(segment)).collect::<Vec<_>>().join("/"));
                rest = &rest[length..];
                continue;
            }
            literal if literal == *first => {}
            _ => return None,
        }
        rest = others;
    }
    (rest.is_empty() && names.iter().all(|name| !name.is_empty())).then_some(names)
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let fits = |pattern, path: &str| fit(pattern, &path.split('/').skip(1).collect::<Vec<_>>());
        assert_eq!(fits("/containers/{}/json", "/containers/a%2Fb/json"), Some(vec!["a/b".into()]));
        assert_eq!(fits("/images/{*}/json", "/images/reg:5000/a/b:1/json"), Some(vec!["reg:5000/a/b:1".into()]));
        assert_eq!(fits("/images/{*}", "/images/a/b"), Some(vec!["a/b".into()]));
        assert_eq!(fits("/info", "/info"), Some(vec![]));
        for (pattern, path) in [
            ("/containers/{}/json", "/containers/json"),
            ("/images/{*}/json", "/images/json"),
            ("/info", "/info/x"),
            ("/containers/{}/json", "/containers//json"),
        ] {
            assert_eq!(fits(pattern, path), None, "{path}");
        }
    }
}
