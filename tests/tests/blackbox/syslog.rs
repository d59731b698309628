//! `--log-driver syslog`, with a real rsyslogd at the other end: every transport, every format, every field; bytes that
//! are no text; servers that are not there, go and come back.

mod rsyslogd;

use crate::need;
use gantry_tests::World;
use rsyslogd::Rsyslogd;
use serde_json::Value;
use std::os::unix::net::UnixListener;
use std::time::{SystemTime, UNIX_EPOCH};

const TRANSPORTS: [(&str, &str); 5] =
    [("udp", "imudp"), ("tcp", "imtcp"), ("tcp+tls", "imtcp"), ("unix", "imptcp"), ("unixgram", "imuxsock")];

/// Runs a script whose output goes to syslog, to its end; its container has the tag's name.
fn run(world: &World, name: &str, options: &[String], script: &str) {
    let mut words: Vec<String> = ["run", "-d", "--network", "none", "--name", name].map(str::to_owned).to_vec();
    words.extend(["--log-driver".to_owned(), "syslog".to_owned()]);
    options.iter().for_each(|option| words.extend(["--log-opt".to_owned(), option.clone()]));
    words.extend(["bb", "sh", "-c", script].map(str::to_owned));
    world.gantry(words).ok();
    world.becomes(name, "exited");
}

fn options(server: &Rsyslogd, transport: &str, more: &[&str]) -> Vec<String> {
    let mut options = vec![format!("syslog-address={}", server.address(transport))];
    options.extend(more.iter().map(|option| (*option).to_owned()));
    if transport == "tcp+tls" {
        options.extend(server.tls_options(true));
    }
    options
}

fn field<'a>(message: &'a Value, name: &str) -> &'a str {
    message[name].as_str().unwrap_or_default()
}

