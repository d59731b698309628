//! Files of containers as archives: `export`, and `cp` in both directions.

use crate::app::App;
use crate::ask::{Ask, Call};
use crate::body::{Body, Input, Out};
use crate::fault::Fault;
use crate::reply::{Outcome, empty, with};
use crate::route::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_engine::Engine;
use gantry_engine::container::PathStat;
use gantry_engine::request::CopyRequest;
use hyper::StatusCode;
use serde_json::json;
use std::sync::Arc;

const STAT: &str = "x-docker-container-path-stat";
const TAR: (&str, &str) = ("content-type", "application/x-tar");

/// An archive that breaks off is the only way to tell the client.
fn late(_: &mut Out, fault: &Fault) {
    tracing::warn!("an archive ended early: {fault}");
}

/// `GET /containers/{}/export`.
pub fn export(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let name = ask.call.name().to_owned();
        let headers = [("content-type", "application/octet-stream")];
        app.stream(&headers, move |engine, out| Ok(engine.export(&name, out)?), late).await
    })
}

fn path(call: &Call) -> Result<String, Fault> {
    call.query.text("path").map(str::to_owned).ok_or_else(|| Fault::bad("missing \"path\" in query"))
}

/// `HEAD /containers/{}/archive`.
pub fn head(engine: &Engine, call: &Call) -> Outcome {
    let stat = engine.path_stat(call.name(), &path(call)?)?;
    Ok(with(StatusCode::OK, Body::Whole(None), &[TAR, (STAT, &header(&stat))]))
}

/// `GET /containers/{}/archive`.
pub fn get(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (name, path) = (ask.call.name().to_owned(), path(&ask.call)?);
        let (of, at) = (name.clone(), path.clone());
        let stat = app.slow(move |engine| Ok(engine.path_stat(&of, &at)?)).await?;
        let request = CopyRequest { archive: true, follow: false };
        let work = move |engine: &Engine, out: &mut Out| Ok(engine.copy_to_stream(&name, &path, &request, out)?);
        app.stream(&[TAR, (STAT, &header(&stat))], work, late).await
    })
}

/// `PUT /containers/{}/archive`.
pub fn put(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (name, path) = match path(&ask.call) {
            Ok(path) => (ask.call.name().to_owned(), path),
            Err(fault) => return ask.refused(fault).await,
        };
        let input = Input::new(ask.body);
        app.slow(move |engine| Ok(engine.copy_from_stream(input, &name, &path)?)).await?;
        Ok(empty(StatusCode::OK))
    })
}

fn header(stat: &PathStat) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(stat.modified_ns)).unwrap_or_default();
    let document = json!({
        "name": stat.name,
        "size": stat.size,
        "mode": go_mode(stat.mode),
        "mtime": time.to_string(),
        "linkTarget": stat.link_target,
    });
    STANDARD.encode(document.to_string())
}

/// Go has bits of its own for everything but the permissions.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        0o020_000 => (1 << 26) | (1 << 21),
        _ => 0,
    };
    let special = [(0o4000, 23), (0o2000, 22), (0o1000, 20)];
    let bits = special.into_iter().filter(|(bit, _)| mode & bit != 0).fold(0, |bits, (_, at)| bits | (1 << at));
    kind | bits | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::go_mode;

    #[test]
    fn modes() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), (1 << 31) | (1 << 20) | 0o777);
        assert_eq!(go_mode(0o104_755), (1 << 23) | 0o755);
        assert_eq!(go_mode(0o120_777), (1 << 27) | 0o777);
    }
}
