//! `pull`, `push`, `login`, `logout`, `search`, `manifest inspect`.

use super::images::FORMAT_HELP;
use super::values::{int, push, put};
use super::{Choices, Flag, Info};

/// `pull`; see the table.
#[derive(Debug, Default)]
pub struct PullArgs {
    pub all_tags: bool,
    pub platform: Option<String>,
    pub quiet: bool,
    pub lazy: bool,
}

/// The flags of `pull`.
pub const PULL_FLAGS: &[Flag<PullArgs>] = &[
    Flag::<PullArgs>::switch("all-tags", "Fetch every tag of the repository", |a, on| a.all_tags = on).short('a'),
    Flag::<PullArgs>::switch("disable-content-trust", "Do not verify the image", |_, _| {}).default("true").hidden(),
    Flag::<PullArgs>::switch(
        "lazy",
        "Fetch files when they are opened, where the image has tables of contents",
        |a, on| a.lazy = on,
    ),
    Flag::<PullArgs>::value("platform", "string", "Platform to choose of an image for several", |a, v| {
        put(&mut a.platform, v)
    }),
    Flag::<PullArgs>::switch("quiet", "Do not show progress", |a, on| a.quiet = on).short('q'),
];

/// `gantry pull`.
pub const PULL: Info =
    Info::new(&["pull", "image pull"], "[OPTIONS] NAME[:TAG|@DIGEST]", "Fetch an image from a registry")
        .arguments(1, 1)
        .choices(Choices::Images);

/// `push`; see the table.
#[derive(Debug, Default)]
pub struct PushArgs {
    pub all_tags: bool,
    pub quiet: bool,
}

/// The flags of `push`.
pub const PUSH_FLAGS: &[Flag<PushArgs>] = &[
    Flag::<PushArgs>::switch("all-tags", "Send every tag of the repository", |a, on| a.all_tags = on).short('a'),
    Flag::<PushArgs>::switch("disable-content-trust", "Do not sign the image", |_, _| {}).default("true").hidden(),
    Flag::<PushArgs>::unsupported("platform", "string", "Send only this platform"),
    Flag::<PushArgs>::switch("quiet", "Do not show progress", |a, on| a.quiet = on).short('q'),
];

/// `gantry push`.
pub const PUSH: Info = Info::new(&["push", "image push"], "[OPTIONS] NAME[:TAG]", "Send an image to a registry")
    .arguments(1, 1)
    .choices(Choices::Images);

/// `login`; see the table.
#[derive(Debug, Default)]
pub struct LoginArgs {
    pub user: Option<String>,
    pub password: Option<String>,
    pub password_stdin: bool,
}

/// The flags of `login`.
pub const LOGIN_FLAGS: &[Flag<LoginArgs>] = &[
    Flag::<LoginArgs>::value("password", "string", "Password or token", |a, v| put(&mut a.password, v)).short('p'),
    Flag::<LoginArgs>::switch("password-stdin", "Take the password from STDIN", |a, on| a.password_stdin = on),
    Flag::<LoginArgs>::value("username", "string", "User name", |a, v| put(&mut a.user, v)).short('u'),
];

/// `gantry login`.
pub const LOGIN: Info = Info::new(&["login"], "[OPTIONS] [SERVER]", "Log in to a registry").arguments(0, 1);

/// `gantry logout`.
pub const LOGOUT: Info = Info::new(&["logout"], "[SERVER]", "Forget the credentials of a registry").arguments(0, 1);

/// `search`; see the table.
#[derive(Debug, Default)]
pub struct SearchArgs {
    pub filters: Vec<String>,
    pub format: Option<String>,
    pub limit: i64,
    pub no_trunc: bool,
}

/// The flags of `search`.
pub const SEARCH_FLAGS: &[Flag<SearchArgs>] = &[
    Flag::<SearchArgs>::value("filter", "filter", "Only what fits (stars=N, is-official=true)", |a, v| {
        push(&mut a.filters, v)
    })
    .short('f'),
    Flag::<SearchArgs>::value("format", "string", FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<SearchArgs>::value("limit", "int", "Most results", |a, v| int(v).map(|n| a.limit = n)).default("25"),
    Flag::<SearchArgs>::switch("no-trunc", "Do not cut the output", |a, on| a.no_trunc = on),
];

/// `gantry search`.
pub const SEARCH: Info =
    Info::new(&["search"], "[OPTIONS] [REGISTRY/]TERM", "Look for images in a registry").arguments(1, 1);

/// `manifest inspect`; see the table.
#[derive(Debug, Default)]
pub struct ManifestArgs {
    pub verbose: bool,
}

/// The flags of `manifest inspect`.
pub const MANIFEST_FLAGS: &[Flag<ManifestArgs>] = &[
    Flag::<ManifestArgs>::unsupported("insecure", "", "Do without certificates; settle it in the configuration"),
    Flag::<ManifestArgs>::switch("verbose", "With digests and sizes, and all of an index", |a, on| a.verbose = on)
        .short('v'),
];

/// `gantry manifest inspect`.
pub const MANIFEST: Info =
    Info::new(&["manifest inspect"], "[OPTIONS] NAME[:TAG|@DIGEST]", "Show a manifest as its registry has it")
        .arguments(1, 1)
        .choices(Choices::Images);
