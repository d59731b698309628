//! `metrics`: once to stdout, or over HTTP to whoever asks.

use super::{Command, Context, Outcome, failed};
use crate::args::watching::{METRICS, METRICS_FLAGS, MetricsArgs};
use crate::out;
use crate::out::failure::Failure;
use gantry_engine::Engine;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// The longest request that is read.
const LONGEST: usize = 8 * 1024;
/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(2);

pub static COMMAND: Command<MetricsArgs> = Command { info: METRICS, flags: &[METRICS_FLAGS], run };

fn run(context: &Context, args: MetricsArgs, _: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let Some(address) = args.address else {
        return out::print(&engine.metrics().map_err(failed)?).map(|()| 0);
    };
    let cannot = |error: io::Error| Failure::error(format!("cannot listen at {address}: {error}"));
    let listener = TcpListener::bind(&address).map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    out::note(&format!("metrics are served at http://{bound}/metrics"));
    for client in listener.incoming().flatten() {
        // One that asks badly or goes away is its own problem.
        let _ = serve(&engine, client);
    }
    Ok(0)
}

fn serve(engine: &Engine, mut client: TcpStream) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let (status, kind, body) = match asked(&mut client)?.as_deref() {
        Some("/metrics") => match engine.metrics() {
            Ok(text) => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text),
            Err(error) => ("500 Internal Server Error", "text/plain; charset=utf-8", format!("{error}\n")),
        },
        Some(_) => ("404 Not Found", "text/plain; charset=utf-8", "look at /metrics\n".to_owned()),
        None => ("400 Bad Request", "text/plain; charset=utf-8", "only GET is understood\n".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// The path of a GET; the rest of the request is read and left alone.
fn asked(client: &mut TcpStream) -> io::Result<Option<String>> {
    let until = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < LONGEST {
        let left = until.saturating_duration_since(Instant::now());
        client.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match client.read(&mut buffer)? {
            0 => break,
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(path(&String::from_utf8_lossy(&request)))
}

fn path(request: &str) -> Option<String> {
    let mut words = request.lines().next()?.split(' ');
    let target = words.next().filter(|method| *method == "GET").and(words.next())?;
    Some(target.split('?').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn requests() {
        assert_eq!(path("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").as_deref(), Some("/metrics"));
        assert_eq!(path("POST /metrics HTTP/1.1\r\n\r\n"), None);
        assert_eq!(path(""), None);
    }
}
