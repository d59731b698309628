//! `rmi`: Docker's rules for removing names and images, and what becomes unused with them.

use std::collections::HashSet;
use std::fmt;

use gantry_model::digest::{ChainId, Digest};
use gantry_model::reference::Reference;

use crate::error::{BoxError, Error, Result};
use crate::files::Lock;
use crate::layers::storage;
use crate::records::{Image, LayerRecord};
use crate::store::{ImageStore, is_id_prefix};

/// How often, and after what time, a removal tries again to be alone with the content.
const PATIENCE: usize = 10;
const STEP: std::time::Duration = std::time::Duration::from_millis(10);

/// A container that uses an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub container: String,
    pub running: bool,
}

/// What the caller knows of the use of images and layers.
pub trait Users {
    /// The containers made from an image.
    fn of_image(&self, id: &Digest) -> Vec<User>;
    /// Whether a container stands on this layer, although its image may be gone.
    fn holds_layer(&self, driver: &str, chain: &ChainId) -> bool {
        let _ = (driver, chain);
        false
    }
    /// Whether a container stands on the layer that the driver knows by this id.
    fn holds_id(&self, driver: &str, layer: &str) -> bool {
        let _ = (driver, layer);
        false
    }
}

/// Nobody uses anything.
impl Users for () {
    fn of_image(&self, _: &Digest) -> Vec<User> {
        Vec::new()
    }
}

/// One thing that was removed. Prints as Docker prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    Untagged(Reference),
    /// An image or, by chain id, a layer.
    Deleted(Digest),
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged(reference) => write!(f, "Untagged: {}", reference.familiar()),
            Self::Deleted(digest) => write!(f, "Deleted: {digest}"),
        }
    }
}

/// What a removal came to. Layers whose driver failed are removed by the next collection of garbage.
#[derive(Debug, Default)]
pub struct Removal {
    /// The image that was meant.
    pub image: Option<Digest>,
    pub removed: Vec<Removed>,
    pub failures: Vec<Error>,
}

/// A layer that no image uses any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLayer {
    pub driver: String,
    pub chain: ChainId,
    /// The id under which the driver holds it.
    pub layer: String,
}

/// How the caller removes a layer from its storage driver. Must accept one that is gone already.
pub type DeleteLayer<'a> = &'a dyn Fn(&DeadLayer) -> std::result::Result<(), BoxError>;

impl ImageStore {
    /// Removes a name or an image. The driver is called when no lock is held.
    pub fn remove(&self, name: &str, force: bool, users: &dyn Users, delete: DeleteLayer<'_>) -> Result<Removal> {
        let image = self.resolve(name)?;
        let mut removal = Removal { image: Some(image.id), ..Removal::default() };
        // Should this process be killed, the mark tells the next one that there is garbage.
        self.content.prepare()?;
        let _marker = self.content.mark()?;
        let gone = {
            let _lock = Lock::exclusive(&self.records.lock_path())?;
            let image = self.resolve(name)?;
            Remover { store: self, users, force, image: &image, removed: &mut removal.removed }.remove(name)?
        };
        if gone {
            let dying = self.bury(&image, users)?;
            self.delete_layers(&dying, delete, &mut removal);
            if !removal.failures.is_empty() {
                self.content.leave_mark()?;
            }
        }
        Ok(removal)
    }

    /// Deletes the blobs and takes away the layer records of a removed image that nothing else needs. If
    /// someone is bringing content at the moment, all of it is left to the collection of garbage.
    fn bury(&self, image: &Image, users: &dyn Users) -> Result<Vec<(String, LayerRecord)>> {
        self.content.prepare()?;
        let Some(_alone) = self.alone()? else {
            self.content.leave_mark()?;
            return Ok(Vec::new());
        };
        let others = self.records.images()?;
        let blobs: HashSet<Digest> = others.iter().flat_map(Image::blobs).collect();
        for blob in image.blobs().filter(|blob| !blobs.contains(blob)) {
            self.content.delete(&blob)?;
        }
        let chains: HashSet<ChainId> = others.iter().flat_map(|image| &image.layers).map(|layer| layer.chain).collect();
        let dead = image.layers.iter().rev().map(|layer| layer.chain).filter(|chain| !chains.contains(chain));
        let dead: Vec<_> = dead.collect();
        let mut dying = Vec::new();
        for driver in self.records.drivers()? {
            for chain in dead.iter().filter(|chain| !users.holds_layer(&driver, chain)) {
                if let Some(record) = self.records.layer(&driver, chain)? {
                    self.records.begin_removal(&driver, &record)?;
                    dying.push((driver.clone(), record));
                }
            }
        }
        Ok(dying)
    }

    /// Takes an image's layers out of one storage driver, those that no other image and no container stands on. Its
    /// blobs stay: whoever needs the layers there again unpacks them.
    pub fn withdraw(&self, image: &Image, driver: &str, users: &dyn Users, delete: DeleteLayer<'_>) -> Result<Removal> {
        let mut removal = Removal { image: Some(image.id), ..Removal::default() };
        let _marker = self.content.mark()?;
        let others: Vec<Image> = self.records.images()?.into_iter().filter(|other| other.id != image.id).collect();
        let shared: HashSet<ChainId> = others.iter().flat_map(|other| &other.layers).map(|layer| layer.chain).collect();
        let mut dying = Vec::new();
        {
            let _images = Lock::exclusive(&self.records.lock_path())?;
            let busy = || Error::InUse("images are being brought in at the moment; try again later".into());
            let _alone = self.alone()?.ok_or_else(busy)?;
            let chains = image.layers.iter().rev().map(|layer| layer.chain);
            for chain in chains.filter(|chain| !shared.contains(chain) && !users.holds_layer(driver, chain)) {
                if let Some(record) = self.records.layer(driver, &chain)? {
                    self.records.begin_removal(driver, &record)?;
                    dying.push((driver.to_owned(), record));
                }
            }
        }
        self.delete_layers(&dying, delete, &mut removal);
        Ok(removal)
    }

