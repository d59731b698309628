//! `push`, and what else is asked of registries: `login`, `logout`, `search`, `manifest inspect`.

use super::pull::Counted;
use super::registry::{Report, refused, said};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_image::{ImageStore, Limits, PushBlob, PushPlan};
use gantry_model::digest::Digest;
use gantry_model::reference::Reference;
use gantry_registry::{Client, Pushed, Repository, Source, Wanted};
pub use gantry_registry::{Credentials, Found, Login, Manifest, Saved};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Blobs sent at the same time.
const UPLOADS: usize = 4;

impl Engine {
    /// Sends an image, or all tags of a repository, to its registry.
    pub fn push(&self, reference: &str, all_tags: bool, report: Report<'_>) -> Result<()> {
        self.push_with(&self.registries(), reference, all_tags, report)
    }

    /// The same for a client of the API, with the credentials it sent.
    pub fn push_as(&self, login: Option<Login>, reference: &str, all_tags: bool, report: Report<'_>) -> Result<()> {
        self.push_with(&self.registries_of(reference, login), reference, all_tags, report)
    }

    fn push_with(&self, client: &Client, reference: &str, all_tags: bool, report: Report<'_>) -> Result<()> {
        let references = if all_tags { self.local_tags(reference)? } else { vec![parsed(reference)?] };
        let first = &references[0];
        for reference in references.iter().filter(|reference| reference.digest().is_none()) {
            // What is not here is said before anybody is asked.
            self.images()?.resolve(&reference.to_string()).map_err(|error| absent(reference, error))?;
        }
        report(said(None, &format!("The push refers to repository [{}]", first.repository())));
        for reference in &references {
            self.push_one(client, reference, report)
                .map_err(|error| refused("push", &reference.familiar_name(), error))?;
        }
        Ok(())
    }

    fn local_tags(&self, text: &str) -> Result<Vec<Reference>> {
        let wanted =
            Reference::parse_repository(text).map_err(|_| Error::invalid("tag can't be used with --all-tags/-a"))?;
        let records = self.images()?.references()?.into_iter().map(|record| record.reference);
        let tags: Vec<_> =
            records.filter(|known| known.digest().is_none() && known.repository() == wanted.repository()).collect();
        match tags.is_empty() {
            true => Err(missing(&wanted)),
            false => Ok(tags),
        }
    }

    fn push_one(&self, client: &Client, reference: &Reference, report: Report<'_>) -> Result<()> {
        let images = self.images()?;
        let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
            return Err(Error::invalid("cannot push a digest reference"));
        };
        self.complete_image(&images.resolve(&reference.to_string())?)?;
        let plan = images.plan_push(reference)?;
        let repository = client.push_to(reference)?;
        Sender { images, repository: &repository, report }.all(&plan)?;
        let digest = repository.put_manifest(tag, &plan.manifest, &plan.media_type)?;
        images.pushed(reference, digest)?;
        report(said(Some(tag), &format!("digest: {digest} size: {}", plan.manifest.len())));
        self.tell_image("push", &reference.familiar(), &reference.familiar_name());
        Ok(())
    }
}

/// Sends the blobs of one image.
struct Sender<'a> {
    images: &'a ImageStore,
    repository: &'a Repository,
    report: Report<'a>,
}

impl Sender<'_> {
    /// Layers beside each other, then the configuration.
    fn all(&self, plan: &PushPlan) -> Result<()> {
        for layer in &plan.layers {
            (self.report)(said(Some(&layer.digest.short()), "Preparing"));
        }
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            let work = || self.work(&plan.layers, &next, &failure);
            let extra = plan.layers.len().clamp(1, UPLOADS) - 1;
            (0..extra).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => self.blob(&plan.config, &|_| ()).map(drop),
        }
    }

    fn work(&self, layers: &[PushBlob], next: &AtomicUsize, failure: &Mutex<Option<Error>>) {
        while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = self.layer(layer) {
                next.store(layers.len(), Ordering::Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    fn layer(&self, layer: &PushBlob) -> Result<()> {
        let id = layer.digest.short();
        let status = match self.blob(layer, self.report)? {
            Pushed::Exists => "Layer already exists".to_owned(),
            Pushed::Mounted(from) => format!("Mounted from {from}"),
            Pushed::Sent => "Pushed".to_owned(),
        };
        (self.report)(said(Some(&id), &status));
        Ok(())
    }

    fn blob(&self, blob: &PushBlob, report: Report<'_>) -> Result<Pushed> {
        let path = self.images.content().path(&blob.digest);
        let source = Stored { path, digest: blob.digest, size: blob.size, report };
        Ok(self.repository.push_blob(&blob.digest, &source, &blob.neighbours)?)
    }
}

/// A blob of the content store.
struct Stored<'a> {
    path: PathBuf,
    digest: Digest,
    size: u64,
    report: Report<'a>,
}

impl Source for Stored<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self, start: u64) -> io::Result<Box<dyn Read + '_>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        let id = self.digest.short();
        Ok(Box::new(Counted::new(file, id, self.size, "Pushing", "Waiting for the registry", self.report).from(start)))
    }
}

