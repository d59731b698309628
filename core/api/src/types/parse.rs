//! Bodies of requests: JSON, fitted to the table of types, then read into Rust's.

use crate::fault::Fault;
use crate::schema::Type;
use crate::schema::fit::fit;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What clients send as a body.
pub trait Sent: DeserializeOwned {
    /// How it is described.
    const TYPE: &'static Type;
}

/// Reads a body.
pub fn parse<T: Sent>(bytes: &[u8]) -> Result<T, Fault> {
    typed(object(bytes, T::TYPE)?)
}

/// An object in the shape of its type.
pub fn object(bytes: &[u8], of: &'static Type) -> Result<Value, Fault> {
    let mut value: Value =
        serde_json::from_slice(bytes).map_err(|error| Fault::bad(format!("the body is no JSON: {error}")))?;
    if !value.is_object() {
        return Err(Fault::bad("the body must be a JSON object"));
    }
    fit(&mut value, of)?;
    Ok(value)
}

/// Reads what has the shape of its type. What is left to be refused are numbers that are too large.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!(" at {path}") };
        Fault::bad(format!("invalid request body{place}: {}", error.inner()))
    })
}
