//! `pull`: from a registry, or its mirrors, into the store and the storage driver in use.

use super::registry::{Progress, Report, refused, said, unwrapped};
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::PullRequest;
use gantry_image::{BoxError, Limits, Remote, UnpackOptions, Watch};
use gantry_model::digest::Digest;
use gantry_model::platform::Platform;
use gantry_model::reference::Reference;
use gantry_registry::{Client, Login, Repository, Wanted};
use std::io::Read;
use std::time::{Duration, Instant};

/// Between two reports of the same layer.
const STEP: Duration = Duration::from_millis(100);

impl Engine {
    /// True when the reference names an image that is here.
    pub fn has_image(&self, reference: &str) -> Result<bool> {
        match self.images()?.resolve(reference) {
            Ok(_) => Ok(true),
            Err(gantry_image::Error::NoSuchImage(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Fetches an image, or all tags of a repository; answers what was fetched.
    pub fn pull(&self, request: &PullRequest, report: Report<'_>) -> Result<Vec<Reference>> {
        let lazy = request.lazy || self.settings.config.registry_lazy;
        self.pull_with(&self.registries(), &PullRequest { lazy, ..request.clone() }, report)
    }

    /// The same for a client of the API, with the credentials it sent.
    pub fn pull_as(&self, login: Option<Login>, request: &PullRequest, report: Report<'_>) -> Result<Vec<Reference>> {
        // What was sent with a call is not kept, and those who fetch later have only what the user has.
        let lazy = login.is_none() && (request.lazy || self.settings.config.registry_lazy);
        let client = self.registries_of(&request.reference, login);
        self.pull_with(&client, &PullRequest { lazy, ..request.clone() }, report)
    }

    fn pull_with(&self, client: &Client, request: &PullRequest, report: Report<'_>) -> Result<Vec<Reference>> {
        let platform = match &request.platform {
            Some(text) => Platform::parse(text).map_err(|error| Error::invalid(error.to_string()))?,
            None => Platform::host(),
        };
        let references =
            if request.all_tags { all_tags(client, &request.reference)? } else { vec![named(&request.reference)?] };
        self.collect_images()?;
        let lazy = request.lazy && self.can_be_lazy();
        for reference in &references {
            self.pull_one(client, reference, &platform, lazy, report)
                .map_err(|error| refused("pull", &reference.familiar_name(), error))?;
        }
        self.watch_fill();
        Ok(references)
    }

    fn can_be_lazy(&self) -> bool {
        let lack = self.lacks_for_lazy();
        lack.iter().for_each(|lack| tracing::warn!("the image is fetched whole: {lack}"));
        lack.is_none()
    }

    fn pull_one(
        &self,
        client: &Client,
        reference: &Reference,
        platform: &Platform,
        lazy: bool,
        report: Report<'_>,
    ) -> Result<()> {
        let images = self.images()?;
        let repository = client.pull_from(reference)?;
        let fetch = Fetch { repository, reference, report };
        let planned = images.plan_pull(&fetch, reference, platform, &Limits::default()).map_err(unwrapped)?;
        let tag = reference.digest().map_or_else(|| reference.tag().unwrap_or_default().to_owned(), Digest::to_string);
        report(said(Some(&tag), &format!("Pulling from {}", reference.path())));
        let layers: Vec<String> = planned.layers.iter().map(|(digest, _)| digest.short()).collect();
        layers.iter().for_each(|id| report(said(Some(id), "Pulling fs layer")));
        let storage = self.storage()?;
        let watch = Layers { ids: &layers, report };
        let options = UnpackOptions {
            threads: self.settings.config.registry_downloads,
            watch: Some(&watch),
            ..UnpackOptions::new(&storage.driver, storage)
        };
        let whole = || -> Result<_> {
            let incomplete = images.incomplete_of(&planned, &storage.driver)?;
            self.complete_layers(&storage.driver, &incomplete.iter().map(String::as_str).collect::<Vec<_>>())?;
            images.pull(&fetch, reference, &planned, &options).map_err(unwrapped)
        };
        let pulled = match lazy {
            false => whole()?,
            true => match images.pull_lazily(&fetch, reference, &planned, &options) {
                Err(error) if error.needs_whole_layers() => whole()?,
                pulled => pulled.map_err(unwrapped)?,
            },
        };
        for warning in &pulled.warnings {
            tracing::warn!("{warning}");
        }
        report(said(None, &format!("Digest: {}", planned.named)));
        let news = if pulled.known { "Image is up to date" } else { "Downloaded newer image" };
        report(said(None, &format!("Status: {news} for {}", reference.familiar())));
        self.tell_image("pull", &reference.familiar(), &reference.familiar_name());
        Ok(())
    }
}

fn named(text: &str) -> Result<Reference> {
    Ok(Reference::parse(text).map_err(gantry_image::Error::from)?)
}

fn all_tags(client: &Client, text: &str) -> Result<Vec<Reference>> {
    let repository =
        Reference::parse_repository(text).map_err(|_| Error::invalid("tag can't be used with --all-tags/-a"))?;
    let tags = client.pull_from(&repository)?.tags()?;
    Ok(tags.iter().filter_map(|tag| repository.with_tag(tag).ok()).collect())
}

/// A repository as the image crate sees it.
struct Fetch<'a> {
    repository: Repository,
    reference: &'a Reference,
    report: Report<'a>,
}

impl Remote for Fetch<'_> {
    fn manifest(&self, digest: Option<&Digest>, limit: u64) -> std::result::Result<Vec<u8>, BoxError> {
        let wanted = match digest {
            Some(digest) => Wanted::Digest(digest),
            None => Wanted::Tag(self.reference.tag().unwrap_or("latest")),
        };
        Ok(self.repository.manifest(wanted, limit)?.bytes)
    }

    fn document(&self, digest: &Digest, size: u64, limit: u64) -> std::result::Result<Vec<u8>, BoxError> {
        Ok(self.repository.small_blob(digest, size, limit)?)
    }

    fn blob<'s>(
        &'s self,
        digest: &Digest,
        size: u64,
        start: u64,
    ) -> std::result::Result<Box<dyn Read + Send + 's>, BoxError> {
        let input = self.repository.blob_from(digest, size, start)?;
        let counted = Counted::new(input, digest.short(), size, "Downloading", "Download complete", self.report);
        Ok(Box::new(counted.from(start)))
    }

