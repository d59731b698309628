//! The commands about secrets, podman's.

use super::networks::ListArgs;
use super::values::{add, push, put};
use super::{ANY, Flag, Info};
use gantry_engine::model::env;

/// `secret create`; see the table.
#[derive(Debug, Default)]
pub struct CreateArgs {
    pub labels: Vec<(String, String)>,
    pub env: bool,
    pub replace: bool,
}

/// The flags of `secret create`.
pub const CREATE_FLAGS: &[Flag<CreateArgs>] = &[
    Flag::<CreateArgs>::switch("env", "Take the content from a variable", |a, on| a.env = on),
    Flag::<CreateArgs>::value("label", "list", "Add a label", |a, v| add(&mut a.labels, env::parse_label(v)))
        .short('l'),
    Flag::<CreateArgs>::switch("replace", "In place of one of the same name", |a, on| a.replace = on),
];

/// `gantry secret create`.
pub const CREATE: Info =
    Info::new(&["secret create"], "[OPTIONS] NAME FILE|-", "Keep the content of a file as a secret").arguments(2, 2);

/// The flags of `secret ls`.
pub const LS_FLAGS: &[Flag<ListArgs>] = &[
    Flag::<ListArgs>::value("filter", "filter", "Only what fits (name=value, id=value)", |a, v| {
        push(&mut a.filters, v)
    })
    .short('f'),
    Flag::<ListArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<ListArgs>::switch("quiet", "Only ids", |a, on| a.quiet = on).short('q'),
];

/// `gantry secret ls`.
pub const LS: Info = Info::new(&["secret ls", "secret list"], "[OPTIONS]", "List secrets");

/// `secret inspect`; see the table.
#[derive(Debug, Default)]
pub struct InspectArgs {
    pub format: Option<String>,
    pub show: bool,
}

/// The flags of `secret inspect`.
pub const INSPECT_FLAGS: &[Flag<InspectArgs>] = &[
    Flag::<InspectArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)).short('f'),
    Flag::<InspectArgs>::switch("showsecret", "Show the content as well", |a, on| a.show = on),
];

/// `gantry secret inspect`.
pub const INSPECT: Info =
    Info::new(&["secret inspect"], "[OPTIONS] SECRET [SECRET...]", "Show what is known of secrets").arguments(1, ANY);

/// The flags of `secret rm`.
pub const RM_FLAGS: &[Flag<RmArgs>] =
    &[Flag::<RmArgs>::switch("ignore", "A missing secret is no error", |a, on| a.ignore = on).short('i')];

/// `secret rm`; see the table.
#[derive(Debug, Default)]
pub struct RmArgs {
    pub ignore: bool,
}

/// `gantry secret rm`.
pub const RM: Info =
    Info::new(&["secret rm", "secret remove"], "[OPTIONS] SECRET [SECRET...]", "Remove secrets").arguments(1, ANY);
