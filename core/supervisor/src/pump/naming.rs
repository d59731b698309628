//! The container's resolver: started with the container, or when its first network with names is connected; stopped at
//! its end, before anybody cleans up.

use super::{Pump, Stage};
use crate::dns::{ASKER, Resolver};
use crate::note::note;
use crate::wire::{Refusal, Tell};
use gantry_model::class::Class;

/// Whether there is one.
pub(super) enum State {
    /// None is wanted.
    None,
    /// It serves.
    Serving(#[allow(dead_code, reason = "held for its drop")] Resolver),
    /// It could not be started.
    Failed(String),
}

impl Pump {
    /// A container that may ask for names gets the resolver once its namespace exists.
    pub(super) fn start_resolver_if_wanted(&mut self) {
        if self.init.is_some() && matches!(self.stage, Stage::Live) && self.wants_names() {
            self.start_resolver();
        }
    }

    fn wants_names(&self) -> bool {
        matches!(self.resolver, State::None) && self.state_dir().join(ASKER).exists()
    }

    /// True while the resolver cannot be started because init is still to come.
    pub(super) fn awaits_namespace(&self) -> bool {
        self.init.is_none() && self.wants_names()
    }

    fn start_resolver(&mut self) {
        let Some(init) = &self.init else { return };
        self.resolver = match Resolver::start(self.state_dir(), init) {
            Ok(resolver) => State::Serving(resolver),
            Err(error) => {
                note(self.state_dir(), &format!("the resolver does not start: {error}"));
                State::Failed(error.to_string())
            }
        };
    }

    /// Why names do not resolve, for the user.
    pub(super) fn resolver_fault(&self) -> Option<String> {
        match &self.resolver {
            State::Failed(reason) => Some(format!("names of other containers do not resolve: {reason}")),
            _ => None,
        }
    }

    /// A network with names was connected.
    pub(super) fn resolve_now(&mut self) -> Tell {
        if !matches!(self.resolver, State::Serving(_)) {
            self.resolver = State::None;
            self.start_resolver_if_wanted();
        }
        match self.resolver_fault() {
            None => Tell::Done {},
            Some(fault) => Tell::Refused(Refusal::new(Class::Internal, fault)),
        }
    }

    /// Lets go of the container's namespace.
    pub(super) fn stop_resolver(&mut self) {
        self.resolver = State::None;
    }
}
