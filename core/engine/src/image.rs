//! Images through the engine: the image store over the storage driver in use.

mod df;
mod gc;
mod prune;
mod pull;
mod push;
mod registry;
mod rest;
mod sizes;

pub use df::{ContainerSpace, Details, DriverSpace, ImageSpace, VolumeSpace};
pub use gantry_image::Error as StoreError;
pub use gc::Idle;
pub use prune::{Pruned, Space, Usage};
pub(crate) use prune::{check_filters, labels_fit, logs_size, tree_size};
pub use push::{Credentials, Found, Login, Manifest, Saved};
pub(crate) use registry::class as registry_class;
pub(crate) use registry::unwrapped;
pub use registry::{Progress, Report};

use crate::Engine;
use crate::container::mounts::MountRecord;
use crate::error::{Error, Result};
use crate::request::ImportRequest;
use crate::userns;
use gantry_image::{DeadLayer, Image, ImageStore, ImageSummary, Removed, UnpackOptions, User, Users};
use gantry_model::digest::{ChainId, Digest};
use gantry_model::idmap::IdMaps;
use gantry_model::reference::Reference;
use gantry_store::containers;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

impl Engine {
    pub(crate) fn images(&self) -> Result<&ImageStore> {
        Ok(self.images.get_or_init(|| ImageStore::open(&self.settings.root)))
    }

    /// The storage driver's ids of an image's layers, nearest first; layers the driver lacks are unpacked. With `owners` of
    /// those whose files belong to them.
    pub(crate) fn image_layers(&self, image: &Image, owners: Option<&IdMaps>) -> Result<Vec<String>> {
        self.settle_doubts()?;
        let images = self.images()?;
        let mut layers = match images.driver_layers(image, self.storage_driver(), owners) {
            Err(gantry_image::Error::NotUnpacked { .. }) => {
                self.complete_image(image)?;
                let storage = self.storage()?;
                let options = UnpackOptions { owners, ..UnpackOptions::new(&storage.driver, storage) };
                images.unpack_image(image, &options)?;
                images.driver_layers(image, self.storage_driver(), owners)?
            }
            found => found?,
        };
        layers.reverse();
        Ok(layers)
    }

    /// Images, newest first; without `all` as Docker lists them.
    pub fn list_images(&self, filters: &BTreeMap<String, Vec<String>>) -> Result<Vec<ImageSummary>> {
        check_filters(filters, &["before", "dangling", "label", "reference", "since", "until"])?;
        let until = prune::limits(filters)?;
        let mut others = ["before", "since"].into_iter().filter_map(|key| filters.get(key)).flatten();
        others.try_for_each(|name| self.images()?.resolve(name).map(drop).map_err(Error::from))?;
        let mut images = self.images()?.list()?;
        images.retain(|image| {
            let passes = |(key, values): (&String, &Vec<String>)| {
                let fits = |value: &String| self.image_fits(image, key, value);
                if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
            };
            filters.iter().all(passes) && until.iter().all(|limit| created_ns(image) < *limit)
        });
        if let Some(wanted) = filters.get("reference") {
            images.iter_mut().for_each(|image| keep_names(image, wanted));
        }
        images.sort_by_key(|i| std::cmp::Reverse(i.created().map_or(0, jiff::Timestamp::as_second)));
        Ok(images)
    }

    fn image_fits(&self, summary: &ImageSummary, key: &str, value: &str) -> bool {
        let age = created_ns;
        let other = || {
            let images = self.images().ok()?;
            images.summary(images.resolve(value).ok()?).ok()
        };
        match key {
            "dangling" => matches!(value, "true" | "1") == summary.is_dangling(),
            "label" => crate::container::label_fits(&summary.image.labels, value),
            "reference" => summary.tags.iter().any(|t| reference_fits(t, value)),
            "before" => other().is_some_and(|o| age(summary) < age(&o)),
            "since" => other().is_some_and(|o| age(summary) > age(&o)),
            // Judged once for all.
            "until" => true,
            _ => false,
        }
    }

