//! Answers to challenges: basic credentials, or a token for what is about to be done. Tokens are kept while they work.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::Agent;
use ureq::http::Method;

use crate::challenge::Challenge;
use crate::credentials::Login;
use crate::error::{Error, Result};
use crate::http::{Payload, Request, send};

/// Bytes of a token server's answer.
const TOKEN_BYTES: u64 = 1 << 20;
/// How we call ourselves to token servers.
const CLIENT: &str = "gantry";

/// What was granted by one registry.
#[derive(Default)]
pub(crate) struct Granted {
    /// By the rights asked for.
    headers: Mutex<HashMap<Vec<String>, String>>,
}

impl Granted {
    /// What worked before for these rights.
    pub(crate) fn header(&self, scopes: &[String]) -> Option<String> {
        let known = self.lock();
        known.get(scopes).or_else(|| known.get(BASIC)).cloned()
    }

    fn keep(&self, scopes: &[String], header: &str) {
        self.lock().insert(scopes.to_vec(), header.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<String>, String>> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of credentials that hold for everything.
const BASIC: &[String] = &[];

/// Who asks, and on which ways.
pub(crate) struct Asker<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) host: &'a str,
    pub(crate) login: Option<&'a Login>,
    /// The registry itself is spoken to over TLS, and that matters.
    pub(crate) guarded: bool,
}

/// A token as token servers give it.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
}

impl Asker<'_> {
    /// The value of `Authorization` that answers a challenge; `None` if we have nothing to say.
    pub(crate) fn answer(&self, challenge: &Challenge, scopes: &[String], granted: &Granted) -> Result<Option<String>> {
        match (challenge, self.login) {
            (Challenge::Basic, Some(Login::Basic { user, password })) => {
                let header = basic(user, password);
                granted.keep(BASIC, &header);
                Ok(Some(header))
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, _) => {
                let wanted = if scopes.is_empty() { scope.iter().cloned().collect() } else { scopes.to_vec() };
                let token = self.token(realm, service.as_deref(), &wanted, false)?;
                let header = format!("Bearer {}", token.token.or(token.access_token).unwrap_or_default());
                granted.keep(scopes, &header);
                Ok(Some(header))
            }
        }
    }

    /// Asks for a lasting token, for `login`.
    pub(crate) fn refresh_token(&self, realm: &str, service: Option<&str>) -> Result<Option<String>> {
        Ok(self.token(realm, service, &[], true)?.refresh_token.filter(|token| !token.is_empty()))
    }

    fn token(&self, realm: &str, service: Option<&str>, scopes: &[String], lasting: bool) -> Result<Token> {
        if self.guarded && self.login.is_some() && !realm.starts_with("https://") {
            return Err(Error::Exposed { host: self.host.to_owned(), realm: realm.to_owned() });
        }
        let answer = match self.login {
            Some(Login::Token(token)) => self.exchange(realm, service, scopes, token)?,
            login => self.fetch(realm, service, scopes, login, lasting)?,
        };
        let answer = answer.expect(&[200])?.read("a token", TOKEN_BYTES)?;
        let reason = |error: serde_json::Error| Error::Answer { host: self.host.to_owned(), reason: error.to_string() };
        let token: Token = serde_json::from_slice(&answer).map_err(reason)?;
        let found = token.token.as_deref().or(token.access_token.as_deref()).unwrap_or_default();
        match found.is_empty() || found.contains(|c: char| c.is_control()) {
            true => Err(Error::Answer { host: self.host.to_owned(), reason: "no token in it".to_owned() }),
            false => Ok(token),
        }
    }

    /// With user and password, or as nobody.
    fn fetch(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
        login: Option<&Login>,
        lasting: bool,
    ) -> Result<crate::http::Answer> {
        let mut pairs: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        pairs.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        let mut auth = None;
        if let Some(Login::Basic { user, password }) = login {
            pairs.push(("account", user));
            auth = Some(basic(user, password));
        }
        if lasting {
            pairs.extend([("client_id", CLIENT), ("offline_token", "true")]);
        }
        let joint = if realm.contains('?') { '&' } else { '?' };
        let url = format!("{realm}{joint}{}", form(&pairs));
        send(self.agent, &Request::get(url, "fetch a token"), self.host, auth.as_deref())
    }

    /// A lasting token for a short one.
    fn exchange(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
        token: &str,
    ) -> Result<crate::http::Answer> {
        let scope = scopes.join(" ");
        let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", CLIENT)];
        pairs.extend(service.map(|service| ("service", service)));
        pairs.push(("scope", &scope));
        let body = form(&pairs);
        let request = Request::new(Method::POST, realm, "fetch a token")
            .header("content-type", "application/x-www-form-urlencoded")
            .payload(Payload::Bytes(body.as_bytes()));
        send(self.agent, &request, self.host, None)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// `key=value&…`, escaped.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(key, value): &(&str, &str)| format!("{key}={}", escaped(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(
            form(&[("scope", "repository:a/b:pull,push"), ("x", "ü y")]),
            "scope=repository%3Aa%2Fb%3Apull%2Cpush&x=%C3%BC%20y"
        );
    }
}
