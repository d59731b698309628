//! A request, taken apart.

use crate::body;
use crate::fault::Fault;
use crate::query::Query;
use crate::types::Sent;
use crate::version::Version;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use gantry_engine::image::Login;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use serde_json::Value;

/// A request whose body is still to be read.
pub struct Ask {
    pub call: Call,
    pub body: Incoming,
    /// How the connection is taken over, when the client wishes that.
    pub upgrade: Option<OnUpgrade>,
}

/// A request without the connection it came by.
#[derive(Clone, Debug)]
pub struct Call {
    pub version: Version,
    /// What stands in the places of the route's pattern.
    pub names: Vec<String>,
    pub query: Query,
    pub headers: HeaderMap,
    /// The body, for routes that want it whole.
    pub body: Bytes,
}

impl Ask {
    /// Reads the body, which must be a document of moderate size.
    pub async fn whole(self) -> Result<Call, Fault> {
        Ok(self.parts().await?.0)
    }

    /// The same, with the way to take the connection over.
    pub async fn parts(self) -> Result<(Call, Option<OnUpgrade>), Fault> {
        let Ask { mut call, body, upgrade } = self;
        call.body = body::read(body, body::MOST_JSON).await?;
        Ok((call, upgrade))
    }

    /// The fault, when what is left of the body has been read.
    pub async fn refused<T>(self, fault: Fault) -> Result<T, Fault> {
        body::drain(self.body).await;
        Err(fault)
    }
}

impl Call {
    /// What stands in the first place of the pattern.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// True when there is no body, or nothing in it.
    pub fn is_bare(&self) -> bool {
        matches!(self.body.trim_ascii(), b"" | b"null")
    }

    /// The body, which must be said to be JSON: pages of other sites cannot say that without being asked for it.
    pub fn document(&self) -> Result<&Bytes, Fault> {
        let kind = self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let word = kind.split(';').next().unwrap_or_default().trim();
        match self.body.is_empty() || word.eq_ignore_ascii_case("application/json") {
            true => Ok(&self.body),
            false => Err(Fault::bad(format!("Content-Type specified ({kind}) must be 'application/json'"))),
        }
    }

    /// The body as a type.
    pub fn json<T: Sent>(&self) -> Result<T, Fault> {
        crate::types::parse(self.document()?)
    }

    /// The same, where no body at all is fine.
    pub fn json_or_default<T: Sent + Default>(&self) -> Result<T, Fault> {
        if self.is_bare() { Ok(T::default()) } else { self.json() }
    }

    /// The credentials of `X-Registry-Auth`.
    pub fn login(&self) -> Result<Option<Login>, Fault> {
        let Some(header) = self.headers.get("x-registry-auth") else { return Ok(None) };
        let bytes = decode(header.as_bytes()).ok_or_else(|| Fault::bad("X-Registry-Auth is not base64"))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| Fault::bad("X-Registry-Auth is no JSON"))?;
        Ok(login_of(&value))
    }
}

/// Credentials as clients write them.
pub fn login_of(value: &Value) -> Option<Login> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let token = [text("identitytoken"), text("IdentityToken")].into_iter().find(|token| !token.is_empty());
    if let Some(token) = token {
        return Some(Login::Token(token));
    }
    let (user, password) = (text("username"), text("password"));
    (!user.is_empty()).then_some(Login::Basic { user, password })
}

/// Both alphabets, with and without padding: clients differ.
fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabets = [&alphabet::URL_SAFE, &alphabet::STANDARD];
    alphabets.into_iter().find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials() {
        let basic = Login::Basic { user: "u".into(), password: "p".into() };
        assert_eq!(login_of(&json!({ "username": "u", "password": "p", "serveraddress": "r" })), Some(basic));
        assert_eq!(login_of(&json!({ "identitytoken": "t" })), Some(Login::Token("t".into())));
        assert_eq!(login_of(&json!({})), None);
        for text in ["e30", "e30="] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(b"{}".as_slice()), "{text}");
        }
        assert_eq!(decode(b"%%"), None);
    }
}
