//! The storage kind on the wire.

use super::data::{AbiResult, DirsAbi, MountAbi, OptionsAbi, strings};
use super::guard::{Quiet, guarded, install, raw};
use super::host::{HostBox, author_side};
use super::mirror::{Mirror, Pair, bits, mirror, number};
use super::{RootModuleResult, erased};
use crate::host::Host;
use crate::options::Options;
use crate::storage::*;
use crate::types::Dirs;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RNone, ROk, ROption, RSlice, RStr, RString, RVec, Tuple2};
use abi_stable::{StableAbi, sabi_trait};
use std::path::PathBuf;

number!(Whiteouts = u32);

mirror! {
    struct LayerTargetAbi for LayerTarget + ext { path: PathBuf, whiteouts: Whiteouts }
    struct ChangeAbi for Change { kind: char, path: PathBuf }
    struct UsageAbi for Usage + ext { bytes: u64, inodes: u64 }
}

bits!(StorageCapabilities, copy_on_write, native_diff, quota, idmap, reflink, rootless, independent_layers);

impl Mirror for StorageCapabilities {
    type Abi = u64;
    fn to_abi(&self) -> u64 {
        to_bits(self)
    }
    fn from_abi(abi: &u64) -> Self {
        from_bits(*abi)
    }
}

#[sabi_trait]
pub trait StorageDriverAbi: Send + Sync {
    fn validate(&self, options: &OptionsAbi) -> AbiResult<()>;
    #[sabi(last_prefix_field)]
    fn init(&self, dirs: &DirsAbi, options: &OptionsAbi) -> AbiResult<StoreBox>;
}

