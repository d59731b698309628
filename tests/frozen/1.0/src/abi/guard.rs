//! What stands between an author's code and the engine: panics become errors, their messages and the `tracing` events of
//! the library go to the engine's log.

use super::data::{AbiResult, ErrorAbi, error};
use super::mirror::Mirror;
use crate::error::{Class, Error, Result};
use crate::host::{Host, Level};
use abi_stable::std_types::{RErr, ROk};
use std::any::Any;
use std::fmt::Write;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, LevelFilter, Metadata, Subscriber};

/// Runs a method of the author and mirrors its answer.
pub fn guarded<T: Mirror>(method: &str, act: impl FnOnce() -> Result<T>) -> AbiResult<T::Abi> {
    raw(method, || act().map(|value| value.to_abi()))
}

/// Runs a method of the author whose answer crosses as it is.
#[inline]
pub fn raw<A>(method: &str, act: impl FnOnce() -> Result<A>) -> AbiResult<A> {
    let crossing = || match act() {
        Ok(answer) => ROk(answer),
        Err(cause) => RErr(boxed(&cause)),
    };
    match catch_unwind(AssertUnwindSafe(crossing)) {
        Ok(answer) => answer,
        Err(payload) => RErr(boxed(&panicked(method, payload))),
    }
}

#[cold]
fn boxed(cause: &Error) -> ErrorAbi {
    error(cause)
}

#[cold]
fn panicked(method: &str, payload: Box<dyn Any + Send>) -> Error {
    Error::new(Class::DRIVER, format!("plugin panicked in {method}: {}", message_of(payload)))
}

/// The text of a panic. Any other payload is leaked: its `Drop` is the author's code too.
fn message_of(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => match other.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(unknown) => {
                std::mem::forget(unknown);
                "unknown reason".to_owned()
            }
        },
    }
}

/// Owns something of the author's and drops it without unwinding.
pub struct Quiet<T>(ManuallyDrop<T>);

impl<T> Quiet<T> {
    pub fn new(value: T) -> Self {
        Quiet(ManuallyDrop::new(value))
    }
}

impl<T> std::ops::Deref for Quiet<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Quiet<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        // SAFETY: the value is not touched again, this is its only drop.
        let value = unsafe { ManuallyDrop::take(&mut self.0) };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
            std::mem::forget(payload);
        }
    }
}

/// The engine's handle for what has no other way to it: the panic hook and `tracing`. One per library.
static HOST: OnceLock<Host> = OnceLock::new();

/// Called by every constructor of the library; the first one wins.
pub fn install(host: &Host) {
    if HOST.set(host.clone()).is_err() {
        return;
    }
    std::panic::set_hook(Box::new(|info| tell(Level::ERROR, &info.to_string().replace('\n', " "))));
    let _ = tracing_core::dispatcher::set_global_default(tracing_core::Dispatch::new(Forward));
}

fn tell(level: Level, message: &str) {
    if let Some(host) = HOST.get() {
        host.log(level, message);
    }
}

/// Sends events to the engine; spans are not followed.
struct Forward;

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing_core::Level::DEBUG
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        tell(level_of(event.metadata()), &(line.message + &line.fields));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn level_of(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing_core::Level::ERROR => Level::ERROR,
        tracing_core::Level::WARN => Level::WARN,
        tracing_core::Level::INFO => Level::INFO,
        _ => Level::DEBUG,
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn panics_become_errors() {
        let result = raw::<()>("open", || panic!("index {} out of bounds", 3));
        let error = Error::from_abi(&*result.into_result().expect_err("panicked"));
        assert_eq!(error.to_string(), "plugin panicked in open: index 3 out of bounds");
        assert_eq!(error.class, Class::DRIVER);
        let odd = raw::<()>("open", || std::panic::panic_any(Bomb));
        assert!(odd.is_err());
    }

    #[test]
    fn a_panic_in_drop_stays_inside() {
        drop(Quiet::new(Bomb));
    }
}
