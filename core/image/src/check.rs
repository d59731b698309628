//! Looking for what is broken: records, names, blobs and layers compared with each other and with what was recorded
//! when they were made. Nothing is changed here; each finding says what would mend it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io::Read;

use gantry_model::digest::{ChainId, Digest};
use gantry_model::reference::Reference;

use crate::error::{Error, Result};
use crate::files::Lock;
use crate::hash::Hasher;
use crate::layers::UnpackOptions;
use crate::limits::Limits;
use crate::records::{Image, LayerRecord, Trust};
use crate::remove::Users;
use crate::store::ImageStore;
use crate::sums::Expected;
use crate::verify::{Faults, verify};

/// Layers made this long before the last one of their boot are looked at after it.
const RECENT: i64 = 15 * 60;

/// What a finding is about, and with that what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A name without its image: the name goes.
    Reference(Reference),
    /// A record that cannot be read: it goes.
    Record(Digest),
    /// Bytes that are missing or wrong: fetched again for the images that need them.
    Blob(Digest),
    /// A layer in a storage driver that is missing or spoilt: unpacked again.
    Layer { driver: String, chain: ChainId, id: String },
    /// What a killed command left: collected.
    Leftover,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub subject: Subject,
    /// In words.
    pub fault: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Reference(reference) => write!(f, "name {}: {}", reference.familiar(), self.fault),
            Subject::Record(id) => write!(f, "image {}: {}", id.short(), self.fault),
            Subject::Blob(digest) => write!(f, "content {digest}: {}", self.fault),
            Subject::Layer { driver, chain, .. } => write!(f, "layer {} ({driver}): {}", chain.0, self.fault),
            Subject::Leftover => f.write_str(&self.fault),
        }
    }
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything but contents.
    Quick,
    /// Every byte.
    Full,
}

impl ImageStore {
    /// Everything wrong with the images, their content and their layers in one storage driver.
    pub fn check(&self, options: &UnpackOptions<'_>, depth: Depth, users: &dyn Users) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let images = self.readable_images(&mut findings)?;
        self.check_names(&images, &mut findings)?;
        self.check_blobs(&images, depth, &mut findings)?;
        self.check_layers(options, depth, &mut findings)?;
        self.check_leftovers(&images, options, users, &mut findings)?;
        Ok(findings)
    }

    fn readable_images(&self, findings: &mut Vec<Finding>) -> Result<Vec<Image>> {
        let mut images = Vec::new();
        for id in self.records.image_ids()? {
            match self.records.image(&id) {
                Ok(image) => images.extend(image),
                Err(error) => findings.push(Finding { subject: Subject::Record(id), fault: in_full(&error) }),
            }
        }
        Ok(images)
    }

    fn check_names(&self, images: &[Image], findings: &mut Vec<Finding>) -> Result<()> {
        for record in self.records.references()? {
            if !images.iter().any(|image| image.id == record.id) {
                let fault = format!("the image {} is gone", record.id.short());
                findings.push(Finding { subject: Subject::Reference(record.reference), fault });
            }
        }
        Ok(())
    }

    fn check_blobs(&self, images: &[Image], depth: Depth, findings: &mut Vec<Finding>) -> Result<()> {
        let awaited = self.awaited_blobs()?;
        let mut sizes: BTreeMap<Digest, Option<u64>> = BTreeMap::new();
        for image in images {
            sizes.extend([(image.id, None), (image.manifest, None)]);
            sizes.extend(image.layers.iter().map(|layer| (layer.blob, Some(layer.compressed))));
        }
        for (digest, size) in sizes {
            let fault = match size {
                Some(_) if awaited.contains(&digest) && !self.content.exists(&digest) => None,
                None => self.content.read(&digest, Limits::default().json_bytes).err().map(|error| in_full(&error)),
                Some(size) => self.blob_fault(&digest, size, depth),
            };
            findings.extend(fault.map(|fault| Finding { subject: Subject::Blob(digest), fault }));
        }
        Ok(())
    }

