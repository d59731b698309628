//! The binary interface. Private to this crate and to the engine's plugin host: authors never see it, and nothing in it
//! is promised to anybody else.
//!
//! One root module per kind, so that the layout check of a plugin walks only the types of its own kind. Data crosses as
//! `#[repr(C)]` mirrors of the author-side types ([`mirror`]), objects as `sabi_trait` objects made by guards that catch
//! panics ([`guard`]). What the file says about itself without being run stands in an ELF note ([`note`]).

// The macros of abi_stable expand to impls in other scopes, to several operations in one block and to passthrough cases
// of vtables that this crate does not use.
#![allow(
    missing_docs,
    non_local_definitions,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks
)]

pub mod data;
pub mod guard;
pub mod host;
pub mod log;
pub mod mirror;
pub mod network;
pub mod note;
pub mod storage;
pub mod volume;

pub use abi_stable::library::LibHeader;
pub use mirror::Mirror;

use crate::manifest::{ApiVersion, Kind};
use abi_stable::library::RootModuleError;
use abi_stable::marker_type::ErasedPrefix;
use abi_stable::prefix_type::{PrefixRef, PrefixRefTrait};
use abi_stable::std_types::{RErr, ROk};

/// The version of the plugin API of this crate.
pub const API_VERSION: ApiVersion =
    ApiVersion { major: digits(env!("CARGO_PKG_VERSION_MAJOR")), minor: digits(env!("CARGO_PKG_VERSION_MINOR")) };

const fn digits(text: &str) -> u16 {
    let (bytes, mut i, mut value) = (text.as_bytes(), 0, 0);
    while i < bytes.len() {
        value = value * 10 + (bytes[i] - b'0') as u16;
        i += 1;
    }
    value
}

/// The symbol under which the header of a kind's root module is exported.
pub const fn symbol(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Log => b"gantry_log\0",
        Kind::Storage => b"gantry_storage\0",
        Kind::Network => b"gantry_network\0",
        Kind::Volume => b"gantry_volume\0",
    }
}

/// What a header's constructor answers.
type RootModuleResult = abi_stable::std_types::RResult<PrefixRef<ErasedPrefix>, RootModuleError>;

/// Makes a root module without ever unwinding into the host.
fn erased<M: PrefixRefTrait>(make: impl FnOnce() -> M + std::panic::UnwindSafe) -> RootModuleResult {
    match std::panic::catch_unwind(make) {
        // SAFETY: the host casts it back to the type whose layout the header carries, which is M.
        Ok(module) => ROk(unsafe { module.to_prefix_ref().cast::<ErasedPrefix>() }),
        Err(_) => RErr(RootModuleError::Unwound),
    }
}
