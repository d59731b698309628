//! Handles of loaded drivers: the author's traits as the engine calls them. Arguments are copied into what crosses the
//! interface, so that a call whose deadline passed may go on with them for ever.

pub mod log;
pub mod network;
pub mod storage;
pub mod volume;

use crate::cdoor::abi::Plugin;
use crate::error::{Error, Result};
use crate::plugins::Found;
use crate::verdict::Verdicts;
use crate::worker::{Crew, Limit};
use abi_stable::library::RootModule;
use gantry_plugin_api::abi::Mirror;
use gantry_plugin_api::abi::data::{AbiResult, ErrorAbi, answer};
use gantry_plugin_api::abi::host::{HostBox, lend};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::manifest::{Door, Kind};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// A driver of some kind, as the registry of loaded ones keeps it.
#[derive(Clone)]
pub enum Loaded {
    Log(log::LogDriver),
    Storage(storage::StorageDriver),
    Network(network::NetworkDriver),
    Volume(volume::VolumeDriver),
}

/// What the four kinds of handles have in common.
pub trait Driver: Clone + Send + Sized + 'static {
    const KIND: Kind;
    /// Loads the file and constructs the driver; runs on a thread of `crew`.
    fn start(found: Arc<Found>, verdicts: &Verdicts, crew: Arc<Crew>) -> Result<Self>;
    fn to_loaded(&self) -> Loaded;
    fn from_loaded(loaded: Loaded) -> Option<Self>;
}

/// A driver's object and the threads that call it.
pub struct Handle<O: Send + Sync + 'static> {
    object: ManuallyDrop<Arc<O>>,
    crew: Arc<Crew>,
}

/// The author's `Drop` is a call like any other: it may hang.
impl<O: Send + Sync + 'static> Drop for Handle<O> {
    fn drop(&mut self) {
        // SAFETY: the field is not used again.
        let object = unsafe { ManuallyDrop::take(&mut self.object) };
        if let Some(object) = Arc::into_inner(object) {
            self.crew.discard(object);
        }
    }
}

impl<O: Send + Sync + 'static> Clone for Handle<O> {
    fn clone(&self) -> Self {
        Handle { object: self.object.clone(), crew: self.crew.clone() }
    }
}

impl<O: Send + Sync + 'static> Handle<O> {
    pub fn new(object: O, crew: Arc<Crew>) -> Self {
        Handle { object: ManuallyDrop::new(Arc::new(object)), crew }
    }

    pub fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    /// A call whose answer has a mirror.
    pub fn call<T: Mirror + Send + 'static>(
        &self,
        limit: Limit,
        name: &'static str,
        act: impl FnOnce(&O) -> AbiResult<T::Abi> + Send + 'static,
    ) -> Result<T> {
        let object = Arc::clone(&self.object);
        let crew = Arc::clone(&self.crew);
        let answered = self.crew.run(limit, name, move || crew.watch(name, || answer::<T>(act(&object))))?;
        answered.map_err(|error| said(&self.crew, name, error))
    }

    /// [`Handle::call`] for each of many, with one handing over for all: that costs more than a small call.
    pub fn call_each<A: Send + 'static, T: Mirror + Send + 'static>(
        &self,
        limit: Limit,
        name: &'static str,
        each: Vec<A>,
        act: impl Fn(&O, &A) -> AbiResult<T::Abi> + Send + 'static,
    ) -> Result<Vec<Result<T>>> {
        let object = Arc::clone(&self.object);
        let crew = Arc::clone(&self.crew);
        let call = move |one: &A| crew.watch(name, || answer::<T>(act(&object, one)));
        let job = move || each.iter().map(call).collect::<Vec<_>>();
        let answers = self.crew.run(limit, name, job)?;
        Ok(answers.into_iter().map(|one| one.map_err(|error| said(&self.crew, name, error))).collect())
    }

    /// A call whose answer is an object of the driver's.
    pub fn call_raw<A: Send + 'static>(
        &self,
        limit: Limit,
        name: &'static str,
        act: impl FnOnce(&O) -> AbiResult<A> + Send + 'static,
    ) -> Result<A> {
        let object = Arc::clone(&self.object);
        let crew = Arc::clone(&self.crew);
        let answered = self.crew.run(limit, name, move || crew.watch(name, || unmirrored(act(&object))))?;
        answered.map_err(|error| said(&self.crew, name, error))
    }
}

/// An answer that crosses as it is.
#[inline]
pub fn unmirrored<A>(result: AbiResult<A>) -> Result<A, gantry_plugin_api::Error> {
    match result.into_result() {
        Ok(value) => Ok(value),
        Err(error) => Err(Mirror::from_abi(&*error)),
    }
}

/// A call that runs on the caller's thread.
#[inline]
pub fn direct<A>(crew: &Crew, call: &'static str, act: impl FnOnce() -> AbiResult<A>) -> Result<A> {
    if crew.is_watched() {
        return crew.watch(call, || unmirrored(act())).map_err(|error| said(crew, call, error));
    }
    match act().into_result() {
        Ok(value) => Ok(value),
        Err(error) => Err(failed(crew, call, &error)),
    }
}

#[cold]
fn failed(crew: &Crew, call: &'static str, error: &ErrorAbi) -> Error {
    said(crew, call, Mirror::from_abi(&**error))
}

/// The driver's error with the driver's name.
#[cold]
pub fn said(crew: &Crew, call: &'static str, mut error: gantry_plugin_api::Error) -> Error {
    for text in [&mut error.message, &mut error.hint].into_iter().chain(&mut error.causes) {
        *text = presentable(text);
    }
    Error::Call { kind: crew.kind, name: crew.name.clone(), call, error: Box::new(error) }
}

/// The longest sentence that is taken from a driver.
const LONGEST_SENTENCE: usize = 2000;

/// A driver's words, fit for a terminal: one line of bounded length, without control characters.
pub fn presentable(text: &str) -> String {
    text.trim_end().chars().take(LONGEST_SENTENCE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Loads the module of a file and calls its constructor. The file stays open: the loader knows libraries by the name of
/// their descriptor, and a number used again would answer with the wrong one.
pub fn construct<M: RootModule, O>(
    found: Arc<Found>,
    verdicts: &Verdicts,
    crew: &Crew,
    new: impl FnOnce(&M, HostBox) -> AbiResult<O>,
    in_c: impl FnOnce(&Plugin, Host) -> Result<O, gantry_plugin_api::Error>,
) -> Result<O> {
    let found = ManuallyDrop::new(found);
    let (kind, name) = (found.kind, found.name.clone());
    let refused = |reason| Error::Load { kind, name: name.clone(), path: found.path.clone(), reason };
    let host = crate::lend::host_for(format!("{kind}/{name}"), crew.meter().meter(), crew.words().clone());
    let made = match found.manifest.door {
        Door::C => in_c(&crate::load::plugin(&found, verdicts).map_err(refused)?, host),
        Door::Rust => unmirrored(new(&crate::load::module::<M>(&found, verdicts).map_err(refused)?, lend(host))),
        door => return Err(refused(format!("this engine knows no door {door:?}"))),
    };
    made.map_err(|error| Error::Call { kind, name: name.clone(), call: "new", error: Box::new(error) })
}
