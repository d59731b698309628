//! Networks by filters.

use super::record::NetworkRecord;
use crate::Engine;
use crate::error::Result;
use crate::image::{check_filters, labels_fit};
use serde_json::Value;
use std::collections::BTreeMap;

/// `key → values`.
type Filters = BTreeMap<String, Vec<String>>;

const KNOWN: [&str; 7] = ["driver", "id", "label", "name", "scope", "type", "dangling"];

impl Engine {
    /// The networks that fit.
    pub fn networks_that(&self, filters: &Filters) -> Result<Vec<Value>> {
        check_filters(filters, &KNOWN)?;
        check_types(filters)?;
        let mut networks = self.networks()?;
        networks.retain(|network| fits(network, filters));
        Ok(networks)
    }

    /// Removes the networks that nobody uses and that fit; answers their names.
    pub fn network_prune_that(&self, filters: &Filters) -> Result<Vec<String>> {
        check_filters(filters, &["label", "label!", "until"])?;
        let now = i64::try_from(crate::now_ns()).unwrap_or(i64::MAX);
        let parse = |text: &String| {
            gantry_model::time::parse(text, now).map_err(|error| crate::Error::invalid(error.to_string()))
        };
        let limits: Vec<i64> = filters.get("until").into_iter().flatten().map(parse).collect::<Result<_>>()?;
        let old = |network: &NetworkRecord| {
            limits.iter().all(|limit| i64::try_from(network.created_ns).is_ok_and(|created| created < *limit))
        };
        self.network_prune(|network| old(network) && labels_fit(filters, &network.labels))
    }
}

/// There are two types.
pub fn check_types(filters: &Filters) -> Result<()> {
    let types = filters.get("type").into_iter().flatten();
    match types.into_iter().find(|kind| !matches!(kind.as_str(), "builtin" | "custom")) {
        None => Ok(()),
        Some(bad) => {
            let error = crate::Error::invalid(format!("invalid filter 'type={bad}'"));
            Err(error.with_hint("choose builtin or custom"))
        }
    }
}

fn fits(network: &Value, filters: &Filters) -> bool {
    let text = |key: &str| network[key].as_str().unwrap_or_default();
    let is = |key: &str| network[key].as_bool().unwrap_or(false);
    filters.iter().all(|(key, values)| {
        let fits = |value: &String| match key.as_str() {
            "driver" => text("Driver") == value,
            "id" => crate::pattern::fits(text("Id"), value),
            "label" => label_fits(&network["Labels"], value),
            "name" => crate::pattern::fits(text("Name"), value),
            "scope" => text("Scope") == value,
            "type" => (value == "builtin") == is("GantryPredefined"),
            _ => matches!(value.as_str(), "1" | "true") == is("GantryDangling"),
        };
        if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
    })
}

/// `key` or `key=value` among an object's labels.
pub(crate) fn label_fits(labels: &Value, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels[key].as_str() == Some(value),
        None => labels.get(wanted).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters() {
        let network = json!({ "Name": "web", "Driver": "bridge", "Labels": { "a": "b" }, "GantryDangling": true });
        let fits = |key: &str, value: &str| fits(&network, &Filters::from([(key.to_owned(), vec![value.to_owned()])]));
        for (key, value) in
            [("name", "we"), ("driver", "bridge"), ("label", "a"), ("label", "a=b"), ("dangling", "true")]
        {
            assert!(fits(key, value), "{key}={value}");
        }
        for (key, value) in [("name", "x"), ("label", "a=c"), ("type", "builtin"), ("dangling", "false")] {
            assert!(!fits(key, value), "{key}={value}");
        }
    }
}