    /// How many containers use each image, as their own or mounted, by image id.
    pub fn image_users(&self) -> Result<BTreeMap<String, usize>> {
        let mut users = BTreeMap::new();
        for record in containers::list(&self.layout)? {
            for image in self.mounted_images(&record.id) {
                *users.entry(image.id).or_insert(0) += 1;
            }
            *users.entry(record.image_id).or_insert(0) += 1;
        }
        Ok(users)
    }

    /// One image in Docker's words.
    pub fn image_inspect(&self, reference: &str) -> Result<Value> {
        let images = self.images()?;
        let image = images.resolve(reference)?;
        let inspect = images.inspect(&image)?;
        let mut value = serde_json::to_value(inspect).map_err(|e| Error::invalid(e.to_string()))?;
        let graph = serde_json::json!({ "Name": self.storage_driver(), "Data": Value::Null });
        if let Some(object) = value.as_object_mut() {
            object.insert("GraphDriver".into(), graph);
        }
        Ok(value)
    }

    /// How an image came to be, newest first.
    pub fn image_history(&self, reference: &str) -> Result<Vec<gantry_image::inspect::HistoryLine>> {
        let images = self.images()?;
        Ok(images.history(&images.resolve(reference)?)?)
    }

    /// Gives an image another name.
    pub fn tag(&self, source: &str, target: &str) -> Result<()> {
        let reference = Reference::parse(target).map_err(gantry_image::Error::from)?;
        self.images()?.tag(source, &reference)?;
        let id = self.images()?.resolve(&reference.to_string())?.id;
        self.tell_image("tag", &id.to_string(), &reference.familiar());
        Ok(())
    }

    /// Removes a name or an image; answers the lines Docker prints.
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Vec<String>> {
        let delete = |dead: &DeadLayer| -> std::result::Result<(), gantry_image::BoxError> {
            Ok(self.with_storage(&dead.driver, |store| Ok(store.remove(&dead.layer)?))?)
        };
        let id = self.images()?.resolve(reference).map(|image| image.id.to_string()).unwrap_or_default();
        let removal = self.images()?.remove(reference, force, &Containers(self), &delete)?;
        self.tell_removed(&id, &removal.removed);
        for failure in &removal.failures {
            tracing::warn!("a layer is left for the next collection: {failure}");
        }
        self.collect_images()?;
        self.empty_trash();
        Ok(removal.removed.iter().map(ToString::to_string).collect())
    }

    /// Layers are nobody's business: only names and the image itself are told.
    fn tell_removed(&self, id: &str, removed: &[Removed]) {
        for removed in removed {
            match removed {
                Removed::Untagged(reference) => self.tell_image("untag", id, &reference.familiar()),
                Removed::Deleted(digest) if digest.to_string() == id => self.tell_image("delete", id, id),
                Removed::Deleted(_) => {}
            }
        }
    }

    fn tell_loaded(&self, loaded: &[gantry_image::Loaded]) {
        for image in loaded {
            let id = image.id.to_string();
            self.tell_image("load", &id, &image.references.first().map_or_else(|| id.clone(), Reference::familiar));
        }
    }

    /// Takes away what interrupted loads and put-off removals left, when there is any.
    pub(crate) fn collect_images(&self) -> Result<()> {
        if !self.images()?.needs_collection() {
            return Ok(());
        }
        self.collect_layers(self.storage_driver())
    }

    /// Collects what no image needs, among content and in one storage driver.
    pub(crate) fn collect_layers(&self, driver: &str) -> Result<()> {
        let storage = self.open_storage(driver)?;
        let layers = gantry_image::LayerSink::list(&storage);
        let delete = |dead: &DeadLayer| -> std::result::Result<(), gantry_image::BoxError> {
            Ok(self.with_storage(&dead.driver, |store| Ok(store.remove(&dead.layer)?))?)
        };
        let collected = self.images()?.collect_garbage(driver, &layers, &Containers(self), &delete)?;
        for failure in &collected.failures {
            tracing::warn!("a layer is left for the next collection: {failure}");
        }
        Ok(storage.store.collect()?)
    }

