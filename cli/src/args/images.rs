//! `images`, `load`, `import`, `tag`, `rmi`, `history`.

use super::values::{push, put};
use super::{ANY, Choices, Flag, Info};

/// The help of every `--format` of a list.
pub const FORMAT_HELP: &str =
    "How to print: 'table', 'json', 'table TEMPLATE' or 'TEMPLATE', a Go template such as '{{.ID}}'";

/// `images`; see the table.
#[derive(Debug, Default)]
pub struct ImagesArgs {
    pub all: bool,
    pub digests: bool,
    pub filters: Vec<String>,
    pub format: Option<String>,
    pub no_trunc: bool,
    pub quiet: bool,
}

/// The flags of `images`.
pub const IMAGES_FLAGS: &[Flag<ImagesArgs>] = &[
    Flag::<ImagesArgs>::switch("all", "Also images without a name of their own", |a, on| a.all = on).short('a'),
    Flag::<ImagesArgs>::switch("digests", "Show digests", |a, on| a.digests = on),
    Flag::<ImagesArgs>::value("filter", "filter", "Only what fits (key=value)", |a, v| push(&mut a.filters, v))
        .short('f'),
    Flag::<ImagesArgs>::value("format", "string", FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<ImagesArgs>::switch("no-trunc", "Do not cut the output", |a, on| a.no_trunc = on),
    Flag::<ImagesArgs>::switch("quiet", "Only ids", |a, on| a.quiet = on).short('q'),
    Flag::<ImagesArgs>::unsupported("tree", "", "Images for several platforms as a tree"),
];

/// `gantry images`.
pub const IMAGES: Info =
    Info::new(&["images", "image ls", "image list"], "[OPTIONS] [REPOSITORY[:TAG]]", "List images")
        .arguments(0, 1)
        .choices(Choices::Images);

/// `load`; see the table.
#[derive(Debug, Default)]
pub struct LoadArgs {
    pub input: Option<String>,
    pub quiet: bool,
}

/// The flags of `load`.
pub const LOAD_FLAGS: &[Flag<LoadArgs>] = &[
    Flag::<LoadArgs>::value("input", "string", "Archive or directory instead of STDIN", |a, v| put(&mut a.input, v))
        .short('i')
        .choices(Choices::Files),
    Flag::<LoadArgs>::unsupported("platform", "string", "Load only this platform"),
    Flag::<LoadArgs>::switch("quiet", "Do not show progress", |a, on| a.quiet = on).short('q'),
];

/// `gantry load`.
pub const LOAD: Info =
    Info::new(&["load", "image load"], "[OPTIONS]", "Load images from an archive, an OCI layout or STDIN");

/// `import`; see the table.
#[derive(Debug, Default)]
pub struct ImportArgs {
    pub changes: Vec<String>,
    pub message: Option<String>,
    pub platform: Option<String>,
}

/// The flags of `import`.
pub const IMPORT_FLAGS: &[Flag<ImportArgs>] = &[
    Flag::<ImportArgs>::value("change", "list", "Dockerfile instruction to apply", |a, v| push(&mut a.changes, v))
        .short('c'),
    Flag::<ImportArgs>::value("message", "string", "Note kept in the history", |a, v| put(&mut a.message, v))
        .short('m'),
    Flag::<ImportArgs>::value("platform", "string", "Platform of the image", |a, v| put(&mut a.platform, v)),
];

/// `gantry import`.
pub const IMPORT: Info = Info::new(
    &["import", "image import"],
    "[OPTIONS] file|- [REPOSITORY[:TAG]]",
    "Make an image of a tar archive of a root file system",
)
.arguments(1, 2)
.choices(Choices::Files);

/// `gantry tag`.
pub const TAG: Info =
    Info::new(&["tag", "image tag"], "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Give an image one more name")
        .arguments(2, 2)
        .choices(Choices::Images);

/// `rmi`; see the table.
#[derive(Debug, Default)]
pub struct RmiArgs {
    pub force: bool,
    pub no_prune: bool,
}

/// `image move`; see the table.
#[derive(Debug, Default)]
pub struct MoveArgs {
    pub keep: bool,
}

/// The flags of `image move`.
pub const MOVE_FLAGS: &[Flag<MoveArgs>] =
    &[Flag::<MoveArgs>::switch("keep", "Leave the layers in the other drivers too", |a, on| a.keep = on)];

/// `gantry image move`.
pub const MOVE: Info =
    Info::new(&["image move"], "[OPTIONS] IMAGE DRIVER", "Move an image's layers to another storage driver")
        .arguments(2, 2);

/// The flags of `rmi`.
pub const RMI_FLAGS: &[Flag<RmiArgs>] = &[
    Flag::<RmiArgs>::switch("force", "Remove it though it is in use or has several names", |a, on| a.force = on)
        .short('f'),
    Flag::<RmiArgs>::switch("no-prune", "Keep parents without a name", |a, on| a.no_prune = on),
    Flag::<RmiArgs>::unsupported("platform", "strings", "Remove only this platform"),
];

/// `gantry rmi`.
pub const RMI: Info =
    Info::new(&["rmi", "image rm", "image remove"], "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images")
        .arguments(1, ANY)
        .choices(Choices::Images);

/// `history`; see the table.
#[derive(Debug, Default)]
pub struct HistoryArgs {
    pub format: Option<String>,
    pub exact: bool,
    pub no_trunc: bool,
    pub quiet: bool,
}

/// The flags of `history`.
pub const HISTORY_FLAGS: &[Flag<HistoryArgs>] = &[
    Flag::<HistoryArgs>::value("format", "string", FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<HistoryArgs>::switch("human", "Sizes and times for people", |a, on| a.exact = !on)
        .short('H')
        .default("true"),
    Flag::<HistoryArgs>::switch("no-trunc", "Do not cut the output", |a, on| a.no_trunc = on),
    Flag::<HistoryArgs>::unsupported("platform", "string", "Show this platform"),
    Flag::<HistoryArgs>::switch("quiet", "Only ids", |a, on| a.quiet = on).short('q'),
];

/// `gantry history`.
pub const HISTORY: Info = Info::new(&["history", "image history"], "[OPTIONS] IMAGE", "Show how an image was made")
    .arguments(1, 1)
    .choices(Choices::Images);
