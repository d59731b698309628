//! The macro that turns a crate into a plugin.

/// Exports the drivers of a library. Used once in the `lib.rs` of a `cdylib` crate
/// (the [crate's page](crate) has a whole driver):
///
/// ```ignore
/// gantry_plugin_api::export_plugin! { name: "hello", license: "MIT", log: Hello }
/// ```
///
/// `name` and `license` (an SPDX expression) are constants; `version: "1.0"` may follow the name and is the package's own
/// when left out; `requires: "overlay"` may follow the licence and lists, comma separated, what the kernel must have.
/// Then come the drivers, at most one of each kind: `log: A, storage: B, network: C, volume: D`, each a type that
/// implements the trait of that kind.
#[macro_export]
macro_rules! export_plugin {
    (name: $name:expr, version: $version:expr, license: $license:expr, requires: $requires:expr,
     $($kind:ident: $driver:ty),+ $(,)?) => {
        const _: () = {
            const SOURCE: $crate::abi::note::Source = $crate::abi::note::Source {
                name: $name,
                version: $version,
                license: $license,
                requires: $requires,
                drivers: &[$($crate::__plugin_schema!($kind, $driver)),+],
            };
            #[used]
            #[unsafe(link_section = ".note.gantry")]
            static NOTE: $crate::abi::note::Note<{ $crate::abi::note::size(&SOURCE) }> =
                $crate::abi::note::build(&SOURCE);
            $($crate::__plugin_header!($kind, $driver);)+
        };
    };
    (name: $name:expr, license: $license:expr, requires: $requires:expr, $($kind:ident: $driver:ty),+ $(,)?) => {
        $crate::export_plugin! {
            name: $name, version: env!("CARGO_PKG_VERSION"), license: $license, requires: $requires,
            $($kind: $driver),+
        }
    };
    (name: $name:expr, version: $version:expr, license: $license:expr, $($kind:ident: $driver:ty),+ $(,)?) => {
        $crate::export_plugin! {
            name: $name, version: $version, license: $license, requires: "", $($kind: $driver),+
        }
    };
    (name: $name:expr, license: $license:expr, $($kind:ident: $driver:ty),+ $(,)?) => {
        $crate::export_plugin! {
            name: $name, version: env!("CARGO_PKG_VERSION"), license: $license, requires: "", $($kind: $driver),+
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_schema {
    (log, $driver:ty) => {
        ($crate::manifest::Kind::Log, <$driver as $crate::log::LogDriver>::OPTIONS)
    };
    (storage, $driver:ty) => {
        ($crate::manifest::Kind::Storage, <$driver as $crate::storage::StorageDriver>::OPTIONS)
    };
    (network, $driver:ty) => {
        ($crate::manifest::Kind::Network, <$driver as $crate::network::NetworkDriver>::OPTIONS)
    };
    (volume, $driver:ty) => {
        ($crate::manifest::Kind::Volume, <$driver as $crate::volume::VolumeDriver>::OPTIONS)
    };
    ($other:ident, $driver:ty) => {
        compile_error!(concat!("no plugin kind `", stringify!($other), "`: use log, storage, network or volume"))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_header {
    (log, $driver:ty) => {
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static gantry_log: $crate::abi::LibHeader = $crate::abi::log::header::<$driver>();
    };
    (storage, $driver:ty) => {
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static gantry_storage: $crate::abi::LibHeader = $crate::abi::storage::header::<$driver>();
    };
    (network, $driver:ty) => {
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static gantry_network: $crate::abi::LibHeader = $crate::abi::network::header::<$driver>();
    };
    (volume, $driver:ty) => {
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static gantry_volume: $crate::abi::LibHeader = $crate::abi::volume::header::<$driver>();
    };
    ($other:ident, $driver:ty) => {};
}
