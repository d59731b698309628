//! What a user may choose.

use crate::error::Error;
use gantry_driver_shared::tree::CopyMode;
use gantry_plugin_api::options::{OptionKind, OptionSpec, Options, Scope};

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::bool(
        "link-layers",
        "layers share unchanged files by hard link; for unpackers that never write in place",
    )
    .default("false"),
    OptionSpec::new("size", OptionKind::SIZE_BINARY, "limit of the writable layer; needs project quotas")
        .scope(Scope::CONTAINER),
];

/// How a layer starts from its parent. Containers always get files of their own.
pub fn layer_copy(options: &Options) -> Result<CopyMode, Error> {
    let link = options.bool("link-layers").map_err(Error::Option)?.unwrap_or(false);
    Ok(if link { CopyMode::Link } else { CopyMode::Copy })
}

/// The limit of a container's tree, the image's files included.
pub fn size(options: &Options) -> Result<Option<u64>, Error> {
    Ok(options.size_binary("size").map_err(Error::Option)?.filter(|size| *size > 0))
}
