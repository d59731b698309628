//! How fast messages are sent, beside a bare loop of the kernel's call in the same run:
//! `cargo run --release --example syslog_speed [LINES] [PART OF A NAME]`.
//!
//! Each transport has a reader of its own that only counts. Datagram transports are compared with `sendmmsg` of messages
//! made beforehand, of the same size; streams with `write` of 64 KiB of them.

use gantry_driver_log_syslog::Syslog;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// As many records as the engine hands over at once.
const BATCH: u64 = 1024;
const ROUNDS: usize = 3;

fn main() -> Fallible<()> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let wanted = std::env::args().nth(2).unwrap_or_default();
    let dir = std::env::temp_dir().join(format!("syslog-speed-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    for (name, measure) in
        [("udp", udp as fn(u64, &Path) -> Fallible<()>), ("unixgram", unixgram), ("tcp", tcp), ("unix", unix)]
    {
        if name.contains(&wanted) {
            measure(count, &dir)?;
        }
    }
    Ok(std::fs::remove_dir_all(&dir)?)
}

fn udp(count: u64, _: &Path) -> Fallible<()> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let address = server.local_addr()?;
    thread::spawn(move || while server.recv(&mut [0; 2048]).is_ok() {});
    let bare = UdpSocket::bind("127.0.0.1:0")?;
    bare.connect(address)?;
    compare("udp", &format!("udp://{address}"), count / 2, |message, count| datagrams(&bare, message, count))
}

fn unixgram(count: u64, dir: &Path) -> Fallible<()> {
    let path = dir.join("datagrams");
    let server = UnixDatagram::bind(&path)?;
    thread::spawn(move || while server.recv(&mut [0; 2048]).is_ok() {});
    let bare = UnixDatagram::unbound()?;
    bare.connect(&path)?;
    let address = format!("unixgram://{}", path.display());
    compare("unixgram", &address, count / 2, |message, count| datagrams(&bare, message, count))
}

fn tcp(count: u64, _: &Path) -> Fallible<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || listener.incoming().flatten().for_each(drain));
    let mut bare = TcpStream::connect(address)?;
    compare("tcp", &format!("tcp://{address}"), count * 2, |message, count| stream(&mut bare, message, count))
}

fn unix(count: u64, dir: &Path) -> Fallible<()> {
    let path = dir.join("stream");
    let listener = UnixListener::bind(&path)?;
    thread::spawn(move || listener.incoming().flatten().for_each(drain));
    let mut bare = UnixStream::connect(&path)?;
    let address = format!("unix://{}", path.display());
    compare("unix", &address, count * 2, |message, count| stream(&mut bare, message, count))
}

fn drain(mut stream: impl Read + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
}

/// The bare loop and the driver in turn.
fn compare(name: &str, address: &str, count: u64, mut bare: impl FnMut(&[u8], u64) -> Fallible<()>) -> Fallible<()> {
    let line = [b'x'; 100];
    let message = [&b"<30>Feb 29 12:34:56 0123456789ab[12345]: "[..], &line, b"\n"].concat();
    let (mut floor, mut ours) = (0.0f64, [0.0f64; 3]);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        bare(&message, count)?;
        floor = floor.max(count as f64 / begun.elapsed().as_secs_f64());
        for (best, format) in ours.iter_mut().zip(["", "rfc5424", "rfc5424micro"]) {
            *best = best.max(driver(address, format, &line, count)?);
        }
    }
    let shares = ours.map(|rate| format!("{:5.2} M/s ({:3.0} %)", rate / 1e6, rate / floor * 100.0));
    println!("{name:9} bare {:5.2} M/s; driver {}; rfc5424 {}; micro {}", floor / 1e6, shares[0], shares[1], shares[2]);
    Ok(())
}

fn driver(address: &str, format: &str, line: &[u8], count: u64) -> Fallible<f64> {
    let id = "0123456789abcdef".repeat(4);
    let container = LogContainer { id, hostname: "host".into(), ..LogContainer::default() };
    let options = Options::from_pairs([("syslog-address", address), ("syslog-format", format)]);
    let mut sink = Syslog.open(&container, &options, None, Host::null())?.sink;
    let begun = Instant::now();
    for first in (0..count).step_by(BATCH as usize) {
        // The engine stamps what it reads at once with one time; here every record has its own.
        let record = |n: u64| LogRecord::line(1_700_000_000_000_000_000 + n * 1_234, n + 1, Stream::STDOUT, line);
        let batch: Vec<_> = (first..(first + BATCH).min(count)).map(record).collect();
        while let Err(error) = sink.write(&batch) {
            eprintln!("{error}");
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    sink.close()?;
    Ok(rate)
}

fn datagrams(socket: impl AsFd, message: &[u8], count: u64) -> Fallible<()> {
    let parts = [IoSlice::new(message)];
    let mut sent = 0;
    while sent < count {
        let mut nothing: Vec<SendAncillaryBuffer<'_, '_, '_>> = (0..BATCH).map(|_| Default::default()).collect();
        let mut headers: Vec<MMsgHdr<'_>> = nothing.iter_mut().map(|nothing| MMsgHdr::new(&parts, nothing)).collect();
        sent += sendmmsg(&socket, &mut headers, SendFlags::empty())? as u64;
    }
    Ok(())
}

fn stream(stream: &mut impl Write, message: &[u8], count: u64) -> Fallible<()> {
    let chunk = message.repeat(64 * 1024 / message.len());
    for _ in 0..count / (chunk.len() / message.len()) as u64 {
        stream.write_all(&chunk)?;
    }
    Ok(())
}