    /// Has a storage driver hold an image's layers; without `keep` the others give theirs up, where nothing needs them.
    pub fn move_image(&self, reference: &str, driver: &str, keep: bool) -> Result<()> {
        let (images, storage) = (self.images()?, self.open_storage(driver)?);
        let image = images.resolve(reference)?;
        images.unpack_image(&image, &UnpackOptions::new(driver, &storage))?;
        let delete = |dead: &DeadLayer| -> std::result::Result<(), gantry_image::BoxError> {
            Ok(self.with_storage(&dead.driver, |store| Ok(store.remove(&dead.layer)?))?)
        };
        let others = images.layer_drivers()?.into_iter().filter(|other| !keep && other != driver);
        for other in others {
            let removal = images.withdraw(&image, &other, &Containers(self), &delete)?;
            for failure in &removal.failures {
                tracing::warn!("a layer is left for the next collection: {failure}");
            }
        }
        self.empty_trash();
        Ok(())
    }

    /// Loads an archive from a stream; answers the lines Docker prints.
    pub fn load(&self, input: impl Read + Send) -> Result<Vec<String>> {
        self.collect_images()?;
        let storage = self.storage()?;
        let loaded = self.images()?.load_reader(input, &UnpackOptions::new(&storage.driver, storage))?;
        self.tell_loaded(&loaded);
        self.watch_fill();
        Ok(loaded.iter().map(told).collect())
    }

    /// Loads an archive file or an OCI layout directory.
    pub fn load_path(&self, path: &Path) -> Result<Vec<String>> {
        self.collect_images()?;
        let storage = self.storage()?;
        let loaded = self.images()?.load(path, &UnpackOptions::new(&storage.driver, storage))?;
        self.tell_loaded(&loaded);
        self.watch_fill();
        Ok(loaded.iter().map(told).collect())
    }

    /// Writes images as one archive.
    pub fn save(&self, names: &[String], output: impl std::io::Write) -> Result<()> {
        for name in names {
            self.complete_named(name)?;
        }
        self.images()?.save(names, output)?;
        for name in names {
            let id = self.images()?.resolve(name).map(|image| image.id.to_string()).unwrap_or_default();
            self.tell_image("save", &id, name);
        }
        Ok(())
    }

    /// What a name stands for when it is saved: an image, or a repository with all its tags.
    fn complete_named(&self, name: &str) -> Result<()> {
        let images = self.images()?;
        if let Ok(image) = images.resolve(name) {
            return self.complete_image(&image);
        }
        let Ok(wanted) = Reference::parse_repository(name) else { return Ok(()) };
        for record in images.references()?.iter().filter(|record| record.reference.repository() == wanted.repository())
        {
            self.complete_image(&images.resolve(&record.reference.to_string())?)?;
        }
        Ok(())
    }

    /// Makes an image of one layer from a root file system's archive; answers `sha256:…`.
    pub fn import(&self, input: impl Read + Send, origin: &str, request: ImportRequest) -> Result<String> {
        let reference = request.reference.as_deref().map(Reference::parse).transpose();
        let architecture = request.platform.as_deref().and_then(|p| p.split('/').nth(1)).map(str::to_owned);
        let import = gantry_image::ImportRequest {
            reference: reference.map_err(gantry_image::Error::from)?,
            changes: request.changes,
            message: Some(request.message).filter(|m| !m.is_empty()),
            origin: origin.to_owned(),
            architecture,
        };
        self.collect_images()?;
        let storage = self.storage()?;
        let imported = self.images()?.import(input, &import, &UnpackOptions::new(&storage.driver, storage))?;
        self.watch_fill();
        for warning in &imported.warnings {
            tracing::warn!("{warning}");
        }
        let id = imported.id.to_string();
        self.tell_image("import", &id, request.reference.as_deref().unwrap_or(&id));
        Ok(id)
    }

    /// The same of an archive that is downloaded.
    /// `begun` is called when the server has answered.
    pub fn import_from(&self, url: &str, request: ImportRequest, begun: impl FnOnce()) -> Result<String> {
        let input = self.registries().download(url).map_err(|error| not_downloaded(url, error))?;
        begun();
        self.import(input, url, request)
    }

