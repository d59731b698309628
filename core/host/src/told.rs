//! What drivers and the engine warn of, as lines: for programs that have nothing else to tell it to.

use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// From now on each warning and each error of this process is one line for `tell`. Somebody else's subscriber, set before,
/// stays.
pub fn tell_warnings(tell: impl Fn(&str) + Send + Sync + 'static) {
    let _ = tracing::subscriber::set_global_default(Warnings(tell));
}

struct Warnings<F>(F);

impl<F: Fn(&str) + Send + Sync + 'static> Subscriber for Warnings<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.0(&text.line(*event.metadata().level()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    /// Who or what it is about.
    subject: String,
    message: String,
    /// Further fields.
    facts: String,
}

impl Text {
    /// One line, whatever a driver says.
    fn line(&self, level: Level) -> String {
        let name = if level == Level::ERROR { "ERROR" } else { "WARNING" };
        let message = self.message.trim_end().replace(['\n', '\r'], " ");
        format!("{name}: {}{message}{}", self.subject, self.facts)
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "driver" => self.subject = format!("{value}: "),
            "container" => self.subject = format!("container {}: ", value.get(..12).unwrap_or(value)),
            name => drop(write!(self.facts, " ({name} {value})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_line() {
        let text = Text { subject: "log/x: ".into(), message: "first\nsecond\n".into(), facts: " (path /a)".into() };
        assert_eq!(text.line(Level::WARN), "WARNING: log/x: first second (path /a)");
        assert!(text.line(Level::ERROR).starts_with("ERROR: log/x: "));
    }
}
