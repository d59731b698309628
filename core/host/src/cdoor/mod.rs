//! The C door: plugins that export `gantry_plugin_v1` of `plugin-api/include/gantry_plugin.h`. Their tables are wrapped in
//! the authors' traits, and those in the same objects that plugins in Rust give, so that nobody behind this module knows
//! the difference.
//!
//! What a plugin's function is called with, it may use as the header says: the calls are as safe as the plugin is honest,
//! which is what its owner is trusted with. What it answers is copied at once and believed in nothing: texts may be no
//! UTF-8, structs may be shorter than ours, required functions may be missing.

pub mod abi;
mod log;
mod network;
mod storage;
mod texts;
mod volume;

pub use log::driver as log;
pub use network::driver as network;
pub use storage::driver as storage;
pub use volume::driver as volume;

use abi::{Entry, Plugin, Sized0};
use gantry_plugin_api::host::{Host, Level};
use gantry_plugin_api::{Class, Error, Result};
use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;
use texts::{Keep, lossy};

/// An object of the driver's: its own pointer, which it may use from any thread.
#[derive(Clone, Copy)]
struct Its(*mut c_void);

// SAFETY: the header tells authors that calls come from any thread.
unsafe impl Send for Its {}
// SAFETY: as above; those on one sink or reader come one after the other, as its trait takes it by `&mut`.
unsafe impl Sync for Its {}

impl Its {
    const NONE: Its = Its(std::ptr::null_mut());
}

/// Copies of tables, which hold functions that live as long as the process.
struct Table<T>(T);

// SAFETY: a table is never written, and its functions may be called from any thread.
unsafe impl<T> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Table<T> {}

/// What both sides know of a struct that begins with its size; what only one of them knows counts as absent.
///
/// # Safety
/// `from` is null or leads to such a struct, as the header says.
unsafe fn taken<T: Sized0>(from: *const T) -> Option<T> {
    if from.is_null() {
        return None;
    }
    // SAFETY: the first member is the size.
    let size = unsafe { from.cast::<usize>().read() };
    let mut ours = MaybeUninit::<T>::zeroed();
    // SAFETY: so many bytes exist on both sides.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), ours.as_mut_ptr().cast(), size.min(size_of::<T>())) };
    // SAFETY: zero is valid for whatever was not copied.
    Some(unsafe { ours.assume_init() })
}

/// The tables of a plugin.
///
/// # Safety
/// `entry` is the function of the header, in a library that stays.
pub unsafe fn plugin(entry: Entry) -> Result<Plugin, String> {
    // SAFETY: by the caller.
    let answered = unsafe { entry() };
    // SAFETY: the header says what is answered.
    unsafe { taken(answered) }.ok_or_else(|| "gantry_plugin_v1 answers nothing".to_owned())
}

/// The table of one kind, or why there is none.
fn table<T: Sized0>(from: *const T, kind: &str) -> Result<Table<T>> {
    // SAFETY: the pointer stands in a plugin's table.
    let table = unsafe { taken(from) };
    table.map(Table).ok_or_else(|| Error::unsupported(format!("gantry_plugin_v1 has no table for {kind}")))
}

/// The function of a table that a driver must have.
fn needed<F>(function: Option<F>, name: &str) -> Result<F> {
    function.ok_or_else(|| Error::unsupported(format!("the driver has no {name}")))
}

/// Calls the driver's `start`, if it has one.
fn start(function: abi::Start, host: &Host) -> Result<Its> {
    let Some(function) = function else { return Ok(Its::NONE) };
    let (lent, mut its) = (lend(host.clone()), std::ptr::null_mut());
    // SAFETY: the handle is never freed, the place for the answer lives here.
    Words::new().ask("start", |error| unsafe { function(lent, &mut its, error) })?;
    Ok(Its(its))
}

/// The engine's handle in the form of the header. It stays: a driver may keep it, and there is one per driver.
fn lend(host: Host) -> *const abi::Host {
    let context: &'static Host = Box::leak(Box::new(host));
    let context = (&raw const *context).cast_mut().cast();
    let (log, count, gauge) = (Some(said as _), Some(counted as _), Some(gauged as _));
    Box::leak(Box::new(abi::Host { size: size_of::<abi::Host>(), context, log, count, gauge }))
}

/// # Safety
/// `context` is the one of [`lend`].
unsafe fn host<'a>(context: *mut c_void) -> &'a Host {
    // SAFETY: it leads to a host that is never freed.
    unsafe { &*context.cast::<Host>() }
}

