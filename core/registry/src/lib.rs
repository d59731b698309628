//! The client of image registries: the OCI distribution protocol with Docker's additions.
//!
//! It fetches and sends manifests and blobs, finds credentials, and copes with what networks do: cut connections,
//! overload, redirects. It knows nothing of layers, images or storage; what a manifest means is for others.
#![forbid(unsafe_code)]

mod auth;
mod blob;
mod challenge;
mod client;
mod credentials;
mod download;
mod endpoint;
mod error;
mod http;
mod login;
mod manifest;
mod push;
mod search;
mod settings;
mod tags;
mod tls;

pub use blob::BlobReader;
pub use client::{Client, Repository};
pub use credentials::{Credentials, Login, Saved};
pub use error::{BoxError, Class, Error, Result};
pub use manifest::{Manifest, Wanted};
pub use push::{Pushed, Source};
pub use search::Found;
pub use settings::{HostSettings, Settings};
