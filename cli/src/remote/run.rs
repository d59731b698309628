//! `run`, `create`, `start`, `attach` by an engine elsewhere. The request is the very one the engine here would get;
//! paths in it are the other machine's.

use super::containers::is_tty;
use super::follow::Streams;
use super::transfer::fetch;
use super::{failed, on, start_code};
use crate::args::attach::{ATTACH as ATTACH_INFO, AttachArgs, FLAGS};
use crate::args::container::{CREATE_TABLES, ContainerArgs, RUN_TABLES};
use crate::args::lifecycle::{START as START_INFO, START_FLAGS, StartArgs};
use crate::args::run::{CREATE as CREATE_INFO, RUN as RUN_INFO};
use crate::cmd::attach::Following;
use crate::cmd::create::IdFile;
use crate::cmd::request::{PullPolicy, build, pull_policy};
use crate::cmd::{Command, Context, Outcome, each};
use crate::out;
use crate::out::failure::Failure;
use crate::out::progress::{Display, Stream};
use gantry_client::{Client, Error, Line, Sent, segment};
use gantry_engine::model::reference::Reference;
use gantry_engine::request::CreateRequest;
use serde_json::{Map, Value, json};
use std::io::BufReader;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

pub static RUN: Command<ContainerArgs> = Command { info: RUN_INFO, flags: RUN_TABLES, run };
pub static CREATE: Command<ContainerArgs> = Command { info: CREATE_INFO, flags: CREATE_TABLES, run: create };
pub static START: Command<StartArgs> = Command { info: START_INFO, flags: &[START_FLAGS], run: start };
pub static ATTACH: Command<AttachArgs> = Command { info: ATTACH_INFO, flags: &[FLAGS], run: attach };

/// After the streams have ended, the end is told soon, or it was a detachment.
const SOON: Duration = Duration::from_millis(200);

fn refused(command: &'static str, message: String) -> Failure {
    Failure::Refused { command, message, hint: None, code: 125 }
}

fn run(context: &Context, args: ContainerArgs, words: Vec<String>) -> Outcome {
    let request = build(&args, &words).map_err(|refusal| refused("run", refusal.0))?;
    let (tty, stdin) = (request.config.tty, request.config.attach_stdin);
    let keys = args.run.detach_keys.as_deref();
    let following =
        Following::new(tty, stdin, keys, !args.run.no_sig_proxy).map_err(|message| refused("run", message))?;
    let removes = request.host.auto_remove;
    let streams = [request.config.attach_stdin, request.config.attach_stdout, request.config.attach_stderr];
    let client = context.client()?;
    let id = made(client, "run", &args, request)?;
    let begun = |error: Error| {
        if removes {
            let _ = client.call("DELETE", &format!("/containers/{id}"), &[on("force", true)], None);
        }
        Failure::Refused { command: "run", message: error.sentence(), hint: None, code: start_code(&error) }
    };
    if args.run.detach {
        client.call("POST", &format!("/containers/{id}/start"), &[], None).map_err(begun)?;
        return out::line(&id).map(|()| 0);
    }
    let run = Run { client, id: &id, tty, streams, keys, following: &following };
    let condition = if removes { "removed" } else { "next-exit" };
    run.start(Some(condition)).map_err(|stopped| stopped.or(&begun))
}

fn create(context: &Context, args: ContainerArgs, words: Vec<String>) -> Outcome {
    let request = build(&args, &words).map_err(|refusal| refused("create", refusal.0))?;
    let id = made(context.client()?, "create", &args, request)?;
    out::line(&id).map(|()| 0)
}