fn parsed(text: &str) -> Result<Reference> {
    Ok(Reference::parse(text).map_err(gantry_image::Error::from)?)
}

/// Docker's words for a push of what is not here.
fn absent(reference: &Reference, error: gantry_image::Error) -> Error {
    match error {
        gantry_image::Error::NoSuchImage(_) => missing(reference),
        other => other.into(),
    }
}

fn missing(reference: &Reference) -> Error {
    let message = format!("An image does not exist locally with the tag: {}", reference.familiar_name());
    Error::request(gantry_model::class::Class::NotFound, message)
}

impl Engine {
    /// Proves credentials to a registry and keeps them.
    pub fn log_in(&self, registry: &str, user: &str, password: &str) -> Result<Saved> {
        Ok(self.registries().log_in(registry, user, password)?)
    }

    /// Proves credentials and keeps nothing; answers the lasting token, if the registry gives one.
    pub fn try_login(&self, registry: &str, login: &Login) -> Result<Option<Login>> {
        Ok(self.registries().try_login(registry, login)?)
    }

    /// Proves the credentials that are kept; `None`: there are none.
    pub fn log_in_again(&self, registry: &str) -> Result<Option<Login>> {
        Ok(self.registries().log_in_again(registry)?)
    }

    /// Forgets credentials; false if there were none.
    pub fn log_out(&self, registry: &str) -> Result<bool> {
        Ok(self.registries().log_out(registry)?)
    }

    /// Looks for repositories.
    pub fn search(&self, term: &str, limit: usize) -> Result<Vec<Found>> {
        Ok(self.registries().search(term, limit)?)
    }

    /// A manifest as its registry has it, nothing fetched besides; with the manifests an index names when `all`.
    pub fn remote_manifest(&self, reference: &str, all: bool) -> Result<Vec<(Reference, Manifest)>> {
        let reference = parsed(reference)?;
        let repository = self.registries().pull_from(&reference)?;
        let limit = Limits::default().json_bytes;
        let wanted = match reference.digest() {
            Some(digest) => Wanted::Digest(digest),
            None => Wanted::Tag(reference.tag().unwrap_or("latest")),
        };
        let fetched = repository.manifest(wanted, limit);
        let top = fetched.map_err(|error| refused("pull", &reference.familiar_name(), error.into()))?;
        let inner = if all { gantry_image::index_entries(&top.bytes) } else { Vec::new() };
        if inner.is_empty() {
            return Ok(vec![(reference, top)]);
        }
        let fetch =
            |digest: &Digest| Ok((reference.with_digest(*digest), repository.manifest(Wanted::Digest(digest), limit)?));
        inner.iter().map(fetch).collect()
    }

    /// Platforms of an image in its registry: those that its index lists, or what its configuration says.
    pub fn remote_platforms(&self, reference: &str, manifest: &Manifest) -> Result<Vec<Value>> {
        let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        if let Some(entries) = document["manifests"].as_array() {
            return Ok(entries.iter().map(|entry| entry["platform"].clone()).collect());
        }
        let config = &document["config"];
        let Some(digest) = config["digest"].as_str().and_then(|text| text.parse::<Digest>().ok()) else {
            return Ok(Vec::new());
        };
        let repository = self.registries().pull_from(&parsed(reference)?)?;
        let size = config["size"].as_u64().unwrap_or(0);
        let bytes = repository.small_blob(&digest, size, Limits::default().json_bytes)?;
        let config: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let keys = ["architecture", "os", "os.version", "os.features", "variant"];
        let said = keys.into_iter().filter_map(|key| Some((key.to_owned(), config.get(key)?.clone())));
        Ok(vec![Value::Object(said.collect())])
    }
}
