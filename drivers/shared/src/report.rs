//! What network drivers tell the engine in the same words: acts that failed, causes, names that cannot be.

use crate::link;
use gantry_plugin_api as api;
use gantry_plugin_api::prelude::*;
use std::error::Error as StdError;
use std::io;

/// The act of connecting a container, for `cannot ...`.
pub fn connect(network: &NetworkSpec, endpoint: &EndpointSpec) -> String {
    format!("cannot connect container {} to network {}", endpoint.container_name, network.name)
}

/// The act of disconnecting it.
pub fn disconnect(network: &NetworkSpec, endpoint: &EndpointSpec) -> String {
    format!("cannot disconnect container {} from network {}", endpoint.container_name, network.name)
}

/// The act of changing its way out.
pub fn route(network: &NetworkSpec, endpoint: &EndpointSpec) -> String {
    format!("cannot set the default route of container {} on network {}", endpoint.container_name, network.name)
}

/// An error with everything that led to it: what was to be done, then why not.
pub fn error(class: Class, act: impl Into<String>, cause: &dyn StdError) -> api::Error {
    let mut error = api::Error::new(class, act).because(cause.to_string());
    let mut next = cause.source();
    while let Some(cause) = next {
        error = error.because(cause.to_string());
        next = cause.source();
    }
    error
}

/// The class of an error that the kernel is behind, at once or by its source.
pub fn class_of(error: &dyn StdError) -> Class {
    let source = error.source().and_then(|s| s.downcast_ref::<io::Error>());
    source.and_then(io::Error::raw_os_error).map_or(Class::DRIVER, class_of_number)
}

/// The class of the kernel's error number.
pub fn class_of_number(errno: i32) -> Class {
    match errno {
        libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT => Class::UNSUPPORTED,
        errno => api::Error::io("", &io::Error::from_raw_os_error(errno)).class,
    }
}

/// The name of an endpoint's interface inside the container: as asked for, or the prefix and its number.
pub fn interface(endpoint: &EndpointSpec, prefix: &str) -> api::Result<String> {
    let name = match endpoint.options.get("ifname") {
        Some(name) => name.to_owned(),
        None => format!("{prefix}{}", endpoint.index),
    };
    checked_name(name, "interface")
}

/// A name that the kernel takes for an interface; `what` it is to be called by.
pub fn checked_name(name: String, what: &str) -> api::Result<String> {
    if link::is_name(&name) && name != "lo" {
        return Ok(name);
    }
    Err(api::Error::invalid(format!("invalid {what} name \"{name}\": at most 15 bytes, no '/', ':' or blank")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot make the link")]
    struct Made(#[source] io::Error);

    #[test]
    fn causes_and_classes() {
        let failed = Made(io::Error::from_raw_os_error(libc::EPERM));
        let (network, endpoint) =
            (NetworkSpec { name: "web".into(), ..NetworkSpec::default() }, EndpointSpec::default());
        let told = error(class_of(&failed), connect(&network, &endpoint), &failed);
        assert_eq!(told.class, Class::NOT_PERMITTED);
        assert!(told.to_string().contains("to network web"), "{told}");
        assert_eq!(told.causes.len(), 2, "{told:?}");
        assert_eq!(class_of_number(libc::EOPNOTSUPP), Class::UNSUPPORTED);
    }

    #[test]
    fn names_of_interfaces() {
        let endpoint = EndpointSpec { index: 3, ..EndpointSpec::default() };
        assert_eq!(interface(&endpoint, "eth").as_deref(), Ok("eth3"));
        assert!(interface(&endpoint, "much-too-long-a-name").is_err());
        assert!(checked_name("lo".into(), "bridge").expect_err("lo").to_string().contains("bridge name"));
    }
}
