//! Options that a container gives to the drivers of its networks, for its endpoints there.

use super::record::NetworkRecord;
use crate::Engine;
use crate::error::Result;
use gantry_host::Kind;
use gantry_host::api::options::Scope;
use gantry_model::container::EndpointSettings;
use std::collections::BTreeMap;

impl Engine {
    /// Judges them before anything is made. Those that a driver does not know are refused, or told when they are `loose`:
    /// Docker passes them over, and its clients send some that are for others.
    pub(crate) fn check_endpoint_options(
        &self,
        networks: &BTreeMap<String, EndpointSettings>,
        loose: bool,
    ) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        for (name, settings) in networks.iter().filter(|(_, settings)| settings.driver_opts.is_some()) {
            let (network, _) = self.network_by_reference(name)?;
            for (key, value) in settings.driver_opts.iter().flatten() {
                let pair = [(key.clone(), value.clone())];
                match self.plugins.check_each_option(Kind::Network, &network.driver, Scope::ENDPOINT, &pair) {
                    Err(error) if loose && !self.knows_option(&network, key) => {
                        warnings.push(format!("network {name}: {error}; it has no effect"));
                    }
                    judged => drop(judged?),
                }
            }
        }
        Ok(warnings)
    }

    /// Those that the driver knows, as they were given.
    pub(super) fn known_options(&self, network: &NetworkRecord, settings: &EndpointSettings) -> Vec<(String, String)> {
        let given = settings.driver_opts.iter().flatten();
        given.filter(|(key, _)| self.knows_option(network, key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// An option without a value is only looked for.
    fn knows_option(&self, network: &NetworkRecord, key: &str) -> bool {
        let pair = [(key.to_owned(), String::new())];
        self.plugins.check_each_option(Kind::Network, &network.driver, Scope::ENDPOINT, &pair).is_ok()
    }
}
