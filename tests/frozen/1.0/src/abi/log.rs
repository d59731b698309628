//! The log kind on the wire.

use super::data::{AbiResult, OptionsAbi};
use super::guard::{Quiet, guarded, install, raw};
use super::host::{HostBox, author_side};
use super::mirror::{Mirror, Pair, bits, mirror};
use super::{RootModuleResult, erased};
use crate::host::Host;
use crate::log::*;
use crate::options::Options;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, ROption, RSlice, RStr, RVec, Tuple2};
use abi_stable::{StableAbi, sabi_trait};
use std::marker::PhantomData;

mirror! {
    struct LogContainerAbi for LogContainer + ext {
        id: String, name: String, image_id: String, image_name: String, command: Vec<String>, created_ns: u64,
        env: Vec<String>, labels: Vec<(String, String)>, attributes: Vec<(String, String)>, tag: String,
        hostname: String, dir: std::path::PathBuf,
    }
    struct ReadQueryAbi for ReadQuery + ext { since_ns: u64, until_ns: u64, tail: Option<u64>, follow: bool }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct LogCapabilitiesAbi {
    pub bits: u64,
    pub max_line: u32,
    pub ext: RVec<Pair>,
}

bits!(LogCapabilities, read, rotate, remote, removes, trims);

impl Mirror for LogCapabilities {
    type Abi = LogCapabilitiesAbi;
    fn to_abi(&self) -> LogCapabilitiesAbi {
        LogCapabilitiesAbi { bits: to_bits(self), max_line: self.max_line, ext: RVec::new() }
    }
    fn from_abi(abi: &LogCapabilitiesAbi) -> Self {
        LogCapabilities { max_line: abi.max_line, ..from_bits(abi.bits) }
    }
}

#[sabi_trait]
pub trait LogDriverAbi: Send + Sync {
    fn capabilities(&self) -> AbiResult<LogCapabilitiesAbi>;
    fn validate(&self, options: &OptionsAbi) -> AbiResult<()>;
    fn open(
        &self,
        container: &LogContainerAbi,
        options: &OptionsAbi,
        resume: ROption<ResumeToken>,
    ) -> AbiResult<OpenedSinkAbi>;
    fn open_reader(
        &self,
        container: &LogContainerAbi,
        options: &OptionsAbi,
        query: &ReadQueryAbi,
    ) -> AbiResult<ReaderBox>;
    fn remove(&self, container: &LogContainerAbi, options: &OptionsAbi) -> AbiResult<()>;
    #[sabi(last_prefix_field)]
    fn trim(&self, container: &LogContainerAbi, options: &OptionsAbi, bytes: u64, all: bool) -> AbiResult<Trimmed>;
}

#[sabi_trait]
pub trait LogSinkAbi: Send {
    fn write(&mut self, batch: RSlice<'_, LogRecord<'_>>) -> AbiResult<ResumeToken>;
    fn flush(&mut self) -> AbiResult<()>;
    fn reopen(&mut self) -> AbiResult<()>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> AbiResult<()>;
}

#[sabi_trait]
pub trait LogReaderAbi: Send {
    #[sabi(last_prefix_field)]
    fn next(&mut self, max: u32, wait_ms: u32, emit: EmitAbi<'_>) -> AbiResult<ReadState>;
}

pub type DriverBox = LogDriverAbi_TO<'static, RBox<()>>;
pub type SinkBox = LogSinkAbi_TO<'static, RBox<()>>;
pub type ReaderBox = LogReaderAbi_TO<'static, RBox<()>>;

#[repr(C)]
#[derive(StableAbi)]
pub struct OpenedSinkAbi {
    pub sink: SinkBox,
    pub beyond: u64,
    pub ext: RVec<Pair>,
}

/// A borrowed closure of the host that takes records. The host's function never unwinds.
#[repr(C)]
#[derive(StableAbi)]
pub struct EmitAbi<'a> {
    // Spelled out: the layout derive must see the lifetimes of a function pointer.
    call: extern "C" fn(*mut (), RSlice<'_, LogRecord<'_>>, RSlice<'_, Tuple2<RStr<'_>, RStr<'_>>>),
    state: *mut (),
    lifetime: PhantomData<&'a ()>,
}

/// The host's closure and whether it panicked.
struct Receiver<'e, 'a> {
    emit: &'e mut Emit<'a>,
    panicked: bool,
}

/// Calls `with` with a crossing form of `emit`. False when `emit` panicked.
pub fn lend_emit<R>(emit: &mut Emit<'_>, with: impl FnOnce(EmitAbi<'_>) -> R) -> (R, bool) {
    let mut receiver = Receiver { emit, panicked: false };
    let state = (&raw mut receiver).cast::<()>();
    let answer = with(EmitAbi { call: receive, state, lifetime: PhantomData });
    (answer, receiver.panicked)
}

extern "C" fn receive(
    state: *mut (),
    batch: RSlice<'_, LogRecord<'_>>,
    attributes: RSlice<'_, Tuple2<RStr<'_>, RStr<'_>>>,
) {
    // SAFETY: `state` is the receiver on the stack of `lend_emit`, which waits for this call's caller.
    let receiver = unsafe { &mut *state.cast::<Receiver<'_, '_>>() };
    let pairs = owned_pairs(attributes.as_slice());
    let act = std::panic::AssertUnwindSafe(|| (receiver.emit)(batch.as_slice(), &pairs));
    if let Err(payload) = std::panic::catch_unwind(act) {
        std::mem::forget(payload);
        receiver.panicked = true;
    }
}

fn owned_pairs(pairs: &[Tuple2<RStr<'_>, RStr<'_>>]) -> Vec<(String, String)> {
    pairs.iter().map(|p| (p.0.as_str().to_owned(), p.1.as_str().to_owned())).collect()
}

/// The author's driver behind the wire.
struct Guard<D> {
    driver: Quiet<D>,
    host: Host,
}

impl<D: LogDriver> LogDriverAbi for Guard<D> {
    fn capabilities(&self) -> AbiResult<LogCapabilitiesAbi> {
        guarded("capabilities", || Ok(self.driver.capabilities()))
    }

    fn validate(&self, options: &OptionsAbi) -> AbiResult<()> {
        guarded("validate", || self.driver.validate(&Options::from_abi(options)))
    }

    fn open(
        &self,
        container: &LogContainerAbi,
        options: &OptionsAbi,
        resume: ROption<ResumeToken>,
    ) -> AbiResult<OpenedSinkAbi> {
        raw("open", || {
            let (container, options) = (LogContainer::from_abi(container), Options::from_abi(options));
            let resume = resume.into_option();
            let opened = self.driver.open(&container, &options, resume.as_ref(), self.host.clone())?;
            let sink = LogSinkAbi_TO::from_value(SinkGuard(Quiet::new(opened.sink)), TD_Opaque);
            Ok(OpenedSinkAbi { sink, beyond: opened.beyond, ext: RVec::new() })
        })
    }

    fn open_reader(
        &self,
        container: &LogContainerAbi,
        options: &OptionsAbi,
        query: &ReadQueryAbi,
    ) -> AbiResult<ReaderBox> {
        raw("open_reader", || {
            let (container, options) = (LogContainer::from_abi(container), Options::from_abi(options));
            let query = ReadQuery::from_abi(query);
            let reader = self.driver.open_reader(&container, &options, &query, self.host.clone())?;
            Ok(LogReaderAbi_TO::from_value(ReaderGuard(Quiet::new(reader)), TD_Opaque))
        })
    }

    fn remove(&self, container: &LogContainerAbi, options: &OptionsAbi) -> AbiResult<()> {
        guarded("remove", || self.driver.remove(&LogContainer::from_abi(container), &Options::from_abi(options)))
    }

    fn trim(&self, container: &LogContainerAbi, options: &OptionsAbi, bytes: u64, all: bool) -> AbiResult<Trimmed> {
        raw("trim", || self.driver.trim(&LogContainer::from_abi(container), &Options::from_abi(options), bytes, all))
    }
}

struct SinkGuard(Quiet<Box<dyn LogSink>>);

impl LogSinkAbi for SinkGuard {
    fn write(&mut self, batch: RSlice<'_, LogRecord<'_>>) -> AbiResult<ResumeToken> {
        raw("write", || self.0.write(batch.as_slice()))
    }

    fn flush(&mut self) -> AbiResult<()> {
        raw("flush", || self.0.flush())
    }

    fn reopen(&mut self) -> AbiResult<()> {
        raw("reopen", || self.0.reopen())
    }

    fn close(&mut self) -> AbiResult<()> {
        raw("close", || self.0.close())
    }
}

struct ReaderGuard(Quiet<Box<dyn LogReader>>);

impl LogReaderAbi for ReaderGuard {
    fn next(&mut self, max: u32, wait_ms: u32, emit: EmitAbi<'_>) -> AbiResult<ReadState> {
        raw("next", || {
            self.0.next(max, wait_ms, &mut |batch: &[LogRecord<'_>], pairs: &[(String, String)]| {
                let pairs: Vec<_> = pairs.iter().map(|(k, v)| Tuple2(k.as_str().into(), v.as_str().into())).collect();
                (emit.call)(emit.state, batch.into(), RSlice::from(pairs.as_slice()));
            })
        })
    }
}

/// What a library with a log driver exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = LogModule)))]
pub struct LogModuleVal {
    #[sabi(last_prefix_field)]
    pub new: extern "C" fn(HostBox) -> AbiResult<DriverBox>,
}

impl RootModule for LogModule {
    abi_stable::declare_root_module_statics! {LogModule}
    const BASE_NAME: &'static str = "gantry_log";
    const NAME: &'static str = "gantry_log";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// A driver as it crosses, with the engine's handle for it.
pub fn boxed<D: LogDriver>(driver: D, host: Host) -> DriverBox {
    LogDriverAbi_TO::from_value(Guard { driver: Quiet::new(driver), host }, TD_Opaque)
}

extern "C" fn new<D: LogDriver + Default>(host: HostBox) -> AbiResult<DriverBox> {
    raw("new", || {
        let host = author_side(host);
        install(&host);
        Ok(boxed(D::default(), host))
    })
}

extern "C" fn module<D: LogDriver + Default>() -> RootModuleResult {
    erased(|| LogModuleVal { new: new::<D> }.leak_into_prefix())
}

/// The header that [`crate::export_plugin!`] exports.
pub const fn header<D: LogDriver + Default>() -> LibHeader {
    // SAFETY: `module` returns the erased form of a `LogModule`.
    unsafe { LibHeader::from_constructor::<LogModule>(module::<D>, CheckTypeLayout::Yes) }
}
