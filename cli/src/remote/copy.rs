//! `cp` with containers of an engine elsewhere.

use super::{failed, on};
use crate::args::transfer::{COPY, COPY_FLAGS, CopyArgs};
use crate::cmd::transfer::{Side, copied, side};
use crate::cmd::{Command, Context, Outcome};
use crate::out::failure::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_client::{Client, Reply, Sent, segment};
use gantry_engine::container::{Incoming, Outgoing, receive};
use gantry_engine::request::CopyRequest;
use serde_json::Value;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

pub static COMMAND: Command<CopyArgs> = Command { info: COPY, flags: &[COPY_FLAGS], run };

const STAT: &str = "x-docker-container-path-stat";
/// Go's bits for a directory and a symbolic link.
const DIR: u64 = 1 << 31;
const LINK: u64 = 1 << 27;
/// Links that may follow one another.
const HOPS: usize = 40;

/// What the engine says of a path.
struct Stat(Value);

impl Stat {
    fn is(&self, kind: u64) -> bool {
        self.0["mode"].as_u64().is_some_and(|mode| mode & kind != 0)
    }
}

/// One container of an engine elsewhere.
struct Far<'a> {
    client: &'a Client,
    name: &'a str,
}

fn run(context: &Context, args: CopyArgs, sides: Vec<String>) -> Outcome {
    let request = CopyRequest { archive: args.archive, follow: args.follow };
    let client = context.client()?;
    let far = |name| Far { client, name };
    let bytes = match (side(&sides[0]), side(&sides[1])) {
        (Side::Container(name, source), Side::Host(target)) => far(name).fetch(source, target, &request)?,
        (Side::Host(source), Side::Container(name, target)) => far(name).send(source, target, &request)?,
        (Side::Container(name, source), Side::Stream) => return far(name).print(source, &request).map(|()| 0),
        (Side::Stream, Side::Container(name, target)) => {
            return far(name).put(target, &mut io::stdin()).map(|()| 0);
        }
        (Side::Container(..), Side::Container(..)) => {
            return Err(Failure::error("copying between containers is not supported"));
        }
        _ => return Err(Failure::error("must specify at least one container source")),
    };
    copied(bytes, &sides[1], &args)
}

impl Far<'_> {
    fn path(&self) -> String {
        format!("/containers/{}/archive", segment(self.name))
    }

    /// What a path is; `None`: nothing.
    fn look(&self, path: &str) -> Result<Option<Stat>, Failure> {
        match self.client.stream("HEAD", &self.path(), &[("path", path.to_owned())], Sent::Nothing) {
            Ok(reply) => stat(reply.header(STAT)).map(Some),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Where a path leads, through links.
    fn resolve(&self, path: &str) -> Result<(String, Option<Stat>), Failure> {
        let mut path = path.to_owned();
        for _ in 0..HOPS {
            let found = self.look(&path)?;
            let Some(link) = found.as_ref().filter(|stat| stat.is(LINK)) else { return Ok((path, found)) };
            let target = link.0["linkTarget"].as_str().unwrap_or_default();
            let parent = Path::new(&path).parent().unwrap_or(Path::new("/"));
            path = parent.join(target).to_string_lossy().into_owned();
        }
        Err(Failure::error(format!("{path}: too many levels of symbolic links")))
    }

    fn open(&self, source: &str, follow: bool) -> Result<Reply, Failure> {
        let source = if follow { self.resolve(source)?.0 } else { source.to_owned() };
        self.client.stream("GET", &self.path(), &[("path", source)], Sent::Nothing).map_err(failed)
    }

    fn fetch(&self, source: &str, target: &str, request: &CopyRequest) -> Result<u64, Failure> {
        let reply = self.open(source, request.follow)?;
        let stat = stat(reply.header(STAT))?;
        let is_content = source.ends_with("/.") || matches!(source, "." | "/");
        let came = Incoming { is_dir: stat.is(DIR), is_content };
        receive(reply, &came, target, request).map_err(|error| Failure::engine(&error))
    }

    fn print(&self, source: &str, request: &CopyRequest) -> Result<(), Failure> {
        if io::stdout().is_terminal() {
            return Err(Failure::error("refusing to write an archive to a terminal"));
        }
        let mut reply = self.open(source, request.follow)?;
        let mut stdout = io::stdout();
        let copied = io::copy(&mut reply, &mut stdout).and_then(|_| stdout.flush());
        copied.map_err(|error| Failure::error(format!("the archive broke off: {error}")))
    }

    fn put(&self, target: &str, archive: &mut dyn Read) -> Result<(), Failure> {
        let query = [("path", target.to_owned()), on("noOverwriteDirNonDir", true)];
        match self.client.stream("PUT", &self.path(), &query, Sent::Stream(archive)) {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn send(&self, source: &str, target: &str, request: &CopyRequest) -> Result<u64, Failure> {
        let outgoing = Outgoing::find(source, request.follow).map_err(|error| Failure::engine(&error))?;
        let (dir, name) = self.place(target, &outgoing)?;
        let (reader, writer) = io::pipe().map_err(|error| Failure::error(format!("cannot make a pipe: {error}")))?;
        let mut counted = Counted { reader, count: 0 };
        std::thread::scope(|scope| {
            let written = scope.spawn(|| outgoing.write(&name, request, writer));
            let put = self.put(&dir, &mut counted);
            let count = counted.count;
            // Who still writes to an engine that refused is told by the end of the pipe.
            drop(counted);
            let written = written.join().unwrap_or_else(|_| Err(gantry_engine::Error::invalid("a thread panicked")));
            put?;
            written.map_err(|error| Failure::engine(&error))?;
            Ok(count)
        })
    }

    /// The directory and the name in it.
    fn place(&self, target: &str, outgoing: &Outgoing) -> Result<(String, Vec<u8>), Failure> {
        let missing = || Failure::error(format!("Could not find the file {target} in container {}", self.name));
        let (path, found) = self.resolve(target)?;
        match found {
            Some(stat) if stat.is(DIR) => return Ok((path, outgoing.name().to_vec())),
            Some(_) if outgoing.is_dir() => return Err(Failure::error("cannot copy directory")),
            None if target.ends_with('/') && !outgoing.is_dir() => return Err(missing()),
            _ => {}
        }
        let path = PathBuf::from("/").join(path);
        let name = path.file_name().ok_or_else(missing)?.as_encoded_bytes().to_vec();
        Ok((path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned(), name))
    }
}

struct Counted {
    reader: io::PipeReader,
    count: u64,
}

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(bytes)?;
        self.count += count as u64;
        Ok(count)
    }
}

fn stat(header: Option<&str>) -> Result<Stat, Failure> {
    let bytes = header.and_then(|text| STANDARD.decode(text).ok());
    let value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.map(Stat).ok_or_else(|| Failure::error("the engine does not say what the file is"))
}
