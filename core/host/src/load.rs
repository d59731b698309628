//! Opens a checked file as a library: dlopen of the very descriptor, the version handshake, the layout check (or its
//! remembered verdict), and a look at what the library did to the process while it was loaded.

use crate::cdoor;
use crate::cdoor::abi::{Entry, Plugin, SYMBOL};
use crate::plugins::Found;
use crate::verdict::Verdicts;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeader, AbiHeaderRef, LibHeader, RootModule};
use gantry_plugin_api::abi::{API_VERSION, symbol};
use gantry_plugin_api::manifest::ApiVersion;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::os::fd::AsRawFd;

/// The root module of a plugin, or why there is none. The library stays for the life of the process.
pub fn module<M: RootModule>(found: &Found, verdicts: &Verdicts) -> Result<M, String> {
    let what = found.kind.name();
    let checked = verdicts.passed(&found.identity, what);
    let before = (!checked).then(Traces::take);
    let header = header(found)?;
    handshake(header)?;
    if !checked {
        check_layout(header, M::LAYOUT)?;
        verdicts.remember(&found.identity, what);
    }
    if let Some(before) = before {
        before.compare(found);
    }
    // SAFETY: the layout of the module was checked just now or in an earlier process with the same file and engine.
    let module = unsafe { header.unchecked_layout::<M>() };
    module.map_err(|_| "its constructor panicked".to_owned())
}

/// The tables of a plugin in C. There is nothing to compare: its structs say how long they are.
pub fn plugin(found: &Found, verdicts: &Verdicts) -> Result<Plugin, String> {
    let what = found.kind.name();
    let before = (!verdicts.passed(&found.identity, what)).then(Traces::take);
    let address = find(found, SYMBOL)?;
    // SAFETY: the note says that the symbol is this function; the library is never unloaded.
    let entry = unsafe { std::mem::transmute::<*const AbiHeader, Entry>(address) };
    // SAFETY: as above.
    let plugin = unsafe { cdoor::plugin(entry) }?;
    if let Some(before) = before {
        verdicts.remember(&found.identity, what);
        before.compare(found);
    }
    Ok(plugin)
}

fn header(found: &Found) -> Result<&'static LibHeader, String> {
    upgrade(find(found, symbol(found.kind))?)
}

/// Opens the library and looks a symbol up.
fn find(found: &Found, name: &[u8]) -> Result<*const AbiHeader, String> {
    let path = format!("/proc/self/fd/{}", found.file.as_raw_fd());
    // SAFETY: the file's owner is trusted with this process: its constructors may do what we may.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library = std::mem::ManuallyDrop::new(library.map_err(|e| plain(&e.to_string(), &path))?);
    // SAFETY: the symbol is only read as an address here.
    let found_symbol = unsafe { library.get::<*const AbiHeader>(name) };
    let address = found_symbol.map_err(|_| format!("symbol {} is missing", symbol_name(name)))?.into_raw();
    Ok(address.cast::<AbiHeader>())
}

fn upgrade(address: *const AbiHeader) -> Result<&'static LibHeader, String> {
    // SAFETY: the library is never unloaded; the note says who wrote the symbol.
    let header: &'static AbiHeader = unsafe { &*address };
    // SAFETY: AbiHeaderRef is a transparent wrapper of such a reference.
    let header = unsafe { std::mem::transmute::<&'static AbiHeader, AbiHeaderRef>(header) };
    header.upgrade().map_err(|_| "built with another binary interface (abi_stable)".to_owned())
}

fn symbol_name(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

/// The loader's words without the descriptor's path, which says nothing to the user.
fn plain(text: &str, path: &str) -> String {
    text.replace(&format!("{path}: "), "").replace('\n', " ")
}

/// The note said so already; the header is what will be trusted.
fn handshake(header: &LibHeader) -> Result<(), String> {
    let built = version_of(header).ok_or("its version cannot be read")?;
    match API_VERSION.accepts(built) {
        true => Ok(()),
        false => Err(format!("built for plugin API {built}, this engine supports {API_VERSION}")),
    }
}

fn version_of(header: &LibHeader) -> Option<ApiVersion> {
    let text = header.version_strings().version;
    let mut parts = text.as_str().split('.').map(|p| p.parse().ok());
    Some(ApiVersion { major: parts.next()??, minor: parts.next()?? })
}

/// abi_stable asks that the interface has no more fields than the implementation: the older side is the interface.
fn check_layout(header: &'static LibHeader, ours: &'static abi_stable::type_layout::TypeLayout) -> Result<(), String> {
    let theirs = header.layout().ok_or("it carries no layout")?;
    let plugin_is_newer = version_of(header).is_some_and(|v| v > API_VERSION);
    let (interface, implementation) = if plugin_is_newer { (ours, theirs) } else { (theirs, ours) };
    check_layout_compatibility(interface, implementation).map_err(|faults| {
        tracing::debug!("layout faults: {:.2000}", faults.to_string());
        "its data types differ from the engine's: rebuild it against this engine's plugin API".to_owned()
    })
}

/// What a library must leave alone while it is loaded.
struct Traces {
    threads: usize,
    handlers: Vec<usize>,
}

impl Traces {
    fn take() -> Self {
        let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        Traces { threads, handlers: (1..=64).map(handler).collect() }
    }

    /// Other threads of ours may come and go meanwhile, so a difference proves nothing.
    fn compare(&self, found: &Found) {
        let now = Traces::take();
        let path = found.path.display();
        if now.threads > self.threads {
            tracing::info!(%path, "the plugin started {} thread(s) while it was loaded", now.threads - self.threads);
        }
        for (i, _) in self.handlers.iter().zip(&now.handlers).enumerate().filter(|(_, (a, b))| a != b) {
            tracing::warn!(%path, "the plugin changed the handler of signal {}", i + 1);
        }
    }
}

fn handler(signal: i32) -> usize {
    // SAFETY: sigaction is plain data; every bit pattern is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: no new action is given, the old one is written to our memory.
    unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    action.sa_sigaction
}