    /// The blobs of layers that are not all here.
    fn awaited_blobs(&self) -> Result<HashSet<Digest>> {
        let mut awaited = HashSet::new();
        for driver in self.records.drivers()? {
            let ids: HashSet<String> = self.records.outlined(&driver)?.into_iter().collect();
            let records = if ids.is_empty() { Vec::new() } else { self.records.layers(&driver)? };
            awaited.extend(records.iter().filter(|record| ids.contains(&record.id)).map(|record| record.layer.blob));
        }
        Ok(awaited)
    }

    fn blob_fault(&self, digest: &Digest, size: u64, depth: Depth) -> Option<String> {
        match self.content.size(digest) {
            Err(error) => return Some(in_full(&error)),
            Ok(found) if found != size => return Some(format!("has {found} bytes instead of {size}")),
            Ok(_) if depth == Depth::Quick => return None,
            Ok(_) => {}
        }
        match self.content.open(digest).and_then(digest_of) {
            Ok(found) if found == *digest => None,
            Ok(found) => Some(format!("is damaged: its digest is {found}")),
            Err(error) => Some(in_full(&error)),
        }
    }

    fn check_layers(&self, options: &UnpackOptions<'_>, depth: Depth, findings: &mut Vec<Finding>) -> Result<()> {
        for record in self.records.layers(options.driver)? {
            findings.extend(self.layer_fault(options, &record, depth)?);
        }
        Ok(())
    }

    /// What is wrong with one layer.
    fn layer_fault(&self, options: &UnpackOptions<'_>, record: &LayerRecord, depth: Depth) -> Result<Option<Finding>> {
        let fault = if !options.sink.exists(&record.id) {
            Some("is missing in the storage driver".to_owned())
        } else {
            self.compare(options, record, depth)
        };
        let (driver, chain, id) = (options.driver.to_owned(), record.layer.chain, record.id.clone());
        Ok(fault.map(|fault| Finding { subject: Subject::Layer { driver, chain, id }, fault }))
    }

    /// A layer of an earlier version, of which nothing was recorded, and one that the driver does not show are believed.
    fn compare(&self, options: &UnpackOptions<'_>, record: &LayerRecord, depth: Depth) -> Option<String> {
        let compared = || -> Result<Faults> {
            let Some(dir) = options.sink.dir(&record.id) else { return Ok(Faults::default()) };
            match self.expected(options, record)? {
                Some(expected) => verify(&dir, &expected, depth == Depth::Full),
                None => Ok(Faults::default()),
            }
        };
        match compared() {
            Err(error) => Some(in_full(&error)),
            Ok(faults) if faults.count == 0 => None,
            Ok(faults) if faults.count > faults.told.len() => {
                Some(format!("{} and {} more", faults.told.join("; "), faults.count - faults.told.len()))
            }
            Ok(faults) => Some(faults.told.join("; ")),
        }
    }

    /// What a layer's directory must hold: its own entries, and where layers grow on copies, those of the layers below.
    fn expected(&self, options: &UnpackOptions<'_>, record: &LayerRecord) -> Result<Option<Expected>> {
        let own = Expected::read(&self.records.sums_path(options.driver, &record.id)?)?;
        let Some(parent) = record.parent.filter(|_| options.sink.depends_on_parent()) else { return Ok(own) };
        let below = match self.records.layer(options.driver, &parent)? {
            Some(parent) => self.expected(options, &parent)?,
            None => None,
        };
        Ok(own.zip(below).map(|(own, below)| own.over(below)))
    }

