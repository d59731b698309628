//! `save`, `export`, `commit`, `diff`, `cp`.

use super::values::{push, put};
use super::{ANY, Choices, Flag, Info};

/// `save`; see the table.
#[derive(Debug, Default)]
pub struct SaveArgs {
    pub output: Option<String>,
}

/// The flags of `save`.
pub const SAVE_FLAGS: &[Flag<SaveArgs>] = &[
    Flag::<SaveArgs>::value("output", "string", "File instead of STDOUT", |a, v| put(&mut a.output, v))
        .short('o')
        .choices(Choices::Files),
    Flag::<SaveArgs>::unsupported("platform", "string", "Save only this platform"),
];

/// `gantry save`.
pub const SAVE: Info =
    Info::new(&["save", "image save"], "[OPTIONS] IMAGE [IMAGE...]", "Write images to an archive that `load` reads")
        .arguments(1, ANY)
        .choices(Choices::Images);

/// `export`; see the table.
#[derive(Debug, Default)]
pub struct ExportArgs {
    pub output: Option<String>,
}

/// The flags of `export`.
pub const EXPORT_FLAGS: &[Flag<ExportArgs>] =
    &[Flag::<ExportArgs>::value("output", "string", "File instead of STDOUT", |a, v| put(&mut a.output, v))
        .short('o')
        .choices(Choices::Files)];

/// `gantry export`.
pub const EXPORT: Info = Info::new(
    &["export", "container export"],
    "[OPTIONS] CONTAINER",
    "Write all files of a container to a tar archive",
)
.arguments(1, 1)
.choices(Choices::Containers);

/// `commit`; see the table.
#[derive(Debug, Default)]
pub struct CommitArgs {
    pub author: Option<String>,
    pub changes: Vec<String>,
    pub message: Option<String>,
    pub no_pause: bool,
}

/// The flags of `commit`.
pub const COMMIT_FLAGS: &[Flag<CommitArgs>] = &[
    Flag::<CommitArgs>::value("author", "string", "Who made it", |a, v| put(&mut a.author, v)).short('a'),
    Flag::<CommitArgs>::value("change", "list", "Dockerfile instruction to apply", |a, v| push(&mut a.changes, v))
        .short('c'),
    Flag::<CommitArgs>::value("message", "string", "Note kept in the history", |a, v| put(&mut a.message, v))
        .short('m'),
    Flag::<CommitArgs>::switch("pause", "Freeze the container meanwhile", |a, on| a.no_pause = !on)
        .short('p')
        .default("true"),
];

/// `gantry commit`.
pub const COMMIT: Info = Info::new(
    &["commit", "container commit"],
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Make an image of what a container changed",
)
.arguments(1, 2)
.choices(Choices::Containers);

/// `gantry diff`.
pub const DIFF: Info = Info::new(&["diff", "container diff"], "CONTAINER", "Show which files a container changed")
    .arguments(1, 1)
    .choices(Choices::Containers);

/// `cp`; see the table.
#[derive(Debug, Default)]
pub struct CopyArgs {
    pub archive: bool,
    pub follow: bool,
    pub quiet: bool,
}

/// The flags of `cp`.
pub const COPY_FLAGS: &[Flag<CopyArgs>] = &[
    Flag::<CopyArgs>::switch("archive", "Keep users and groups", |a, on| a.archive = on).short('a'),
    Flag::<CopyArgs>::switch("follow-link", "Follow a link that is the source", |a, on| a.follow = on).short('L'),
    Flag::<CopyArgs>::switch("quiet", "Do not say what was copied", |a, on| a.quiet = on).short('q'),
];

/// `gantry cp`.
pub const COPY: Info = Info::new(
    &["cp", "container cp"],
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- or SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files between a container and this host",
)
.arguments(2, 2)
.choices(Choices::Files);
