//! `serve`.

use super::values::{push, put};
use super::{Choices, Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct ServeArgs {
    pub hosts: Vec<String>,
    pub group: Option<String>,
    pub mode: Option<String>,
    pub read_only: bool,
    pub insecure: bool,
    pub tls: bool,
    pub tls_verify: bool,
    pub tls_ca: Option<String>,
    pub tls_cert: Option<String>,
    pub tls_key: Option<String>,
}

/// The flags.
pub const SERVE_FLAGS: &[Flag<ServeArgs>] = &[
    Flag::<ServeArgs>::value("group", "string", "Group that may use the unix socket", |a, v| put(&mut a.group, v)),
    Flag::<ServeArgs>::value("host", "list", "Where to listen: unix:///PATH, tcp://ADDRESS:PORT or fd://", |a, v| {
        push(&mut a.hosts, v)
    })
    .short('H'),
    Flag::<ServeArgs>::switch("insecure-tcp", "Let everybody who reaches a TCP port be root here", |a, on| {
        a.insecure = on
    }),
    Flag::<ServeArgs>::value("mode", "string", "Mode of the unix socket (default: 0600, with a group 0660)", |a, v| {
        put(&mut a.mode, v)
    }),
    Flag::<ServeArgs>::switch("read-only", "Answer only what changes nothing", |a, on| a.read_only = on),
    Flag::<ServeArgs>::switch("tls", "Speak TLS (with --insecure-tcp also to clients without certificate)", |a, on| {
        a.tls = on
    }),
    Flag::<ServeArgs>::value("tlscacert", "string", "Authority of clients' certificates", |a, v| put(&mut a.tls_ca, v))
        .choices(Choices::Files),
    Flag::<ServeArgs>::value("tlscert", "string", "Certificate to show", |a, v| put(&mut a.tls_cert, v))
        .choices(Choices::Files),
    Flag::<ServeArgs>::value("tlskey", "string", "Its key", |a, v| put(&mut a.tls_key, v)).choices(Choices::Files),
    Flag::<ServeArgs>::switch("tlsverify", "Check clients' certificates (always done)", |a, on| a.tls_verify = on),
];

/// `gantry serve`.
pub const SERVE: Info = Info::new(&["serve"], "[OPTIONS]", "Answer the Docker Engine API on a socket").arguments(0, 0);