    /// Other removals are soon done, loads are not.
    fn alone(&self) -> Result<Option<Lock>> {
        for _ in 0..PATIENCE {
            if let Some(lock) = Lock::try_exclusive(&self.content_lock_path())? {
                return Ok(Some(lock));
            }
            std::thread::sleep(STEP);
        }
        Lock::try_exclusive(&self.content_lock_path())
    }

    /// Second phase, without a lock: the drivers delete, then the records go.
    pub(crate) fn delete_layers(
        &self,
        dying: &[(String, LayerRecord)],
        delete: DeleteLayer<'_>,
        removal: &mut Removal,
    ) {
        for (driver, record) in dying {
            match self.delete_layer(driver, record, delete) {
                Ok(()) => removal.removed.push(Removed::Deleted(record.layer.chain.0)),
                Err(error) => removal.failures.push(error),
            }
        }
    }

    fn delete_layer(&self, driver: &str, record: &LayerRecord, delete: DeleteLayer<'_>) -> Result<()> {
        let layer = DeadLayer { driver: driver.to_owned(), chain: record.layer.chain, layer: record.id.clone() };
        delete(&layer).map_err(storage("remove", &record.id))?;
        self.records.finish_removal(driver, record)
    }
}

/// One removal under the lock.
struct Remover<'a> {
    store: &'a ImageStore,
    users: &'a dyn Users,
    force: bool,
    image: &'a Image,
    removed: &'a mut Vec<Removed>,
}

impl Remover<'_> {
    /// True if the image itself is gone.
    fn remove(mut self, name: &str) -> Result<bool> {
        let references = self.store.records.references_of(&self.image.id)?;
        // A name may look like the beginning of an id: `bb`, `cafe`.
        let is_name = Reference::parse(name).is_ok_and(|named| references.contains(&named));
        match is_name || !is_id_prefix(&self.image.id, name) {
            true => self.by_name(name, &references),
            false => self.by_id(references),
        }
    }

    /// A name was given: it goes, and with the last one the image, if nobody uses it.
    fn by_name(&mut self, name: &str, references: &[Reference]) -> Result<bool> {
        let named = Reference::parse(name)?;
        if let Some(user) = self.user().filter(|_| !self.force && is_single(references)) {
            return Err(Error::InUse(format!(
                "conflict: unable to remove repository reference {name:?} (must force) - container {} is using its \
                 referenced image {}",
                short(&user.container),
                self.image.id.short()
            )));
        }
        self.untag(&named)?;
        let mut left: Vec<Reference> = references.iter().filter(|known| **known != named).cloned().collect();
        let same_repository = |known: &Reference| known.repository() == named.repository();
        let tagged = left.iter().any(|known| known.digest().is_none() && same_repository(known));
        if named.digest().is_none() && !tagged {
            for digest in left.extract_if(.., |known| known.digest().is_some() && same_repository(known)) {
                self.untag(&digest)?;
            }
        }
        if !left.is_empty() || self.conflict().is_some() {
            return Ok(false);
        }
        self.delete_image()
    }

    /// An id was given: all its names go, if they are of one repository or it is forced.
    fn by_id(&mut self, references: Vec<Reference>) -> Result<bool> {
        if references.len() > 1 && !is_single(&references) && !self.force {
            let why = "image is referenced in multiple repositories";
            return Err(Error::InUse(format!(
                "conflict: unable to delete {} (must be forced) - {why}",
                self.image.id.short()
            )));
        }
        if let Some(conflict) = self.conflict() {
            return Err(conflict);
        }
        for reference in references {
            self.untag(&reference)?;
        }
        self.delete_image()
    }

    /// Running containers forbid, stopped ones need force.
    fn conflict(&self) -> Option<Error> {
        let users = self.users.of_image(&self.image.id);
        let text = |how, state, user: &User| {
            let container = short(&user.container);
            let name = self.image.id.short();
            format!("conflict: unable to delete {name} ({how}) - image is being used by {state} container {container}")
        };
        if let Some(user) = users.iter().find(|user| user.running) {
            return Some(Error::InUse(text("cannot be forced", "running", user)));
        }
        let stopped = users.first().filter(|_| !self.force);
        stopped.map(|user| Error::InUse(text("must be forced", "stopped", user)))
    }

    fn user(&self) -> Option<User> {
        self.users.of_image(&self.image.id).into_iter().next()
    }

    fn untag(&mut self, reference: &Reference) -> Result<()> {
        if self.store.records.remove_reference(reference)? {
            self.removed.push(Removed::Untagged(reference.clone()));
        }
        Ok(())
    }

    fn delete_image(&mut self) -> Result<bool> {
        self.store.records.remove_image(&self.image.id)?;
        self.removed.push(Removed::Deleted(self.image.id));
        Ok(true)
    }
}

/// At most one tag, and digests only of its repository.
fn is_single(references: &[Reference]) -> bool {
    let tags = references.iter().filter(|reference| reference.digest().is_none()).count();
    let first = references.first().map(Reference::repository);
    tags <= 1 && references.iter().all(|reference| Some(reference.repository()) == first)
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
