//! Loop devices: a file shown as a block device, for as long as somebody has it open or mounted.

use crate::{Errno, Result, check, check_unit};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// `LOOP_CTL_GET_FREE` of linux/loop.h.
const GET_FREE: libc::c_ulong = 0x4C82;
/// `LOOP_CONFIGURE`, since Linux 5.8: file and flags in one step.
const CONFIGURE: libc::c_ulong = 0x4C0A;
/// `LOOP_GET_STATUS64`.
const GET_STATUS: libc::c_ulong = 0x4C05;
const READ_ONLY: u32 = 1;
/// The kernel gives the file up when the device's last user has gone, however he went.
const AUTOCLEAR: u32 = 4;
/// What is written passes the page cache once, not twice; where the file's own file system cannot, it is left out.
const DIRECT_IO: u32 = 16;
/// `FITRIM` of linux/fs.h.
const TRIM: libc::c_ulong = 0xC018_5879;
/// Others look for a free device at the same moment.
const TRIES: usize = 64;
/// A device that is about to let go of the file does so within this time.
const LETTING_GO: Duration = Duration::from_secs(5);

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// A device that shows a file. Dropped and not mounted, it is given up.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _device: File,
}

impl LoopDevice {
    /// Shows `file`; writable if the file is open for writing and `read_only` is false. Where a device shows it already, it
    /// is that one: an earlier mount may live on in a namespace that nobody has left yet, and two devices of one file would
    /// be two file systems that know nothing of each other.
    pub fn attach(file: BorrowedFd<'_>, read_only: bool) -> std::io::Result<LoopDevice> {
        if let Some(device) = LoopDevice::showing(file, read_only)? {
            return Ok(device);
        }
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        for _ in 0..TRIES {
            // SAFETY: LOOP_CTL_GET_FREE takes no argument and touches no memory of ours.
            let number = check(unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) }.into())?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let flags = libc::O_CLOEXEC;
            let device = OpenOptions::new().read(true).write(!read_only).custom_flags(flags).open(&path)?;
            match configure(&device, file, read_only) {
                Ok(()) => return Ok(LoopDevice { path, _device: device }),
                Err(Errno::EBUSY) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::EBUSY.into())
    }

    fn showing(file: BorrowedFd<'_>, read_only: bool) -> std::io::Result<Option<LoopDevice>> {
        let meta = File::from(file.try_clone_to_owned()?).metadata()?;
        let until = Instant::now() + LETTING_GO;
        while let Some(path) = device_of(file)? {
            let flags = libc::O_CLOEXEC;
            let opened = OpenOptions::new().read(true).write(!read_only).custom_flags(flags).open(&path);
            if let Ok(device) = opened
                && shown_by(&device) == Some((meta.dev(), meta.ino()))
            {
                return Ok(Some(LoopDevice { path, _device: device }));
            }
            if Instant::now() > until {
                return Err(std::io::Error::other(format!("{} does not let go of it", path.display())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(None)
    }

    /// Where the device is.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// The device that shows a file, by the name it was opened with.
fn device_of(file: BorrowedFd<'_>) -> std::io::Result<Option<PathBuf>> {
    let own = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut devices = devices.filter(|entry| entry.file_name().as_bytes().starts_with(b"loop"));
    let shows = |entry: &std::fs::DirEntry| {
        let shown = std::fs::read(entry.path().join("loop/backing_file")).unwrap_or_default();
        shown.strip_suffix(b"\n").is_some_and(|shown| shown == own.as_os_str().as_bytes())
    };
    Ok(devices.find(shows).map(|entry| PathBuf::from("/dev").join(entry.file_name())))
}

/// Device and inode of the file that a device shows; `None` when it is letting go of it.
fn shown_by(device: &File) -> Option<(u64, u64)> {
    let mut info = Info::with(0);
    // SAFETY: LOOP_GET_STATUS64 writes one structure, the live variable we pass.
    check_unit(unsafe { libc::ioctl(device.as_raw_fd(), GET_STATUS, &raw mut info) }.into()).ok()?;
    Some((info.device, info.inode))
}

fn configure(device: &File, file: BorrowedFd<'_>, read_only: bool) -> Result<()> {
    let flags = AUTOCLEAR | DIRECT_IO | if read_only { READ_ONLY } else { 0 };
    let config = Config { fd: file.as_raw_fd() as u32, block_size: 0, info: Info::with(flags), reserved: [0; 8] };
    // SAFETY: LOOP_CONFIGURE reads one structure from the live variable we pass.
    check_unit(unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, &raw const config) }.into())
}

/// Has a mounted file system tell its device what is free, which becomes holes in a file behind a loop device. `mounted`
/// is a directory of it.
pub fn trim(mounted: BorrowedFd<'_>) -> Result<()> {
    // `struct fstrim_range`: all of it, whatever the length of a free piece.
    let mut range: [u64; 3] = [0, u64::MAX, 0];
    // SAFETY: FITRIM reads and writes one structure of three numbers, the live variable we pass.
    check_unit(unsafe { libc::ioctl(mounted.as_raw_fd(), TRIM, &raw mut range) }.into())
}

impl Info {
    fn with(flags: u32) -> Info {
        Info {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_structures() {
        assert_eq!((size_of::<Info>(), size_of::<Config>()), (232, 304));
    }

    #[test]
    fn a_file_is_shown_until_nobody_has_it() {
        use std::io::{Read, Write};
        use std::os::fd::AsFd;
        if !nix::unistd::geteuid().is_root() || !std::path::Path::new("/dev/loop-control").exists() {
            eprintln!("skipped: needs root and loop devices");
            return;
        }
        let dir = std::env::temp_dir().join(format!("gantry-loop-{}", std::process::id()));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&dir).expect("made");
        file.write_all(&[7; 1 << 20]).expect("written");
        file.sync_all().expect("synced");
        let device = LoopDevice::attach(file.as_fd(), false).expect("attached");
        let mut first = [0; 4096];
        File::open(device.path()).expect("opens").read_exact(&mut first).expect("reads");
        assert_eq!(first, [7; 4096]);
        let backing = format!("/sys/block/{}/loop/backing_file", device.path().file_name().expect("name").display());
        assert!(std::path::Path::new(&backing).exists());
        let again = LoopDevice::attach(file.as_fd(), false).expect("attached");
        assert_eq!(again.path(), device.path(), "a file has one device");
        drop(again);
        assert!(std::path::Path::new(&backing).exists());
        drop(device);
        let shown = || std::fs::read_to_string(&backing).is_ok_and(|text| text.trim() == dir.to_string_lossy());
        for _ in 0..100 {
            if !shown() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(!shown(), "nobody has it open any more");
        std::fs::remove_file(&dir).expect("removed");
    }
}
