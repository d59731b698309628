//! Warnings that the engine and drivers tell while they work: what a command could not do beside what it was asked for,
//! what a log lacks, what a driver complains of. Each is one line of stderr.

use super::human::short_id;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// From now on warnings and errors go to stderr.
pub fn show_warnings() {
    // Somebody else's subscriber, set before, is as good.
    let _ = tracing::subscriber::set_global_default(Warnings);
}

struct Warnings;

impl Subscriber for Warnings {
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
        super::note(&text.line(*event.metadata().level()));
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
            "container" => self.subject = format!("container {}: ", short_id(value)),
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