#[sabi_trait]
pub trait StoreAbi: Send + Sync {
    fn capabilities(&self) -> AbiResult<u64>;
    fn status(&self) -> AbiResult<RVec<Pair>>;
    fn begin_layer(&self, id: RStr<'_>, parent: ROption<RStr<'_>>) -> AbiResult<LayerTargetAbi>;
    fn commit_layer(&self, id: RStr<'_>) -> AbiResult<()>;
    fn has_layer(&self, id: RStr<'_>) -> AbiResult<bool>;
    fn create_container(&self, id: RStr<'_>, layers: RSlice<'_, RString>, options: &OptionsAbi) -> AbiResult<()>;
    fn mount_plan(&self, id: RStr<'_>, layers: RSlice<'_, RString>, read_only: bool) -> AbiResult<RVec<MountAbi>>;
    fn writable_dir(&self, id: RStr<'_>) -> AbiResult<ROption<RVec<u8>>>;
    fn changes(&self, id: RStr<'_>, layers: RSlice<'_, RString>) -> AbiResult<RVec<ChangeAbi>>;
    fn usage(&self, id: RStr<'_>) -> AbiResult<UsageAbi>;
    fn remove(&self, id: RStr<'_>) -> AbiResult<()>;
    fn list(&self) -> AbiResult<RVec<Tuple2<RString, bool>>>;
    fn collect(&self) -> AbiResult<()>;
    fn clone_container(&self, id: RStr<'_>, from: RStr<'_>) -> AbiResult<()>;
    fn layer_dir(&self, id: RStr<'_>) -> AbiResult<ROption<RVec<u8>>>;
    #[sabi(last_prefix_field)]
    fn image_plan(&self, layers: RSlice<'_, RString>) -> AbiResult<RVec<MountAbi>>;
    // Since 1.1. What these answer where a plugin does not have them is what the author's trait answers.
    fn container_disk(&self, _id: RStr<'_>) -> AbiResult<ROption<MountAbi>> {
        ROk(RNone)
    }
    fn trash(&self) -> AbiResult<UsageAbi> {
        ROk(Usage::default().to_abi())
    }
}

pub type DriverBox = StorageDriverAbi_TO<'static, RBox<()>>;
pub type StoreBox = StoreAbi_TO<'static, RBox<()>>;

struct Guard<D> {
    driver: Quiet<D>,
    host: Host,
}

impl<D: StorageDriver> StorageDriverAbi for Guard<D> {
    fn validate(&self, options: &OptionsAbi) -> AbiResult<()> {
        guarded("validate", || self.driver.validate(&Options::from_abi(options)))
    }

    fn init(&self, dirs: &DirsAbi, options: &OptionsAbi) -> AbiResult<StoreBox> {
        raw("init", || {
            let (dirs, options) = (Dirs::from_abi(dirs), Options::from_abi(options));
            let store = self.driver.init(&dirs, &options, self.host.clone())?;
            Ok(StoreAbi_TO::from_value(StoreGuard(Quiet::new(store)), TD_Opaque))
        })
    }
}

struct StoreGuard(Quiet<Box<dyn Store>>);

impl StoreAbi for StoreGuard {
    fn capabilities(&self) -> AbiResult<u64> {
        guarded("capabilities", || Ok(self.0.capabilities()))
    }
    fn status(&self) -> AbiResult<RVec<Pair>> {
        guarded("status", || Ok(self.0.status()))
    }
    fn begin_layer(&self, id: RStr<'_>, parent: ROption<RStr<'_>>) -> AbiResult<LayerTargetAbi> {
        let parent = parent.into_option();
        guarded("begin_layer", || self.0.begin_layer(id.as_str(), parent.as_ref().map(RStr::as_str)))
    }
    fn commit_layer(&self, id: RStr<'_>) -> AbiResult<()> {
        guarded("commit_layer", || self.0.commit_layer(id.as_str()))
    }
    fn has_layer(&self, id: RStr<'_>) -> AbiResult<bool> {
        guarded("has_layer", || self.0.has_layer(id.as_str()))
    }
    fn create_container(&self, id: RStr<'_>, layers: RSlice<'_, RString>, options: &OptionsAbi) -> AbiResult<()> {
        guarded("create_container", || {
            self.0.create_container(id.as_str(), &strings(layers), &Options::from_abi(options))
        })
    }
    fn mount_plan(&self, id: RStr<'_>, layers: RSlice<'_, RString>, read_only: bool) -> AbiResult<RVec<MountAbi>> {
        guarded("mount_plan", || self.0.mount_plan(id.as_str(), &strings(layers), read_only))
    }
    fn writable_dir(&self, id: RStr<'_>) -> AbiResult<ROption<RVec<u8>>> {
        guarded("writable_dir", || self.0.writable_dir(id.as_str()))
    }
    fn changes(&self, id: RStr<'_>, layers: RSlice<'_, RString>) -> AbiResult<RVec<ChangeAbi>> {
        guarded("changes", || self.0.changes(id.as_str(), &strings(layers)))
    }
    fn usage(&self, id: RStr<'_>) -> AbiResult<UsageAbi> {
        guarded("usage", || self.0.usage(id.as_str()))
    }
    fn remove(&self, id: RStr<'_>) -> AbiResult<()> {
        guarded("remove", || self.0.remove(id.as_str()))
    }
    fn list(&self) -> AbiResult<RVec<Tuple2<RString, bool>>> {
        guarded("list", || self.0.list())
    }
    fn collect(&self) -> AbiResult<()> {
        guarded("collect", || self.0.collect())
    }
    fn clone_container(&self, id: RStr<'_>, from: RStr<'_>) -> AbiResult<()> {
        guarded("clone_container", || self.0.clone_container(id.as_str(), from.as_str()))
    }
    fn layer_dir(&self, id: RStr<'_>) -> AbiResult<ROption<RVec<u8>>> {
        guarded("layer_dir", || self.0.layer_dir(id.as_str()))
    }
    fn image_plan(&self, layers: RSlice<'_, RString>) -> AbiResult<RVec<MountAbi>> {
        guarded("image_plan", || self.0.image_plan(&strings(layers)))
    }
    fn container_disk(&self, id: RStr<'_>) -> AbiResult<ROption<MountAbi>> {
        guarded("container_disk", || self.0.container_disk(id.as_str()))
    }
    fn trash(&self) -> AbiResult<UsageAbi> {
        guarded("trash", || self.0.trash())
    }
}

/// What a library with a storage driver exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = StorageModule)))]
pub struct StorageModuleVal {
    #[sabi(last_prefix_field)]
    pub new: extern "C" fn(HostBox) -> AbiResult<DriverBox>,
}

impl RootModule for StorageModule {
    abi_stable::declare_root_module_statics! {StorageModule}
    const BASE_NAME: &'static str = "gantry_storage";
    const NAME: &'static str = "gantry_storage";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// A driver as it crosses, with the engine's handle for it.
pub fn boxed<D: StorageDriver>(driver: D, host: Host) -> DriverBox {
    StorageDriverAbi_TO::from_value(Guard { driver: Quiet::new(driver), host }, TD_Opaque)
}

extern "C" fn new<D: StorageDriver + Default>(host: HostBox) -> AbiResult<DriverBox> {
    raw("new", || {
        let host = author_side(host);
        install(&host);
        Ok(boxed(D::default(), host))
    })
}

extern "C" fn module<D: StorageDriver + Default>() -> RootModuleResult {
    erased(|| StorageModuleVal { new: new::<D> }.leak_into_prefix())
}

/// The header that [`crate::export_plugin!`] exports.
pub const fn header<D: StorageDriver + Default>() -> LibHeader {
    // SAFETY: `module` returns the erased form of a `StorageModule`.
    unsafe { LibHeader::from_constructor::<StorageModule>(module::<D>, CheckTypeLayout::Yes) }
}
