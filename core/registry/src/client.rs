//! The client: registries by name, each with its mirrors.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_model::reference::Reference;

use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::settings::Settings;

/// Speaks to registries. Connections and what was granted are kept for as long as it lives.
pub struct Client {
    pub(crate) settings: Settings,
    pub(crate) credentials: Credentials,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
}

/// What shall be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Pull,
    Push,
}

/// One repository of a registry.
#[derive(Clone)]
pub struct Repository {
    reference: Reference,
    /// In the order in which they are asked; the registry itself is the last.
    endpoints: Vec<Arc<Endpoint>>,
    own: Arc<Endpoint>,
    access: Access,
}

impl Client {
    pub fn new(settings: Settings, credentials: Credentials) -> Self {
        Self { settings, credentials, endpoints: Mutex::default() }
    }

    /// A repository to pull from, by way of its mirrors.
    pub fn pull_from(&self, reference: &Reference) -> Result<Repository> {
        let own = self.registry(reference.host())?;
        let mut endpoints = self.mirrors(reference.host())?;
        endpoints.push(Arc::clone(&own));
        Ok(Repository { reference: reference.clone(), endpoints, own, access: Access::Pull })
    }

    /// A repository to push to.
    pub fn push_to(&self, reference: &Reference) -> Result<Repository> {
        let own = self.registry(reference.host())?;
        Ok(Repository { reference: reference.clone(), endpoints: vec![Arc::clone(&own)], own, access: Access::Push })
    }

    /// The addresses to ask about a registry, itself the last.
    pub(crate) fn addresses(&self, host: &str) -> Result<Vec<Arc<Endpoint>>> {
        let mut all = self.mirrors(host)?;
        all.push(self.registry(host)?);
        Ok(all)
    }

    fn mirrors(&self, host: &str) -> Result<Vec<Arc<Endpoint>>> {
        let mirrors = self.settings.hosts.get(host).map_or(&[][..], |own| &own.mirrors);
        let one = |address: &String| {
            self.endpoint(address, || Endpoint::of_mirror(address, &self.settings, &self.credentials))
        };
        mirrors.iter().map(one).collect()
    }

    fn registry(&self, host: &str) -> Result<Arc<Endpoint>> {
        self.endpoint(host, || Endpoint::of_host(host, &self.settings, &self.credentials))
    }

    fn endpoint(&self, key: &str, make: impl FnOnce() -> Result<Endpoint>) -> Result<Arc<Endpoint>> {
        let mut known = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = known.get(key) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(make()?);
        known.insert(key.to_owned(), Arc::clone(&endpoint));
        Ok(endpoint)
    }
}

impl Repository {
    /// Its path at the registry.
    pub(crate) fn path(&self) -> &str {
        self.reference.path()
    }

    pub(crate) fn familiar_name(&self) -> String {
        self.reference.familiar_name()
    }

    /// The registry itself.
    pub(crate) fn own(&self) -> &Endpoint {
        &self.own
    }

    /// The rights that requests need.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let actions = if self.access == Access::Push { "pull,push" } else { "pull" };
        vec![format!("repository:{}:{actions}", self.path())]
    }

    /// Asks one address after the other. The failure that is told is the registry's own; those of mirrors are logged.
    pub(crate) fn each<T>(&self, ask: impl Fn(&Endpoint) -> Result<T>) -> Result<T> {
        let (last, mirrors) = match self.endpoints.split_last() {
            Some(split) => split,
            None => return ask(&self.own),
        };
        for mirror in mirrors {
            match ask(mirror) {
                Err(error @ Error::Mismatch { .. }) => tracing::warn!(mirror = %mirror.host, "{error}"),
                Err(error) => tracing::debug!(mirror = %mirror.host, "passed over: {error}"),
                done => return done,
            }
        }
        ask(last)
    }
}
