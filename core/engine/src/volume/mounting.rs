//! Making a planned mount in the current mount namespace, for volumes that are file systems of their own and for a look
//! into an image. The new mount API takes any number of layers; older kernels get the classic call. As with mount(8),
//! the option `loop` says that the source is a file that holds the file system.

use gantry_runtime::RootMount;
use gantry_sys::loop_device::LoopDevice;
use gantry_sys::mount as sys;
use nix::mount::{MsFlags, mount};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Mounts and keeps the mount to this namespace.
pub(super) fn mount_private(plan: &RootMount, target: &Path) -> io::Result<()> {
    let (plan, device) = on_device(plan.clone())?;
    mount_at(&plan, target)?;
    // From here on the mount alone keeps the device: it goes with it, whoever unmounts.
    drop(device);
    Ok(mount(None::<&str>, target, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?)
}

/// The word that says that the source is a file.
pub(super) fn is_loop((key, value): &(String, Option<String>)) -> bool {
    key == "loop" && value.is_none()
}

/// A plan whose source is a device, also where it was a file.
fn on_device(mut plan: RootMount) -> io::Result<(RootMount, Option<LoopDevice>)> {
    if !plan.options.iter().any(is_loop) {
        return Ok((plan, None));
    }
    plan.options.retain(|option| !is_loop(option));
    let read_only = MsFlags::from_bits_truncate(plan.flags).contains(MsFlags::MS_RDONLY);
    let file = OpenOptions::new().read(true).write(!read_only).open(&plan.source)?;
    let device = LoopDevice::attach(file.as_fd(), read_only)
        .map_err(|error| io::Error::new(error.kind(), format!("no loop device shows it: {error}")))?;
    plan.source = device.path().to_string_lossy().into_owned();
    Ok((plan, Some(device)))
}

/// Mounts.
pub(crate) fn mount_at(plan: &RootMount, target: &Path) -> io::Result<()> {
    let flags = MsFlags::from_bits_truncate(plan.flags);
    if plan.fstype == "bind" {
        let bind = MsFlags::MS_BIND | MsFlags::MS_REC | flags;
        return Ok(mount(Some(plan.source.as_str()), target, None::<&str>, bind, None::<&str>)?);
    }
    if plan.options.iter().any(|(key, _)| key == "lowerdir+") {
        return mount_new(plan, target);
    }
    let data: Vec<String> = plan.options.iter().map(option_text).collect();
    let data = data.join(",");
    Ok(mount(Some(plan.source.as_str()), target, Some(plan.fstype.as_str()), flags, Some(data.as_str()))?)
}

fn mount_new(plan: &RootMount, target: &Path) -> io::Result<()> {
    let fs = sys::fsopen(&CString::new(plan.fstype.as_str())?)?;
    for (key, value) in &plan.options {
        let key = CString::new(key.as_str())?;
        match value {
            Some(value) => sys::fsconfig_string(fs.as_fd(), &key, &CString::new(value.as_str())?)?,
            None => sys::fsconfig_flag(fs.as_fd(), &key)?,
        }
    }
    sys::fsconfig_create(fs.as_fd())?;
    let mounted = sys::fsmount(fs.as_fd(), 0)?;
    Ok(sys::attach(mounted.as_fd(), File::open(target)?.as_fd())?)
}

fn option_text((key, value): &(String, Option<String>)) -> String {
    value.as_ref().map_or_else(|| key.clone(), |v| format!("{key}={v}"))
}
