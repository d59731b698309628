//! Proving who we are before it is written down.

use crate::challenge::Challenge;
use crate::client::Client;
use crate::credentials::{Login, Saved};
use crate::endpoint::{Endpoint, challenge};
use crate::error::{Error, Result};
use crate::http::Request;
use crate::settings::normal_host;

impl Client {
    /// Tries credentials at a registry and keeps them if they hold; answers where.
    pub fn log_in(&self, typed: &str, user: &str, password: &str) -> Result<Saved> {
        let host = host_of(typed)?;
        let login = Login::Basic { user: user.to_owned(), password: password.to_owned() };
        let lasting = self.prove(&host, &login)?;
        self.credentials.save(&host, &lasting.unwrap_or(login))
    }

    /// Tries credentials and keeps nothing; answers the lasting token, if one is given for them.
    pub fn try_login(&self, typed: &str, login: &Login) -> Result<Option<Login>> {
        self.prove(&host_of(typed)?, login)
    }

    /// Tries the credentials that are kept already; `None` if there are none.
    pub fn log_in_again(&self, typed: &str) -> Result<Option<Login>> {
        let host = host_of(typed)?;
        let Some(login) = self.credentials.find(&host)? else { return Ok(None) };
        self.prove(&host, &login).map(|_| Some(login))
    }

    /// Forgets the credentials of a registry; false if there were none.
    pub fn log_out(&self, typed: &str) -> Result<bool> {
        self.credentials.remove(&host_of(typed)?)
    }

    /// Answers the lasting token that a token server gives instead of the password.
    fn prove(&self, host: &str, login: &Login) -> Result<Option<Login>> {
        let endpoint = Endpoint::of_host(host, &self.settings, &self.credentials)?.with_login(login.clone());
        let request = Request::get(endpoint.url("")?, "log in");
        let asked = endpoint.once(&request)?;
        if asked.status == 401 {
            return Err(asked.refusal());
        }
        asked.expect(&[200])?;
        match endpoint.asked()? {
            Some(Challenge::Bearer { realm, service, .. }) if matches!(login, Login::Basic { .. }) => {
                let token = endpoint.asker()?.refresh_token(&realm, service.as_deref())?;
                Ok(token.map(Login::Token))
            }
            _ => Ok(None),
        }
    }
}

impl Endpoint {
    /// What the registry asks of somebody unknown.
    fn asked(&self) -> Result<Option<Challenge>> {
        let answer = self.anonymous(&Request::get(self.url("")?, "ask for its terms"))?;
        Ok(challenge(&answer))
    }
}

fn host_of(typed: &str) -> Result<String> {
    normal_host(typed).ok_or_else(|| Error::Address { address: typed.to_owned() })
}
