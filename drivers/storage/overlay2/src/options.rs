//! What a user may choose.

use crate::error::Error;
use gantry_plugin_api::options::{OptionKind, OptionSpec, Options, Scope};

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::bool(
        "volatile",
        "never sync the writable layers of --rm containers; after a crash of the host they are lost",
    )
    .default("false"),
    OptionSpec::new("size", OptionKind::SIZE_BINARY, "limit of each writable layer; needs project quotas"),
    OptionSpec::bool("volatile", "never sync this container's writable layer").scope(Scope::CONTAINER),
    OptionSpec::new("size", OptionKind::SIZE_BINARY, "limit of the writable layer; needs project quotas")
        .scope(Scope::CONTAINER),
];

/// What applies to a writable layer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Leave out all syncs.
    pub volatile: bool,
    /// Limit in bytes.
    pub size: Option<u64>,
}

impl Settings {
    /// The settings of the store.
    pub fn of_store(options: &Options) -> Result<Self, Error> {
        Settings::default().with(options)
    }

    /// These settings, changed by those of one container.
    pub fn with(self, options: &Options) -> Result<Self, Error> {
        let volatile = options.bool("volatile").map_err(Error::Option)?.unwrap_or(self.volatile);
        let size = options.size_binary("size").map_err(Error::Option)?.or(self.size);
        Ok(Settings { volatile, size: size.filter(|s| *s > 0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_overrides_the_store() {
        let store = Settings::of_store(&Options::from_pairs([("volatile", "true"), ("size", "10g")])).unwrap();
        assert_eq!(store, Settings { volatile: true, size: Some(10 << 30) });
        let own = store.with(&Options::from_pairs([("volatile", "false"), ("size", "1m")])).unwrap();
        assert_eq!(own, Settings { volatile: false, size: Some(1 << 20) });
        assert_eq!(store.with(&Options::default()).unwrap(), store);
        assert!(Settings::of_store(&Options::from_pairs([("size", "much")])).is_err());
    }
}
