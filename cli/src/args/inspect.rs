//! `inspect` of anything, and of one sort of thing.

use super::values::put;
use super::{ANY, Choices, Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct InspectArgs {
    pub format: Option<String>,
    pub size: bool,
    pub kind: Option<String>,
}

const HELP: &str = "How to print: 'json' or a Go template such as '{{.Id}}'";

/// The flags of `inspect`.
pub const FLAGS: &[Flag<InspectArgs>] = &[
    Flag::<InspectArgs>::value("format", "string", HELP, |a, v| put(&mut a.format, v)).short('f'),
    Flag::<InspectArgs>::switch("size", "Compute sizes of a container", |a, on| a.size = on).short('s'),
    Flag::<InspectArgs>::value(
        "type",
        "string",
        "Look only among these (container, image, network, volume, plugin)",
        |a, v| put(&mut a.kind, v),
    )
    .choices(Choices::Words(&["container", "image", "network", "volume", "plugin"])),
];

/// The flags of `container inspect`.
pub const CONTAINER_FLAGS: &[Flag<InspectArgs>] = &[
    Flag::<InspectArgs>::value("format", "string", HELP, |a, v| put(&mut a.format, v)).short('f'),
    Flag::<InspectArgs>::switch("size", "Compute sizes", |a, on| a.size = on).short('s'),
];

/// The flags of `image inspect`.
pub const IMAGE_FLAGS: &[Flag<InspectArgs>] = &[
    Flag::<InspectArgs>::value("format", "string", HELP, |a, v| put(&mut a.format, v)).short('f'),
    Flag::<InspectArgs>::unsupported("platform", "string", "Show this platform"),
];

/// The flags of `network inspect`.
pub const NETWORK_FLAGS: &[Flag<InspectArgs>] = &[
    Flag::<InspectArgs>::value("format", "string", HELP, |a, v| put(&mut a.format, v)).short('f'),
    Flag::<InspectArgs>::switch("verbose", "Show more", |_, _| {}).short('v'),
];

/// The flags of `volume inspect` and `plugin inspect`.
pub const PLAIN_FLAGS: &[Flag<InspectArgs>] =
    &[Flag::<InspectArgs>::value("format", "string", HELP, |a, v| put(&mut a.format, v)).short('f')];

/// `gantry inspect`.
pub const INSPECT: Info =
    Info::new(&["inspect"], "[OPTIONS] NAME|ID [NAME|ID...]", "Show everything about one or more objects")
        .arguments(1, ANY)
        .choices(Choices::Containers);

/// `gantry container inspect`.
pub const CONTAINER: Info = Info::new(
    &["container inspect"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Show everything about one or more containers",
)
.arguments(1, ANY)
.choices(Choices::Containers);

/// `gantry image inspect`.
pub const IMAGE: Info =
    Info::new(&["image inspect"], "[OPTIONS] IMAGE [IMAGE...]", "Show everything about one or more images")
        .arguments(1, ANY)
        .choices(Choices::Images);

/// `gantry network inspect`.
pub const NETWORK: Info =
    Info::new(&["network inspect"], "[OPTIONS] NETWORK [NETWORK...]", "Show everything about one or more networks")
        .arguments(1, ANY)
        .choices(Choices::Networks);

/// `gantry volume inspect`.
pub const VOLUME: Info =
    Info::new(&["volume inspect"], "[OPTIONS] VOLUME [VOLUME...]", "Show everything about one or more volumes")
        .arguments(1, ANY)
        .choices(Choices::Volumes);

/// `gantry plugin inspect`.
pub const PLUGIN: Info = Info::new(
    &["plugin inspect"],
    "[OPTIONS] [KIND/]PLUGIN [[KIND/]PLUGIN...]",
    "Show everything about one or more plugins",
)
.arguments(1, ANY)
.choices(Choices::Drivers(""));