/// Makes the container, its image fetched as `--pull` says; gives its id.
fn made(
    client: &Client,
    command: &'static str,
    args: &ContainerArgs,
    request: CreateRequest,
) -> Result<String, Failure> {
    let id_file = IdFile::create(args.process.cidfile.as_deref()).map_err(|message| refused(command, message))?;
    let policy = pull_policy(args).map_err(|refusal| refused(command, refusal.0))?;
    let image = request.config.image.clone();
    let pull = || {
        let display = Display::new(Stream::Stderr, args.process.quiet);
        let platform = args.process.platform.as_deref().filter(|platform| !platform.is_empty());
        fetch(client, &image, platform, false, &display).map_err(|failure| failure.refusal(command))
    };
    if policy == PullPolicy::Always {
        pull()?;
    }
    let replaced = request.replace.then(|| request.name.clone()).flatten();
    let (query, body) = document(request);
    let create = || client.call("POST", "/containers/create", &query, Some(&body));
    let created = match create() {
        Err(error) if replaced.is_some() && error.status() == Some(409) => {
            let path = format!("/containers/{}", segment(replaced.as_deref().unwrap_or_default()));
            let _ = client.call("POST", &format!("{path}/stop"), &[], None);
            client.call("DELETE", &path, &[on("force", true)], None).map_err(|e| refused(command, e.sentence()))?;
            create()
        }
        Err(error) if policy == PullPolicy::Missing && lacks_image(&error) => {
            // What is no reference will be told so.
            if let Ok(reference) = Reference::parse(&image) {
                out::note(&format!("Unable to find image '{}' locally", reference.familiar()));
            }
            pull()?;
            create()
        }
        created => created,
    };
    let created = created.map_err(|error| refused(command, error.sentence()))?;
    let id = created["Id"].as_str().unwrap_or_default().to_owned();
    id_file.write(&id).map_err(|message| refused(command, message))?;
    let warnings = created["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    out::warnings(&warnings.map(str::to_owned).collect::<Vec<_>>());
    Ok(id)
}

fn lacks_image(error: &Error) -> bool {
    error.status() == Some(404) && error.to_string().contains("No such image")
}

/// The request as the API takes it.
fn document(request: CreateRequest) -> (Vec<(&'static str, String)>, Value) {
    let mut body = serde_json::to_value(&request.config).unwrap_or_else(|_| json!({}));
    let endpoints: Map<String, Value> = request
        .networks
        .into_iter()
        .map(|(name, endpoint)| (name, serde_json::to_value(endpoint).unwrap_or_default()))
        .collect();
    body["HostConfig"] = serde_json::to_value(&request.host).unwrap_or_default();
    body["NetworkingConfig"] = json!({ "EndpointsConfig": endpoints });
    let query = [("name", request.name), ("platform", request.platform)];
    (query.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(), body)
}

/// A container that is followed.
struct Run<'a> {
    client: &'a Client,
    id: &'a str,
    tty: bool,
    /// stdin, stdout, stderr.
    streams: [bool; 3],
    keys: Option<&'a str>,
    following: &'a Following,
}

/// Why following came to nothing: the engine refused before anything ran, or the streams failed.
enum Stopped {
    Refused(Error),
    Failed(Box<Failure>),
}

impl Stopped {
    fn or(self, refused: &dyn Fn(Error) -> Failure) -> Failure {
        match self {
            Stopped::Refused(error) => refused(error),
            Stopped::Failed(failure) => *failure,
        }
    }
}

impl Run<'_> {
    /// Waits, attaches, starts, follows; in this order nothing is missed. `None` starts nothing.
    fn start(&self, condition: Option<&str>) -> Result<i32, Stopped> {
        let end = self.end(condition).map_err(Stopped::Refused)?;
        let line = self.attach().map_err(Stopped::Refused)?;
        let raw = self.following.enter_raw();
        if condition.is_some() {
            self.client.call("POST", &format!("/containers/{}/start", self.id), &[], None).map_err(Stopped::Refused)?;
        }
        let stopped = |failure| Stopped::Failed(Box::new(failure));
        let streams = Streams { client: self.client, path: format!("/containers/{}", self.id), tty: self.tty };
        streams.resize();
        let carried = streams.carry(line, self.following);
        drop(raw);
        carried.map_err(stopped)?;
        self.code(&end).map_err(|error| stopped(failed(error)))
    }

    fn attach(&self) -> Result<BufReader<Line>, Error> {
        let [stdin, stdout, stderr] = self.streams;
        let mut query = vec![on("stream", true), on("stdin", stdin), on("stdout", stdout), on("stderr", stderr)];
        query.extend(self.keys.map(|keys| ("detachKeys", keys.to_owned())));
        self.client.take_over(&format!("/containers/{}/attach", self.id), &query, None)
    }

    /// The exit code, when it comes. The request stands before this returns.
    fn end(&self, condition: Option<&str>) -> Result<Receiver<i32>, Error> {
        let path = format!("/containers/{}/wait", self.id);
        let query: Vec<_> = condition.map(|condition| ("condition", condition.to_owned())).into_iter().collect();
        let mut reply = self.client.stream("POST", &path, &query, Sent::Nothing)?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut text = String::new();
            if std::io::Read::read_to_string(&mut reply, &mut text).is_ok()
                && let Ok(end) = serde_json::from_str::<Value>(&text)
            {
                let _ = sender.send(end["StatusCode"].as_i64().unwrap_or(125) as i32);
            }
        });
        Ok(receiver)
    }

    /// A container whose streams ended has ended, or was left alone.
    fn code(&self, end: &Receiver<i32>) -> Result<i32, Error> {
        loop {
            match end.recv_timeout(SOON) {
                Ok(code) => return Ok(code),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.client.talk(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            match self.client.call("GET", &format!("/containers/{}/json", self.id), &[], None) {
                Ok(found) if found["State"]["Running"] == true => return Ok(0),
                Ok(_) => {}
                Err(error) if error.status() == Some(404) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn start(context: &Context, args: StartArgs, names: Vec<String>) -> Outcome {
    let client = context.client()?;
    if args.attach || args.interactive {
        let [name] = &names[..] else {
            return Err(Failure::error("you cannot start and attach multiple containers at once"));
        };
        let tty = is_tty(context, name)?;
        let keys = args.detach_keys.as_deref();
        let following = Following::new(tty, args.interactive, keys, true).map_err(Failure::error)?;
        let id = segment(name);
        let streams = [args.interactive, true, true];
        let run = Run { client, id: &id, tty, streams, keys, following: &following };
        return run.start(Some("next-exit")).map_err(|stopped| stopped.or(&failed));
    }
    each(&names, |name| {
        let path = format!("/containers/{}/start", segment(name));
        client.call("POST", &path, &[], None).map(|_| Some(name.to_owned())).map_err(failed)
    })
}

fn attach(context: &Context, args: AttachArgs, names: Vec<String>) -> Outcome {
    let client = context.client()?;
    let found = client.call("GET", &format!("/containers/{}/json", segment(&names[0])), &[], None).map_err(failed)?;
    if found["State"]["Running"] != true {
        return Err(Failure::error("cannot attach to a stopped container, start it first"));
    }
    let tty = found["Config"]["Tty"] == true;
    let (stdin, keys) = (!args.no_stdin, args.detach_keys.as_deref());
    let following = Following::new(tty, stdin, keys, !args.no_sig_proxy).map_err(Failure::error)?;
    let id = segment(&names[0]);
    let run = Run { client, id: &id, tty, streams: [stdin, true, true], keys, following: &following };
    run.start(None).map_err(|stopped| stopped.or(&failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_engine::model::container::EndpointSettings;

    #[test]
    fn documents() {
        let mut request = CreateRequest { name: Some("n".into()), ..CreateRequest::default() };
        request.config.image = "bb".into();
        request.host.network_mode = "web".into();
        let endpoint = EndpointSettings { aliases: Some(vec!["a".into()]), ..EndpointSettings::default() };
        request.networks.push(("web".into(), endpoint));
        let (query, body) = document(request);
        assert_eq!(query, [("name", "n".to_owned())]);
        assert_eq!((&body["Image"], &body["HostConfig"]["NetworkMode"]), (&json!("bb"), &json!("web")));
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["web"]["Aliases"], json!(["a"]));
    }

    #[test]
    fn missing_images() {
        let refused = |status, message: &str| Error::Refused { status, message: message.into() };
        assert!(lacks_image(&refused(404, "No such image: bb:latest")));
        assert!(!lacks_image(&refused(404, "No such network")));
        assert!(!lacks_image(&refused(400, "No such image")));
    }
}
