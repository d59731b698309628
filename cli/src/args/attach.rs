//! `attach`.

use super::values::put;
use super::{Choices, Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct AttachArgs {
    pub detach_keys: Option<String>,
    pub no_stdin: bool,
    pub no_sig_proxy: bool,
}

/// The flags.
pub const FLAGS: &[Flag<AttachArgs>] = &[
    Flag::<AttachArgs>::value("detach-keys", "string", "Keys that disconnect from the container", |a, v| {
        put(&mut a.detach_keys, v)
    }),
    Flag::<AttachArgs>::switch("no-stdin", "Do not send STDIN", |a, on| a.no_stdin = on),
    Flag::<AttachArgs>::switch("sig-proxy", "Pass signals on to the process", |a, on| a.no_sig_proxy = !on)
        .default("true"),
];

/// `gantry attach`.
pub const ATTACH: Info = Info::new(
    &["attach", "container attach"],
    "[OPTIONS] CONTAINER",
    "Connect STDIN, STDOUT and STDERR to a running container",
)
.arguments(1, 1)
.choices(Choices::Running);
