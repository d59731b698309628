//! The engine's way to registries: the configuration in the client's words, its errors in ours, and how far it is.

use crate::Engine;
use crate::error::Error;
use gantry_model::class::Class;
use gantry_model::reference::Reference;
use gantry_registry::{Client, Credentials, HostSettings, Login, Settings};

/// How far a transfer is: the parts of a line as Docker prints and streams them.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The short id of a layer, or the tag.
    pub id: Option<&'a str>,
    /// `Downloading`, `Pull complete`, …
    pub status: &'a str,
    /// Done and total bytes, while they go by.
    pub bytes: Option<(u64, u64)>,
}

/// Whoever is told; from several threads.
pub type Report<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// A line without numbers.
pub(crate) fn said<'a>(id: Option<&'a str>, status: &'a str) -> Progress<'a> {
    Progress { id, status, bytes: None }
}

impl Engine {
    /// A client for one command.
    pub(crate) fn registries(&self) -> Client {
        self.registries_as(Credentials::of_user())
    }

    /// The same for somebody with credentials of his own, which go to the reference's registry and nowhere else.
    pub(crate) fn registries_of(&self, reference: &str, login: Option<Login>) -> Client {
        let parsed = Reference::parse(reference).or_else(|_| Reference::parse_repository(reference));
        let given = parsed.ok().map(|reference| reference.host().to_owned()).zip(login);
        self.registries_as(Credentials::only(given))
    }

    fn registries_as(&self, credentials: Credentials) -> Client {
        let config = &self.settings.config;
        let hosts = config.registries.iter().map(|(host, own)| {
            let client = own.client_cert.clone().zip(own.client_key.clone());
            let settings =
                HostSettings { mirrors: own.mirrors.clone(), insecure: own.insecure, ca: own.ca.clone(), client };
            (host.clone(), settings)
        });
        let settings = Settings {
            hosts: hosts.collect(),
            retries: config.registry_retries,
            timeout: config.registry_timeout,
            ..Settings::default()
        };
        Client::new(settings, credentials)
    }
}

/// A registry's class in the engine's words.
pub(crate) fn class(error: &gantry_registry::Error) -> Class {
    use gantry_registry::Class as R;
    match error.class() {
        R::NotFound => Class::NotFound,
        R::Invalid => Class::Invalid,
        R::NotPermitted => Class::NotPermitted,
        R::Unavailable => Class::Unavailable,
        R::Internal => Class::Internal,
    }
}

/// What the image crate passed on comes back as what it is.
pub(crate) fn unwrapped(error: gantry_image::Error) -> Error {
    match error {
        gantry_image::Error::Remote { source } => match source.downcast::<gantry_registry::Error>() {
            Ok(own) => Error::Registry(*own),
            Err(source) => Error::Image(gantry_image::Error::Remote { source }),
        },
        other => Error::Image(other),
    }
}

/// A refusal of a pull or push in Docker's words: which is missing, the repository or the right, nobody is told.
pub(crate) fn refused(act: &str, name: &str, error: Error) -> Error {
    use gantry_registry::Error as R;
    let message = match &error {
        Error::Registry(R::Denied { message, .. }) => message,
        Error::Registry(R::Unauthorized { message, .. }) => message,
        _ => return error,
    };
    let class = Class::NotPermitted;
    let text = format!(
        "{act} access denied for {name}, repository does not exist or may require 'gantry login': denied: {message}"
    );
    Error::request(class, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_docker_s_words() {
        let denied = gantry_registry::Error::Denied { host: "h".into(), message: "no".into() };
        let told = refused("pull", "h/x", Error::Registry(denied));
        assert_eq!(
            told.to_string(),
            "pull access denied for h/x, repository does not exist or may require 'gantry login': denied: no"
        );
        assert_eq!(told.class(), Class::NotPermitted);
    }
}
