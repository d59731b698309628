//! A server of the Forward protocol: takes messages in all three modes, tells their events, acknowledges chunks.

use rmpv::Value;
use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// As long as a busy machine may need.
pub const LONG: Duration = Duration::from_secs(20);

/// One record as it came.
#[derive(Clone, Debug)]
pub struct Event {
    /// By which connection, counted from 0.
    pub connection: usize,
    pub tag: String,
    pub time_ns: u64,
    pub record: Value,
}

impl Event {
    pub fn log(&self) -> &str {
        self.record["log"].as_str().expect("a line that is text")
    }
}

/// What is wrong with the server.
#[derive(Clone, Copy, Default)]
pub struct Behaviour {
    /// Each so-and-so-many-th message is thrown away, unanswered; 0: none.
    pub forgets_each: usize,
    /// Ends a connection after so many messages; 0: never.
    pub ends_after: usize,
    /// Acknowledges what nobody sent.
    pub lies: bool,
}

pub struct Server {
    events: Receiver<Event>,
}

impl Server {
    pub fn tcp(listener: TcpListener, behaviour: Behaviour) -> Server {
        Server::new(behaviour, move || listener.accept().map(|(stream, _)| stream))
    }

    pub fn unix(listener: UnixListener, behaviour: Behaviour) -> Server {
        Server::new(behaviour, move || listener.accept().map(|(stream, _)| stream))
    }

    /// One connection after another.
    pub fn new<S: Read + Write>(
        behaviour: Behaviour,
        accept: impl Fn() -> std::io::Result<S> + Send + 'static,
    ) -> Server {
        let (tell, events) = channel();
        thread::spawn(move || {
            let mut messages = 0;
            for connection in 0.. {
                let Ok(stream) = accept() else { return };
                serve(stream, connection, &behaviour, &mut messages, &tell);
            }
        });
        Server { events }
    }

    /// The next events.
    pub fn take(&self, count: usize) -> Vec<Event> {
        let next = |n| self.events.recv_timeout(LONG).unwrap_or_else(|_| panic!("{n} of {count} events came"));
        (0..count).map(next).collect()
    }
}

fn serve<S: Read + Write>(
    stream: S,
    connection: usize,
    behaviour: &Behaviour,
    messages: &mut usize,
    tell: &Sender<Event>,
) {
    let mut stream = BufReader::new(stream);
    let mut served = 0;
    while let Ok(message) = rmpv::decode::read_value(&mut stream) {
        *messages += 1;
        served += 1;
        if behaviour.forgets_each > 0 && messages.is_multiple_of(behaviour.forgets_each) {
            continue;
        }
        let (events, options) = understood(&message, connection);
        if let Some(size) = options["size"].as_u64() {
            assert_eq!(size as usize, events.len(), "the size that the message tells");
        }
        events.into_iter().for_each(|event| drop(tell.send(event)));
        if let Some(chunk) = options["chunk"].as_str() {
            let chunk = if behaviour.lies { "another" } else { chunk };
            let answer = Value::Map(vec![(Value::from("ack"), Value::from(chunk))]);
            let mut bytes = Vec::new();
            rmpv::encode::write_value(&mut bytes, &answer).expect("a vector grows");
            // In two pieces, as a network may cut it.
            let (first, second) = bytes.split_at(3);
            let _ = stream.get_mut().write_all(first).and_then(|()| stream.get_mut().flush());
            let _ = stream.get_mut().write_all(second).and_then(|()| stream.get_mut().flush());
        }
        if behaviour.ends_after > 0 && served >= behaviour.ends_after {
            return;
        }
    }
}

/// Message, Forward and PackedForward mode.
fn understood(message: &Value, connection: usize) -> (Vec<Event>, Value) {
    let tag = message[0].as_str().expect("a tag").to_owned();
    let event = |time: &Value, record: &Value| Event {
        connection,
        tag: tag.clone(),
        time_ns: nanoseconds(time),
        record: record.clone(),
    };
    match &message[1] {
        Value::Array(entries) => {
            (entries.iter().map(|entry| event(&entry[0], &entry[1])).collect(), message[2].clone())
        }
        Value::Binary(packed) => {
            let (mut rest, mut events) = (&packed[..], Vec::new());
            while !rest.is_empty() {
                let entry = rmpv::decode::read_value(&mut rest).expect("an entry");
                events.push(event(&entry[0], &entry[1]));
            }
            (events, message[2].clone())
        }
        time => (vec![event(time, &message[2])], message[3].clone()),
    }
}

fn nanoseconds(time: &Value) -> u64 {
    match time {
        Value::Ext(0, bytes) => {
            let part = |at: usize| u64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")));
            part(0) * 1_000_000_000 + part(4)
        }
        seconds => seconds.as_u64().expect("seconds") * 1_000_000_000,
    }
}