    fn part<'s>(
        &'s self,
        digest: &Digest,
        _: u64,
        start: u64,
        end: u64,
    ) -> std::result::Result<Box<dyn Read + Send + 's>, BoxError> {
        Ok(self.repository.blob_part(digest, start, end)?)
    }
}

/// Tells how far the unpacking is.
struct Layers<'a> {
    ids: &'a [String],
    report: Report<'a>,
}

impl Layers<'_> {
    fn say(&self, layer: usize, status: &str) {
        if let Some(id) = self.ids.get(layer) {
            (self.report)(said(Some(id), status));
        }
    }
}

impl Watch for Layers<'_> {
    fn present(&self, layer: usize) {
        self.say(layer, "Already exists");
    }

    fn unpacked(&self, layer: usize) {
        self.say(layer, "Pull complete");
    }

    fn outlined(&self, layer: usize) {
        self.say(layer, "Ready, its files come when they are opened");
    }
}

/// Tells how many bytes went by.
pub(super) struct Counted<'a, R> {
    input: R,
    id: String,
    done: u64,
    total: u64,
    status: &'static str,
    ended: &'static str,
    last: Instant,
    report: Report<'a>,
}

impl<'a, R: Read> Counted<'a, R> {
    pub(super) fn new(
        input: R,
        id: String,
        total: u64,
        status: &'static str,
        ended: &'static str,
        report: Report<'a>,
    ) -> Self {
        Self { input, id, done: 0, total, status, ended, last: Instant::now(), report }
    }

    /// Begins in the middle.
    pub(super) fn from(mut self, done: u64) -> Self {
        self.done = done;
        self
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.done += count as u64;
        let bytes = Some((self.done, self.total));
        if count > 0 && self.done == self.total {
            (self.report)(Progress { id: Some(&self.id), status: self.ended, bytes: None });
        } else if self.last.elapsed() >= STEP {
            self.last = Instant::now();
            (self.report)(Progress { id: Some(&self.id), status: self.status, bytes });
        }
        Ok(count)
    }
}