unsafe extern "C" fn said(context: *mut c_void, level: u32, message: *const c_char) {
    // SAFETY: the plugin passes back the context it was given.
    let host = unsafe { host(context) };
    // SAFETY: the message is a C string or null.
    host.log(Level(level), &unsafe { lossy(message) });
}

unsafe extern "C" fn counted(context: *mut c_void, name: *const c_char, by: u64) {
    // SAFETY: the plugin passes back the context it was given.
    let host = unsafe { host(context) };
    // SAFETY: the name is a C string or null.
    host.count(&unsafe { lossy(name) }, by);
}

unsafe extern "C" fn gauged(context: *mut c_void, name: *const c_char, value: i64) {
    // SAFETY: the plugin passes back the context it was given.
    let host = unsafe { host(context) };
    // SAFETY: the name is a C string or null.
    host.gauge(&unsafe { lossy(name) }, value);
}

/// Buffers for what a driver says when it fails. Whoever calls often keeps them.
struct Words {
    message: [u8; 1024],
    hint: [u8; 512],
}

impl Words {
    fn new() -> Self {
        Words { message: [0; 1024], hint: [0; 512] }
    }

    /// Makes a call and turns its answer into a result.
    #[inline]
    fn ask(&mut self, call: &'static str, act: impl FnOnce(*mut abi::Error) -> c_int) -> Result<()> {
        (self.message[0], self.hint[0]) = (0, 0);
        let mut error = abi::Error {
            size: size_of::<abi::Error>(),
            message: self.message.as_mut_ptr().cast(),
            message_len: self.message.len(),
            hint: self.hint.as_mut_ptr().cast(),
            hint_len: self.hint.len(),
        };
        match act(&mut error) {
            0 => Ok(()),
            code => Err(self.error(call, code)),
        }
    }

    #[cold]
    fn error(&self, call: &str, code: c_int) -> Error {
        let class = u32::try_from(code).map_or(Class::DRIVER, Class);
        let message = line(&self.message);
        let message = if message.is_empty() { format!("{call} failed (class {code})") } else { message };
        Error::new(class, message).hint(line(&self.hint))
    }
}

/// The text of a buffer as one line.
fn line(buffer: &[u8]) -> String {
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).replace(['\n', '\r'], " ")
}

/// A place for what `emit` brings, as the plugin passes it back.
fn place<T>(of: &mut T) -> *mut c_void {
    (&raw mut *of).cast()
}

/// # Safety
/// `to` is the [`place`] of a `T` of the call under way.
unsafe fn at<'a, T>(to: *mut c_void) -> &'a mut T {
    // SAFETY: the caller of the plugin's function waits, and uses it again only afterwards.
    unsafe { &mut *to.cast() }
}

/// A mount that a driver emits.
///
/// # Safety
/// As of [`taken`].
unsafe fn mount(from: *const abi::Mount) -> Option<gantry_plugin_api::types::Mount> {
    // SAFETY: by the caller.
    let mount = unsafe { taken(from) }?;
    Some(gantry_plugin_api::types::Mount {
        // SAFETY: texts of the plugin's struct.
        fstype: unsafe { lossy(mount.fstype) },
        // SAFETY: as above.
        source: unsafe { lossy(mount.source) },
        // SAFETY: as above.
        target: unsafe { lossy(mount.target) },
        flags: mount.flags,
        // SAFETY: as above.
        options: unsafe { texts::flagged(&mount.options) },
    })
}

/// Gathers mounts.
unsafe extern "C" fn take_mount(to: *mut c_void, from: *const abi::Mount) {
    // SAFETY: the plugin passes a mount as the header says.
    let mount = unsafe { mount(from) };
    // SAFETY: `to` is the list of the call under way.
    unsafe { at::<Vec<gantry_plugin_api::types::Mount>>(to) }.extend(mount);
}

/// Gathers one text.
unsafe extern "C" fn take_text(to: *mut c_void, text: *const c_char) {
    // SAFETY: a C string or null.
    let text = unsafe { texts::path(text) };
    // SAFETY: `to` is the place of the call under way.
    *unsafe { at::<Option<std::path::PathBuf>>(to) } = text;
}

fn dirs(keep: &mut Keep, dirs: &gantry_plugin_api::types::Dirs) -> Result<abi::Dirs> {
    Ok(abi::Dirs { size: size_of::<abi::Dirs>(), root: keep.path(&dirs.root)?, state: keep.path(&dirs.state)? })
}

/// The bits of capabilities that are set, in the order of the fields: as the Rust interface numbers them.
fn bit(bits: u64, number: u32) -> bool {
    bits >> number & 1 == 1
}
