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

/// What a constructor does before anybody asked for anything.
pub fn construct() {
    match std::env::var("GANTRY_MISBEHAVE").as_deref() {
        Ok("panic") => panic!("as asked in new"),
        Ok("hang") => hang(),
        _ => {}
    }
}