    /// Copies what the image has at a volume's place into the volume, when that is empty.
    pub(crate) fn copy_up(&self, file: &crate::container::ContainerFile, mounts: &[MountRecord]) -> Result<()> {
        let wanted = mounts.iter().filter(|m| m.r#type == "volume" && !m.no_copy && m.subpath.is_empty());
        for mount in wanted {
            crate::volume::copy::copy_up(self, file, mount)?;
        }
        Ok(())
    }
}

/// Whoever serves an archive need not be a registry.
fn not_downloaded(url: &str, error: gantry_registry::Error) -> Error {
    use gantry_registry::Error as E;
    let class = registry_class(&error);
    let reason = match error {
        E::Connect { source, .. } | E::Trust { source, .. } | E::Lost { source, .. } => source.to_string(),
        E::Refused { status, .. } => format!("the server answers with status {status}"),
        E::NotFound { .. } => "the server does not have it".to_owned(),
        E::Address { .. } => "this is no address of a server".to_owned(),
        other => other.to_string(),
    };
    Error::request(class, format!("cannot download {url}: {reason}"))
}

fn told(loaded: &gantry_image::Loaded) -> String {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    loaded.to_string()
}

/// Containers as users of images.
pub(crate) struct Containers<'a>(pub(crate) &'a Engine);

impl Users for Containers<'_> {
    fn of_image(&self, id: &Digest) -> Vec<User> {
        let id = id.to_string();
        let records = containers::list(&self.0.layout).unwrap_or_default();
        let mounts = |r: &str| self.0.mounted_images(r).iter().any(|image| image.id == id);
        let own = records.into_iter().filter(|r| r.image_id == id || mounts(&r.id));
        own.map(|r| User { running: gantry_store::proc::init_alive(&r.state), container: r.id }).collect()
    }

    fn holds_layer(&self, driver: &str, chain: &ChainId) -> bool {
        let chain = chain.to_string();
        let ids = containers::ids(&self.0.layout).unwrap_or_default();
        let files = ids.iter().filter_map(|id| self.0.container_file(id).ok());
        let mut users = files.filter(|f| f.storage_driver == driver);
        let mounts = |id: &str| self.0.mounted_images(id).iter().any(|image| image.chains.contains(&chain));
        users.any(|f| f.chains.contains(&chain) || userns::own_chains(&f).contains(&chain) || mounts(&f.id))
    }

    fn holds_id(&self, driver: &str, layer: &str) -> bool {
        let ids = containers::ids(&self.0.layout).unwrap_or_default();
        let files = ids.iter().filter_map(|id| self.0.container_file(id).ok());
        files.filter(|f| f.storage_driver == driver).any(|f| f.layers.iter().any(|own| own == layer))
    }
}

/// `name`, `name:tag` or either with `*`.
fn reference_fits(reference: &Reference, pattern: &str) -> bool {
    let familiar = reference.familiar();
    let name = familiar.rsplit_once(':').map_or(familiar.as_str(), |(n, _)| n);
    glob(pattern, &familiar) || glob(pattern, name)
}

/// Shell pattern with `*` and `?`; neither crosses a slash.
fn glob(pattern: &str, text: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = chars.as_str();
            let stop = text.find('/').unwrap_or(text.len());
            (0..=stop).filter(|i| text.is_char_boundary(*i)).any(|i| glob(rest, &text[i..]))
        }
        Some('?') => text.chars().next().is_some_and(|c| c != '/' && glob(chars.as_str(), &text[c.len_utf8()..])),
        Some(c) => text.strip_prefix(c).is_some_and(|rest| glob(chars.as_str(), rest)),
    }
}

/// An image that is looked for by name is shown with the names that fit, and digests of those repositories.
fn keep_names(image: &mut ImageSummary, wanted: &[String]) {
    image.tags.retain(|tag| wanted.iter().any(|value| reference_fits(tag, value)));
    let kept: Vec<String> = image.tags.iter().map(Reference::familiar_name).collect();
    image.digests.retain(|digest| kept.contains(&digest.familiar_name()));
}

/// When it was made, nanoseconds since 1970.
fn created_ns(image: &ImageSummary) -> i128 {
    image.created().map_or(0, jiff::Timestamp::as_nanosecond)
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs() {
        assert!(glob("bus*", "busybox"));
        assert!(glob("*:la?est", "bb:latest"));
        assert!(!glob("bus*", "library/busybox"));
        assert!(!glob("bb", "bbb"));
    }
}
