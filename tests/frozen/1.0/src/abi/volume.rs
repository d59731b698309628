//! The volume kind on the wire.

use super::data::{AbiResult, DirsAbi, MountAbi, OptionsAbi};
use super::guard::{Quiet, guarded, install, raw};
use super::host::{HostBox, author_side};
use super::mirror::{Mirror, Pair, bits, mirror};
use super::{RootModuleResult, erased};
use crate::host::Host;
use crate::options::Options;
use crate::types::{Dirs, Mount};
use crate::volume::*;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RNone, ROption, RSome, RStr, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

mirror! {
    struct VolumeInfoAbi for VolumeInfo + ext {
        name: String, mountpoint: String, created_ns: u64, status: Vec<(String, String)>,
    }
}

/// A directory, unless a file system is given.
#[repr(C)]
#[derive(StableAbi)]
pub struct VolumeMountAbi {
    pub directory: RString,
    pub file_system: ROption<MountAbi>,
    pub ext: RVec<Pair>,
}

impl Mirror for VolumeMount {
    type Abi = VolumeMountAbi;
    fn to_abi(&self) -> VolumeMountAbi {
        match self {
            VolumeMount::Directory(path) => {
                VolumeMountAbi { directory: path.to_abi(), file_system: RNone, ext: RVec::new() }
            }
            VolumeMount::FileSystem(mount) => {
                VolumeMountAbi { directory: RString::new(), file_system: RSome(mount.to_abi()), ext: RVec::new() }
            }
        }
    }
    fn from_abi(abi: &VolumeMountAbi) -> Self {
        match abi.file_system.as_ref().into_option() {
            Some(mount) => VolumeMount::FileSystem(Mount::from_abi(mount)),
            None => VolumeMount::Directory(String::from_abi(&abi.directory)),
        }
    }
}

bits!(VolumeCapabilities, global_scope, quota, clone, rename);

impl Mirror for VolumeCapabilities {
    type Abi = u64;
    fn to_abi(&self) -> u64 {
        to_bits(self)
    }
    fn from_abi(abi: &u64) -> Self {
        from_bits(*abi)
    }
}

#[sabi_trait]
pub trait VolumeDriverAbi: Send + Sync {
    fn capabilities(&self) -> AbiResult<u64>;
    fn validate(&self, name: RStr<'_>, options: &OptionsAbi) -> AbiResult<()>;
    fn create(&self, name: RStr<'_>, options: &OptionsAbi, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi>;
    fn remove(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<()>;
    fn get(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi>;
    fn list(&self, dirs: &DirsAbi) -> AbiResult<RVec<VolumeInfoAbi>>;
    fn mount(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeMountAbi>;
    fn unmount(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<()>;
    fn clone_volume(&self, from: RStr<'_>, to: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi>;
    #[sabi(last_prefix_field)]
    fn rename(&self, from: RStr<'_>, to: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi>;
}

pub type DriverBox = VolumeDriverAbi_TO<'static, RBox<()>>;

struct Guard<D> {
    driver: Quiet<D>,
    host: Host,
}

impl<D: VolumeDriver> VolumeDriverAbi for Guard<D> {
    fn capabilities(&self) -> AbiResult<u64> {
        guarded("capabilities", || Ok(self.driver.capabilities()))
    }
    fn validate(&self, name: RStr<'_>, options: &OptionsAbi) -> AbiResult<()> {
        guarded("validate", || self.driver.validate(name.as_str(), &Options::from_abi(options)))
    }
    fn create(&self, name: RStr<'_>, options: &OptionsAbi, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi> {
        guarded("create", || {
            self.driver.create(name.as_str(), &Options::from_abi(options), &Dirs::from_abi(dirs), &self.host)
        })
    }
    fn remove(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<()> {
        guarded("remove", || self.driver.remove(name.as_str(), &Dirs::from_abi(dirs), &self.host))
    }
    fn get(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi> {
        guarded("get", || self.driver.get(name.as_str(), &Dirs::from_abi(dirs)))
    }
    fn list(&self, dirs: &DirsAbi) -> AbiResult<RVec<VolumeInfoAbi>> {
        guarded("list", || self.driver.list(&Dirs::from_abi(dirs)))
    }
    fn mount(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeMountAbi> {
        guarded("mount", || self.driver.mount(name.as_str(), &Dirs::from_abi(dirs), &self.host))
    }
    fn unmount(&self, name: RStr<'_>, dirs: &DirsAbi) -> AbiResult<()> {
        guarded("unmount", || self.driver.unmount(name.as_str(), &Dirs::from_abi(dirs), &self.host))
    }
    fn clone_volume(&self, from: RStr<'_>, to: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi> {
        guarded("clone_volume", || {
            self.driver.clone_volume(from.as_str(), to.as_str(), &Dirs::from_abi(dirs), &self.host)
        })
    }
    fn rename(&self, from: RStr<'_>, to: RStr<'_>, dirs: &DirsAbi) -> AbiResult<VolumeInfoAbi> {
        guarded("rename", || self.driver.rename(from.as_str(), to.as_str(), &Dirs::from_abi(dirs), &self.host))
    }
}

/// What a library with a volume driver exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = VolumeModule)))]
pub struct VolumeModuleVal {
    #[sabi(last_prefix_field)]
    pub new: extern "C" fn(HostBox) -> AbiResult<DriverBox>,
}

impl RootModule for VolumeModule {
    abi_stable::declare_root_module_statics! {VolumeModule}
    const BASE_NAME: &'static str = "gantry_volume";
    const NAME: &'static str = "gantry_volume";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// A driver as it crosses, with the engine's handle for it.
pub fn boxed<D: VolumeDriver>(driver: D, host: Host) -> DriverBox {
    VolumeDriverAbi_TO::from_value(Guard { driver: Quiet::new(driver), host }, TD_Opaque)
}

extern "C" fn new<D: VolumeDriver + Default>(host: HostBox) -> AbiResult<DriverBox> {
    raw("new", || {
        let host = author_side(host);
        install(&host);
        Ok(boxed(D::default(), host))
    })
}

extern "C" fn module<D: VolumeDriver + Default>() -> RootModuleResult {
    erased(|| VolumeModuleVal { new: new::<D> }.leak_into_prefix())
}

/// The header that [`crate::export_plugin!`] exports.
pub const fn header<D: VolumeDriver + Default>() -> LibHeader {
    // SAFETY: `module` returns the erased form of a `VolumeModule`.
    unsafe { LibHeader::from_constructor::<VolumeModule>(module::<D>, CheckTypeLayout::Yes) }
}