    /// Looks only where nobody is at work: what somebody is just making has no name yet.
    fn check_leftovers(
        &self,
        images: &[Image],
        options: &UnpackOptions<'_>,
        users: &dyn Users,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        self.content.prepare()?;
        self.records.prepare_driver(options.driver)?;
        let Some(_alone) = Lock::try_exclusive(&self.content_lock_path())? else { return Ok(()) };
        let mut leftover = |fault: String| findings.push(Finding { subject: Subject::Leftover, fault });
        let named: HashSet<Digest> = images.iter().flat_map(Image::blobs).collect();
        let strays = self.content.list()?.into_iter().filter(|(digest, _)| !named.contains(digest));
        strays.for_each(|(digest, size)| leftover(format!("content {digest}: {size} bytes that no image needs")));
        if self.content.is_marked()? {
            leftover("unfinished content of a command that was killed".into());
        }
        let records = self.records.layers(options.driver)?;
        let chains: HashSet<ChainId> = images.iter().flat_map(|image| &image.layers).map(|layer| layer.chain).collect();
        for record in records.iter().filter(|record| !chains.contains(&record.layer.chain)) {
            if !users.holds_layer(options.driver, &record.layer.chain) {
                leftover(format!("layer {} ({}): no image needs it", record.layer.chain.0, options.driver));
            }
        }
        let dying = self.records.dying_layers(options.driver)?;
        dying.iter().for_each(|record| leftover(format!("layer {}: its removal was cut short", record.layer.chain.0)));
        let known: HashSet<&str> = records.iter().chain(&dying).map(|record| record.id.as_str()).collect();
        let strangers = options
            .sink
            .list()
            .into_iter()
            .filter(|id| !known.contains(id.as_str()) && !users.holds_id(options.driver, id));
        strangers.for_each(|id| leftover(format!("layer {id} ({}): no record names it", options.driver)));
        Ok(())
    }

    /// Takes away records and bytes that are no use, so that images are incomplete instead of wrong; answers the images
    /// that must be unpacked or fetched again.
    pub fn clear_damaged(&self, findings: &[Finding]) -> Result<Vec<Image>> {
        let _lock = Lock::exclusive(&self.records.lock_path())?;
        let (mut blobs, mut chains) = (HashSet::new(), HashSet::new());
        for finding in findings {
            match &finding.subject {
                Subject::Reference(reference) => drop(self.records.remove_reference(reference)?),
                Subject::Record(id) => self.records.remove_image(id)?,
                Subject::Blob(digest) => {
                    self.content.delete(digest)?;
                    blobs.insert(*digest);
                }
                Subject::Layer { driver, chain, .. } => {
                    self.records.remove_layer(driver, chain)?;
                    chains.insert(*chain);
                }
                Subject::Leftover => {}
            }
        }
        // What lost its record is garbage now.
        self.content.prepare()?;
        self.content.leave_mark()?;
        let hurt = |image: &Image| {
            image.blobs().any(|blob| blobs.contains(&blob))
                || image.layers.iter().any(|layer| chains.contains(&layer.chain))
        };
        Ok(self.records.images()?.into_iter().filter(hurt).collect())
    }

    /// Whether all bytes of an image are here.
    pub fn is_whole(&self, image: &Image) -> bool {
        image.blobs().all(|blob| self.content.exists(&blob))
    }
}

/// A boot that ended: what was written last in it may not have reached the disk as it should.
impl ImageStore {
    /// Whether layers of an earlier boot have not been looked at. Two small files are read.
    pub fn is_doubtful(&self) -> Result<bool> {
        Ok(self.records.trust()?.boot != crate::files::boot())
    }

    /// Layers unpacked shortly before the last boot ended that are not as they should be.
    pub fn check_recent(&self, options: &UnpackOptions<'_>) -> Result<Vec<Finding>> {
        let trust = self.records.trust()?;
        let boot = crate::files::boot();
        let records = self.records.layers(options.driver)?;
        let mut last: HashMap<&str, i64> = HashMap::new();
        for record in &records {
            let latest = last.entry(&record.boot).or_default();
            *latest = (*latest).max(seconds(&record.created));
        }
        let recent = |record: &&LayerRecord| {
            record.boot != boot
                && record.created > trust.until
                && last.get(record.boot.as_str()).is_some_and(|last| seconds(&record.created) >= last - RECENT)
        };
        let found = records.iter().filter(recent).map(|record| self.layer_fault(options, record, Depth::Full));
        found.filter_map(Result::transpose).collect()
    }

    /// Everything up to now is believed: it was looked at, or brought to the disk before an orderly shutdown.
    pub fn believe(&self) -> Result<()> {
        self.records.prepare()?;
        self.records.write_trust(&Trust::new(crate::files::now()))
    }
}

fn seconds(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second)
}

fn digest_of(mut file: std::fs::File) -> Result<Digest> {
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", "content"))? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// An error with its causes.
fn in_full(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
