//! The tags of a repository, page by page.

use serde::Deserialize;

use crate::auth::escaped;
use crate::client::Repository;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::http::Request;

/// Bytes of one page, and how many tags we are ready to hold.
const PAGE_BYTES: u64 = 4 << 20;
const MOST: usize = 100_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags, in the registry's order.
    pub fn tags(&self) -> Result<Vec<String>> {
        self.each(|endpoint| self.list(endpoint))
    }

    fn list(&self, endpoint: &Endpoint) -> Result<Vec<String>> {
        let mut tags: Vec<String> = Vec::new();
        loop {
            let after = tags.last().map_or_else(String::new, |last| format!("&last={}", escaped(last)));
            let url = endpoint.url(&format!("{}/tags/list?n=1000{after}", self.path()))?;
            let request = Request::get(url, format!("repository {}", self.familiar_name())).scopes(&self.scopes());
            let answer = endpoint.call(&request)?.expect(&[200])?;
            let (host, more) = (answer.host.clone(), answer.header("link").is_some());
            let bytes = answer.read("the list of tags", PAGE_BYTES)?;
            let page: Page =
                serde_json::from_slice(&bytes).map_err(|error| Error::Answer { host, reason: error.to_string() })?;
            let page = page.tags.unwrap_or_default();
            let fresh = page.last().is_some_and(|last| tags.last() != Some(last));
            tags.extend(page);
            if !more || !fresh || tags.len() > MOST {
                return Ok(tags);
            }
        }
    }
}
