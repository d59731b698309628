//! Looking for repositories: by the index where a registry has one, else in the catalogue of its names.

use serde::Deserialize;

use crate::auth::escaped;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::http::Request;
use crate::settings::normal_host;

/// Bytes of an answer.
const ANSWER_BYTES: u64 = 16 << 20;
/// Names we look through in a catalogue, and how many at a time.
const CATALOGUE: usize = 100_000;
const PAGE: usize = 1000;
/// Where the index of docker.io is.
const HUB_INDEX: &str = "https://index.docker.io";

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    pub name: String,
    pub description: String,
    #[serde(rename = "star_count")]
    pub stars: u64,
    #[serde(rename = "is_official")]
    pub official: bool,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    results: Vec<Found>,
}

#[derive(Deserialize)]
struct Catalogue {
    #[serde(default)]
    repositories: Vec<String>,
}

impl Client {
    /// Repositories that fit `[HOST/]TERM`, at most `limit`.
    pub fn search(&self, term: &str, limit: usize) -> Result<Vec<Found>> {
        let (host, words) = split(term);
        let mut failure = None;
        for endpoint in self.addresses(&host)? {
            match index(&endpoint, &host, &words, limit).or_else(|_| catalogue(&endpoint, &words, limit)) {
                Ok(mut found) => {
                    let prefix = if host == "docker.io" { String::new() } else { format!("{host}/") };
                    found.iter_mut().for_each(|one| one.name.insert_str(0, &prefix));
                    return Ok(found);
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(Error::Address { address: host }))
    }
}

/// The first part names a registry if it looks like a host.
fn split(term: &str) -> (String, String) {
    match term.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => {
            (normal_host(first).unwrap_or_else(|| first.to_owned()), rest.to_owned())
        }
        _ => ("docker.io".to_owned(), term.to_owned()),
    }
}

fn index(endpoint: &Endpoint, host: &str, words: &str, limit: usize) -> Result<Vec<Found>> {
    let base = endpoint.base()?;
    let base = if host == "docker.io" && base.ends_with("registry-1.docker.io") { HUB_INDEX } else { base };
    let url = format!("{base}/v1/search?q={}&n={limit}", escaped(words));
    let answer = endpoint.call(&Request::get(url, "search"))?.expect(&[200])?;
    let host = answer.host.clone();
    let bytes = answer.read("the search's answer", ANSWER_BYTES)?;
    let parsed: Index = parse(host, &bytes)?;
    Ok(parsed.results.into_iter().take(limit).map(clean).collect())
}

/// All names that hold the words, page by page.
fn catalogue(endpoint: &Endpoint, words: &str, limit: usize) -> Result<Vec<Found>> {
    let (mut found, mut last, mut seen) = (Vec::new(), String::new(), 0);
    while found.len() < limit && seen < CATALOGUE {
        let after = if last.is_empty() { String::new() } else { format!("&last={}", escaped(&last)) };
        let url = endpoint.url(&format!("_catalog?n={PAGE}{after}"))?;
        let request = Request::get(url, "list its repositories").scopes(&["registry:catalog:*".to_owned()]);
        let answer = endpoint.call(&request)?.expect(&[200])?;
        let host = answer.host.clone();
        let more = answer.header("link").is_some();
        let page: Catalogue = parse(host, &answer.read("the catalogue", ANSWER_BYTES)?)?;
        seen += page.repositories.len();
        let next = page.repositories.last().cloned().unwrap_or_default();
        let fitting = page.repositories.into_iter().filter(|name| name.contains(words));
        found.extend(fitting.map(|name| clean(Found { name, ..Found::default() })));
        if !more || next.is_empty() || next == last {
            break;
        }
        last = next;
    }
    found.truncate(limit);
    Ok(found)
}

/// Nothing of it may play with a terminal.
fn clean(found: Found) -> Found {
    let plain = |text: String| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    Found { name: plain(found.name), description: plain(found.description), ..found }
}

fn parse<T: serde::de::DeserializeOwned>(host: String, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Answer { host, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms() {
        assert_eq!(split("busy"), ("docker.io".to_owned(), "busy".to_owned()));
        assert_eq!(split("user/busy"), ("docker.io".to_owned(), "user/busy".to_owned()));
        assert_eq!(split("localhost:5000/b/c"), ("localhost:5000".to_owned(), "b/c".to_owned()));
    }
}
