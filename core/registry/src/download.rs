//! A file from any address by HTTP, as `import` wants it: nobody's credentials go there.

use std::io::Read;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{Request, send};
use crate::tls;

impl Client {
    /// The bytes behind a URL, redirections followed.
    pub fn download(&self, url: &str) -> Result<Box<dyn Read + Send>> {
        let wrong = || Error::Address { address: url.to_owned() };
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or_else(wrong)?;
        let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let own = self.settings.host(host);
        let agent = tls::agent(host, &own, !own.insecure, self.settings.timeout)?;
        let answer = send(&agent, &Request::get(url, format!("download {url}")), host, None)?;
        Ok(Box::new(answer.expect(&[200])?.body.into_reader()))
    }
}