fn host() -> String {
    nix::unistd::gethostname().expect("a host name").to_string_lossy().into_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn every_format_over_every_transport() {
    need!();
    let world = World::new();
    let Some(server) = Rsyslogd::start() else { return };
    for (transport, input) in TRANSPORTS {
        for format in ["", "rfc3164", "rfc5424", "rfc5424micro"] {
            let name = format!("{}-{}", transport.replace("+", "-"), if format.is_empty() { "local" } else { format });
            let more = [format!("syslog-format={format}"), "tag={{.Name}}".to_owned()];
            let options = options(&server, transport, &more.each_ref().map(String::as_str));
            run(&world, &name, &options, "echo out: 1; sleep 0.02; echo err >&2");
            let messages = server.messages_of(&name, 2);
            let said = |severity: &str| messages.iter().find(|m| field(m, "severity") == severity).expect("a message");
            let (out, err) = (said("info"), said("err"));
            assert_eq!(("30", "27"), (field(out, "pri"), field(err, "pri")), "{out}");
            assert_eq!(("out: 1", "err"), (field(out, "msg").trim(), field(err, "msg").trim()), "{out}");
            judge_fields(out, format, &name);
            assert_eq!((input, "daemon"), (field(out, "input"), field(out, "facility")), "{out}");
        }
    }
}

/// What a format says beside the words.
fn judge_fields(message: &Value, format: &str, tag: &str) {
    let seconds: u64 = field(message, "seconds").parse().expect("a number");
    assert!(seconds.abs_diff(now()) < 300, "{message}");
    assert!(field(message, "pid").parse::<u32>().is_ok_and(|pid| pid > 1), "{message}");
    assert_eq!(tag, field(message, "app"), "{message}");
    if !format.is_empty() {
        assert_eq!(host(), field(message, "host"), "{message}");
    }
    let modern = format.starts_with("rfc5424");
    assert_eq!(if modern { "1" } else { "0" }, field(message, "version"), "{message}");
    assert_eq!(if modern { tag } else { "-" }, field(message, "msgid"), "{message}");
    assert_eq!("-", field(message, "data"), "{message}");
    assert_eq!(if format == "rfc5424micro" { 6 } else { 1 }, field(message, "fraction").len(), "{message}");
}

#[test]
fn facility_tag_and_structured_data_are_as_asked() {
    need!();
    let world = World::new();
    let Some(server) = Rsyslogd::start() else { return };
    run(&world, "plain", &options(&server, "tcp", &["syslog-facility=local5"]), "echo x");
    let id = world.inspect("plain", "{{.Id}}");
    let message = &server.messages_of(&id[..12], 1)[0];
    assert_eq!(("174", "local5"), (field(message, "pri"), field(message, "facility")), "{message}");
    let more = [
        "syslog-facility=16",
        "syslog-format=rfc5424",
        "syslog-structured-data=true",
        "tag=a b/{{.Name}}",
        "env=COLOUR",
    ];
    let options = options(&server, "tcp", &more);
    let mut words =
        vec!["run", "--rm", "--network", "none", "--name", "data", "-e", "COLOUR=re]d", "--log-driver", "syslog"];
    options.iter().for_each(|option| words.extend(["--log-opt", option]));
    words.extend(["bb", "echo", "x"]);
    assert_eq!("x", world.gantry(words).ok());
    let message = &server.messages_of("a_b/data", 1)[0];
    assert_eq!(("134", "a_b/data"), (field(message, "pri"), field(message, "msgid")), "{message}");
    let data = field(message, "data");
    assert!(
        data.starts_with("[container@0 ") && data.contains("COLOUR=\"re\\]d\"") && data.contains("name=\"data\""),
        "{data}"
    );
}

#[test]
fn any_bytes_arrive() {
    need!();
    let world = World::new();
    let Some(server) = Rsyslogd::start() else { return };
    for transport in ["tcp", "unixgram", "udp", "unix", "tcp+tls"] {
        let name = format!("raw-{}", transport.replace("+", "-"));
        let options = options(&server, transport, &["tag={{.Name}}"]);
        run(&world, &name, &options, r"printf 'a\377\303(b\n\n\nn\000l\n\ttab\nrest'; sleep 0.05");
        let messages = server.messages_of(&name, 4);
        // Empty lines are no messages, as in Docker; rsyslogd shows control characters by number.
        let said: Vec<&str> = messages.iter().map(|message| field(message, "msg").trim_start()).collect();
        assert_eq!(["a\u{fffd}\u{fffd}(b", "n#000l", "#011tab", "rest"], said[..], "{transport}");
        let needle = format!("{name}[");
        let raw = server.raw();
        let line =
            raw.split(|byte| *byte == b'\n').find(|line| line.windows(needle.len()).any(|w| w == needle.as_bytes()));
        assert!(line.is_some_and(|line| line.ends_with(b": a\xff\xc3(b")), "{transport}: {line:?}");
    }
}

#[test]
fn a_line_of_a_mebibyte_arrives_in_pieces() {
    need!();
    let world = World::new();
    let Some(server) = Rsyslogd::start() else { return };
    for transport in ["tcp", "unixgram", "tcp+tls"] {
        let name = format!("long-{}", transport.replace("+", "-"));
        // More than one megabyte may wait: a busy server must not cost pieces here.
        let more = ["tag={{.Name}}", "syslog-format=rfc5424", "mode=non-blocking", "max-buffer-size=8m"];
        let options = options(&server, transport, &more);
        run(&world, &name, &options, "head -c 1048576 /dev/zero | tr '\\0' x; echo; echo after");
        let messages = server.messages_of(&name, 65);
        let texts: Vec<&str> = messages.iter().map(|message| field(message, "msg")).collect();
        let pieces = texts.iter().filter(|text| text.len() == 16_384 && text.bytes().all(|b| b == b'x')).count();
        assert_eq!((65, 64, Some(&"after")), (texts.len(), pieces, texts.last()), "{transport}");
    }
}

#[test]
fn a_server_that_restarts_gets_the_rest_and_is_told_what_is_missing() {
    need!();
    let world = World::new();
    let Some(mut server) = Rsyslogd::start() else { return };
    for transport in ["tcp", "tcp+tls", "unix"] {
        let name = format!("again-{}", transport.replace("+", "-"));
        let options = options(&server, transport, &["tag={{.Name}}"]);
        let mut words = vec!["run", "-d", "--network", "none", "--name", &name, "--log-driver", "syslog"];
        options.iter().for_each(|option| words.extend(["--log-opt", option]));
        let script = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo $i; echo end";
        words.extend(["bb", "sh", "-c", script]);
        world.gantry(words).ok();
        server.messages_of(&name, 20);
        server.pause();
        std::thread::sleep(std::time::Duration::from_millis(700));
        server.resume();
        let before = server.messages_of(&name, 20).len();
        server.messages_of(&name, before + 20);
        world.line(&format!("exec -d {name} touch /stop")).ok();
        world.becomes(&name, "exited");
        judge_account(&server, &name);
    }
}

/// Every number is there or among those that are said to be missing.
fn judge_account(server: &Rsyslogd, name: &str) {
    let ended = || server.messages_of(name, 40).iter().any(|message| field(message, "msg").trim() == "end");
    assert!(gantry_tests::within(std::time::Duration::from_secs(30), ended), "{name}: the end is missing");
    let messages = server.messages_of(name, 40);
    let (mut numbers, mut missing) = (Vec::new(), 0);
    for message in &messages {
        let text = field(message, "msg").trim();
        match text.strip_prefix("gantry: ").and_then(|text| text.strip_suffix(" messages dropped")) {
            Some(count) => missing += count.parse::<u64>().expect("a number"),
            None => numbers.extend(text.parse::<u64>()),
        }
    }
    let last = *numbers.last().expect("a number");
    numbers.dedup();
    numbers.sort_unstable();
    numbers.dedup();
    // The last number is said twice by the script; what comes twice is allowed, what is lost is not.
    assert_eq!(last, numbers.len() as u64 + missing, "{name}: {} numbers, {missing} missing", numbers.len());
}

#[test]
fn a_server_that_is_not_there_prevents_no_start_unless_it_must() {
    need!();
    let world = World::new();
    let words = |name: &'static str, more: &'static str| {
        format!(
            "run --name {name} --network none --log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:1 {more} bb echo hello"
        )
    };
    let run = world.line(&words("free", ""));
    assert_eq!((0, "hello\n"), (run.code, run.stdout.as_str()), "{run:#?}");
    world.line(&words("strict", "--log-opt strict=true")).fails(125, "cannot reach syslog server tcp://127.0.0.1:1");
}

#[test]
fn a_black_hole_does_not_hold_a_container() {
    need!();
    let world = World::new();
    let path = world.path("hole");
    let _hole = UnixListener::bind(&path).expect("a socket");
    let address = format!("syslog-address=unix://{}", path.display());
    let run = ["run", "-d", "--name", "hole", "--network", "none", "--log-driver", "syslog", "--log-opt", &address];
    let rest = ["--log-opt", "policy=drop-old", "bb", "sh", "-c", "seq 1 300000; sleep 300"];
    world.gantry(run.iter().chain(&rest)).ok();
    world.line("exec hole true").ok();
    world.line("kill hole").ok();
    world.becomes("hole", "exited");
    world.line("rm hole").ok();
}

#[test]
fn tls_trusts_and_refuses() {
    need!();
    let world = World::new();
    let Some(server) = Rsyslogd::start() else { return };
    let address = format!("syslog-address={}", server.address("tcp+tls"));
    let other = format!("syslog-tls-ca-cert={}", server.certificates.text("other.pem"));
    let mut anybody = vec![address.clone(), other.clone(), "syslog-tls-skip-verify=true".into(), "tag=anybody".into()];
    anybody.extend(server.tls_options(true).into_iter().skip(1));
    run(&world, "anybody", &anybody, "echo heard");
    assert_eq!("heard", field(&server.messages_of("anybody", 1)[0], "msg").trim());
    let words = ["run", "--name", "wary", "--network", "none", "--log-driver", "syslog", "--log-opt", &address];
    let rest = ["--log-opt", &other, "--log-opt", "strict=true", "bb", "true"];
    let run = world.gantry(words.iter().chain(&rest));
    run.fails(125, "cannot agree on encryption with syslog server tcp+tls://localhost:");
    assert!(run.stderr.contains("invalid peer certificate"), "{run:#?}");
}

#[test]
fn options_are_checked_before_anything_is_made() {
    need!();
    let world = World::new();
    for (option, words) in [
        ("syslog-adress=udp://a", "did you mean 'syslog-address'?"),
        ("syslog-address=http://a", "unsupported scheme: 'http'"),
        ("syslog-address=a", "should be in form proto://address"),
        ("syslog-address=udp://a:b", "invalid port: b"),
        ("syslog-facility=24", "invalid syslog facility: 24"),
        ("syslog-format=rfc1", "invalid syslog format"),
        ("syslog-tls-ca-cert=ca.pem", "not an absolute path"),
        ("syslog-tls-cert=/a", "syslog-tls-cert and syslog-tls-key go together"),
        ("syslog-tls-skip-verify=maybe", "expected true or false"),
        ("syslog-structured-data=true", "needs syslog-format=rfc5424"),
        ("syslog-dial-timeout=soon", "invalid duration"),
        ("syslog-write-timeout=1h", "at most 8 s"),
        ("tag={{.Nope}}", ".Nope"),
    ] {
        let run = world.gantry(["create", "--log-driver", "syslog", "--log-opt", option, "bb", "true"]);
        run.fails(1, words);
    }
    assert_eq!("", world.line("ps -aq").ok());
}
