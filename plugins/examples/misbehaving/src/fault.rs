//! Which fault in which call.

use gantry_plugin_api::prelude::*;
use std::time::Duration;

/// The option every driver here has.
pub const OPTIONS: &[OptionSpec] = &[OptionSpec::string("fault", "CALL:ACT, comma separated")];

/// Faults to commit.
#[derive(Clone, Default)]
pub struct Faults(String);

impl Faults {
    pub fn of(options: &Options) -> Self {
        Faults(options.text("fault").to_owned())
    }

    /// From a name such as `create.panic`.
    pub fn of_name(name: &str) -> Self {
        Faults(name.replace('.', ":"))
    }

    /// True when a call is to answer nonsense.
    pub fn is_garbage(&self, call: &str) -> bool {
        self.0.split(',').any(|fault| fault.split_once(':') == Some((call, "garbage")))
    }

    /// Commits the fault of a call, when there is one.
    pub fn at(&self, call: &str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let acts = self.0.split(',').filter_map(|f| f.split_once(':'));
        acts.filter(|(c, _)| *c == call).try_for_each(|(_, act)| commit(call, act))
    }
}

fn commit(call: &str, act: &str) -> Result<()> {
    match act {
        "panic" => panic!("as asked in {call}"),
        "hang" => hang(),
        "segfault" => segfault(),
        "leak" => Ok(leak()),
        "signals" => Ok(take_signals()),
        "thread" => Ok(start_thread()),
        "error" => {
            Err(Error::new(Class::UNAVAILABLE, format!("cannot {call}")).because("as asked").hint("do not ask for it"))
        }
        _ => {
            let ms = act.strip_prefix("sleep=").and_then(|ms| ms.parse().ok()).unwrap_or(0);
            std::thread::sleep(Duration::from_millis(ms));
            Ok(())
        }
    }
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn segfault() -> ! {
    // SAFETY: none: this is the crash that was asked for.
    unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };
    std::process::abort();
}

unsafe extern "C" {
    fn dup(fd: i32) -> i32;
    fn signal(number: i32, handler: usize) -> usize;
}

/// Descriptors that nobody closes and that an exec would hand on.
fn leak() {
    for _ in 0..100 {
        // SAFETY: dup takes any number.
        unsafe { dup(0) };
    }
}

extern "C" fn nothing(_: i32) {}

/// Handlers for whatever the engine may rely on: deadly signals, children's ends, requests to stop.
fn take_signals() {
    let handler: extern "C" fn(i32) = nothing;
    for number in [2, 4, 7, 8, 11, 13, 15, 17] {
        // SAFETY: the handler does nothing at all.
        unsafe { signal(number, handler as usize) };
    }
}

fn start_thread() {
    std::thread::spawn(|| hang());
}

/// What a constructor does before anybody asked for anything.
pub fn construct() {
    match std::env::var("GANTRY_MISBEHAVE").as_deref() {
        Ok("panic") => panic!("as asked in new"),
        Ok("hang") => hang(),
        Ok("segfault") => segfault(),
        Ok("leak") => leak(),
        Ok("signals") => take_signals(),
        Ok("thread") => start_thread(),
        _ => {}
    }
}
