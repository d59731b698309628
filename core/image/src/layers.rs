//! Stacks of layers in a storage driver: unpacked in parallel, all or nothing.
//!
//! A layer that the driver already holds is used again. The others get random ids, are unpacked, synced, and
//! only then recorded; until the record is written they belong to this process alone, and dropping the
//! unfinished stack removes them. A lock per chain id makes two loads of one layer share the work; locks are
//! taken from the bottom upwards, so nobody waits in a circle.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gantry_model::digest::{ChainId, DiffId, Digest};
use gantry_model::idmap::IdMaps;

use crate::apply::{ApplyError, LayerTarget, Lower, apply_outline};
use crate::blobs::{BlobSource, BlobState, Data, Stored};
use crate::board::Board;
use crate::content::{Ingest, Staged};
use crate::error::{BoxError, Error, Result};
use crate::files::PassingLock;
use crate::hash::{chain_ids, sha256};
use crate::lazy::{Listing, Outline};
use crate::limits::Limits;
use crate::pipeline::{self, Unpacked};
use crate::records::{Layer, LayerRecord, Records};
use crate::store::ImageStore;

/// A storage driver as this crate sees it. Layers are named by ids that we choose and that never come again.
///
/// Life of a layer: `begin`, its directory is filled and synced, then `commit`; or `abort` at any time, also
/// after `commit` if what it belongs to failed.
pub trait LayerSink: Sync {
    /// Whether a layer's directory starts as a copy of its parent, so that the parent must be committed first.
    fn depends_on_parent(&self) -> bool;
    /// Makes a place for a layer. The parent is committed, or only begun if layers are independent.
    fn begin(&self, layer: &str, parent: Option<&str>) -> std::result::Result<LayerTarget, BoxError>;
    /// The layer is whole and on disk.
    fn commit(&self, layer: &str) -> std::result::Result<(), BoxError>;
    /// Removes the layer, if it is there.
    fn abort(&self, layer: &str);
    /// Whether the layer was committed and is still there.
    fn exists(&self, layer: &str) -> bool;
    /// The directory of a committed layer, to be looked at.
    fn dir(&self, layer: &str) -> Option<PathBuf> {
        let _ = layer;
        None
    }
    /// All layers of images, half-made ones included.
    fn list(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Whoever wants to know how far the layers are; called by the threads that unpack. Layers are counted from the bottom.
pub trait Watch: Sync {
    /// Nothing has to be fetched for it.
    fn present(&self, layer: usize);
    /// It was unpacked.
    fn unpacked(&self, layer: usize);
    /// It was made out of its table of contents.
    fn outlined(&self, layer: usize);
}

/// Where and how to unpack.
#[derive(Clone, Copy)]
pub struct UnpackOptions<'a> {
    /// The storage driver's name, under which its layers are recorded.
    pub driver: &'a str,
    pub sink: &'a dyn LayerSink,
    pub limits: Limits,
    /// Layers unpacked at the same time.
    pub threads: usize,
    /// Is told how far they are.
    pub watch: Option<&'a dyn Watch>,
    /// Where the kernel cannot map owners by mount: whom the files belong to on the disk. Such a layer has a name of its own.
    pub owners: Option<&'a IdMaps>,
}

impl<'a> UnpackOptions<'a> {
    /// Default limits and two layers at a time.
    pub fn new(driver: &'a str, sink: &'a dyn LayerSink) -> Self {
        Self { driver, sink, limits: Limits::default(), threads: 2, watch: None, owners: None }
    }
}

/// The name of a layer whose files belong on the disk to whom `owners` says.
pub fn chain_for(chain: &ChainId, owners: Option<&IdMaps>) -> ChainId {
    match owners {
        None => *chain,
        Some(owners) => ChainId(sha256(format!("{chain} {}", owners.for_mount()).as_bytes())),
    }
}

/// A layer of the stack before it is unpacked.
struct Slot {
    id: String,
    parent: Option<ChainId>,
    parent_id: Option<String>,
    diff: DiffId,
    chain: ChainId,
    known: Option<LayerRecord>,
    lock: Option<PassingLock>,
}

/// A stack that is unpacked but not recorded. Dropping it undoes it.
pub(crate) struct Stack<'a> {
    options: &'a UnpackOptions<'a>,
    begun: Begun<'a>,
    locks: Vec<PassingLock>,
    blobs: Vec<Staged>,
    fresh: Vec<LayerRecord>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) warnings: Vec<String>,
}

/// Layers that were begun and are removed again unless all goes well.
pub(crate) struct Begun<'a> {
    options: &'a UnpackOptions<'a>,
    records: Records,
    ids: Mutex<Vec<String>>,
}

impl<'a> Begun<'a> {
    fn new(store: &ImageStore, options: &'a UnpackOptions<'a>) -> Self {
        Self { options, records: store.records.clone(), ids: Mutex::default() }
    }

    pub(crate) fn begin(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(id.to_owned());
        self.options.sink.begin(id, parent).map_err(storage("begin", id))
    }

    /// Keeps what was recorded of the layer's entries; it reaches the disk with them.
    fn keep_sums(&self, id: &str, sums: &[u8]) -> Result<()> {
        let path = self.records.sums_path(self.options.driver, id)?;
        std::fs::write(&path, sums).map_err(Error::io("write", path))
    }

    /// Where the lists lie.
    fn sums_dir(&self) -> Result<PathBuf> {
        self.records.driver_dir(self.options.driver)
    }

    pub(crate) fn keep(self) {
        self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let ids = self.ids.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        for id in ids.iter().rev() {
            self.options.sink.abort(id);
            let _ = self.records.remove_notes(self.options.driver, id);
        }
    }
}

/// A layer of which only the table of contents is fetched.
pub(crate) struct Outlined {
    pub(crate) reference: String,
    pub(crate) blob: Digest,
    pub(crate) compressed: u64,
    pub(crate) listing: Listing,
}

/// Tells what need not come whole of a stack.
pub(crate) type Outliner<'o> = &'o (dyn Fn(usize) -> Option<Outlined> + Sync);

/// What unpacking one layer gave.
struct Done {
    layer: Layer,
    staged: Option<Staged>,
    path: PathBuf,
    warnings: Vec<String>,
}

/// Unpacks what the driver lacks of a stack; `source` tells where the blob of the n-th layer is.
pub(crate) fn unpack_stack<'a, 's>(
    store: &ImageStore,
    options: &'a UnpackOptions<'a>,
    diffs: &[DiffId],
    source: &(dyn Fn(usize) -> Result<BlobSource<'s>> + Sync),
    outline: Option<Outliner<'_>>,
) -> Result<Stack<'a>> {
    store.records.prepare_driver(options.driver)?;
    let mut slots = slots(store, options, diffs)?;
    let begun = Begun::new(store, options);
    let board = Board::new(slots.iter().map(|slot| slot.known.is_some()));
    let outline = outline.filter(|_| !options.sink.depends_on_parent());
    let worker = Worker { store, options, begun: &begun, slots: &slots, board: &board, source, outline };
    let done = worker.run()?;
    if !options.sink.depends_on_parent() {
        sync_all(begun.sums_dir()?, done.iter().flatten().map(|done| &*done.path))?;
    }
    let mut stack = Stack::new(options, begun);
    for (index, (slot, done)) in slots.iter_mut().zip(done).enumerate() {
        match done {
            Some(done) => stack.add_fresh(slot, done),
            None => stack.add_known(store, slot, index, || source(index))?,
        }
        stack.locks.extend(slot.lock.take());
    }
    Ok(stack)
}

/// Finds what is there, and locks what is not, from the bottom up.
fn slots(store: &ImageStore, options: &UnpackOptions<'_>, diffs: &[DiffId]) -> Result<Vec<Slot>> {
    let mut slots: Vec<Slot> = Vec::with_capacity(diffs.len());
    for (diff, chain) in diffs.iter().zip(chain_ids(diffs)) {
        let chain = chain_for(&chain, options.owners);
        let parent = slots.last().map(|below| below.chain);
        let parent_id = slots.last().map(|below| below.id.clone());
        let lock = PassingLock::take(&store.records.layer_lock_path(options.driver, &chain)?)?;
        let known = known_layer(store, options, &chain)?;
        let (id, lock) = match &known {
            Some(record) => (record.id.clone(), None),
            None => (random_id()?, Some(lock)),
        };
        slots.push(Slot { id, parent, parent_id, diff: *diff, chain, known, lock });
    }
    Ok(slots)
}

/// A layer's record, if the driver still has the layer.
fn known_layer(store: &ImageStore, options: &UnpackOptions<'_>, chain: &ChainId) -> Result<Option<LayerRecord>> {
    let record = store.records.layer(options.driver, chain)?;
    match record {
        Some(record) if options.sink.exists(&record.id) => Ok(Some(record)),
        Some(_) => store.records.remove_layer(options.driver, chain).map(|()| None),
        None => Ok(None),
    }
}

/// An id nobody had before and nobody will have again.
fn random_id() -> Result<String> {
    let mut bytes = [0; 32];
    let path = Path::new("/dev/urandom");
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    file.read_exact(&mut bytes).map_err(Error::io("read", path))?;
    Ok(Digest::from_bytes(bytes).hex())
}

/// The unpacking threads' common ground.
struct Worker<'a, 'b, 's> {
    store: &'b ImageStore,
    options: &'b UnpackOptions<'b>,
    begun: &'b Begun<'a>,
    slots: &'b [Slot],
    board: &'b Board,
    source: &'b (dyn Fn(usize) -> Result<BlobSource<'s>> + Sync),
    outline: Option<Outliner<'b>>,
}

impl<'s> Worker<'_, '_, 's> {
    fn run(&self) -> Result<Vec<Option<Done>>> {
        let missing: Vec<usize> = (0..self.slots.len()).filter(|index| self.slots[*index].known.is_none()).collect();
        let alone = self.options.sink.depends_on_parent() || missing.len() < 2;
        let threads = if alone { 1 } else { self.options.threads.clamp(1, missing.len()) };
        let next = AtomicUsize::new(0);
        let results = Mutex::new(self.slots.iter().map(|_| None).collect::<Vec<_>>());
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.work(&missing, &next, &results));
            }
            self.work(&missing, &next, &results);
        });
        let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.into_iter().map(Option::transpose).collect()
    }

    fn work(&self, missing: &[usize], next: &AtomicUsize, results: &Mutex<Vec<Option<Result<Done>>>>) {
        while let Some(index) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let turn = self.board.turn(*index);
            let result = self.unpack(*index);
            turn.end(result.as_ref().ok().map(|done| &*done.path));
            if result.is_err() {
                next.store(missing.len(), Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[*index] = Some(result);
        }
    }

    fn unpack(&self, index: usize) -> Result<Done> {
        match self.outline.and_then(|outline| outline(index)) {
            Some(outlined) => self.make_outline(index, &outlined),
            None => self.unpack_whole(index),
        }
    }

    /// Makes a layer out of its table of contents.
    fn make_outline(&self, index: usize, outlined: &Outlined) -> Result<Done> {
        let slot = &self.slots[index];
        let target = self.begun.begin(&slot.id, slot.parent_id.as_deref())?;
        let entries = outlined.listing.entries.iter().map(|(entry, _)| entry);
        let applied = apply_outline(entries, &target, &self.options.limits).map_err(|source| refused(slot, source))?;
        let blob = (outlined.blob, outlined.compressed);
        let outline = Outline::new(&outlined.reference, slot.chain, blob, &outlined.listing);
        outline.write(&self.begun.records.outline_path(self.options.driver, &slot.id)?)?;
        if let Some(watch) = self.options.watch {
            watch.outlined(index);
        }
        let layer = Layer {
            diff: slot.diff,
            chain: slot.chain,
            blob: outlined.blob,
            media_type: outlined.listing.compression.media_type().to_owned(),
            compressed: outlined.compressed,
            size: applied.size,
        };
        Ok(Done { layer, staged: None, path: target.path, warnings: applied.warnings })
    }

    /// What was fetched before and turns out to be wrong is fetched again.
    fn unpack_whole(&self, index: usize) -> Result<Done> {
        let (there, unpacked) = self.unpack_source(index, (self.source)(index)?);
        match (unpacked, there) {
            (Err(Error::Unpack { source, .. }), Some(digest)) if !matches!(source, ApplyError::Stream(_)) => {
                self.store.content.forget_partial(&digest);
                self.unpack_source(index, (self.source)(index)?).1
            }
            (unpacked, _) => unpacked,
        }
    }

    /// Also answers the digest of a blob of which a part was here.
    fn unpack_source(&self, index: usize, source: BlobSource<'s>) -> (Option<Digest>, Result<Done>) {
        let len = source.data.len();
        let digest = source.blob.prescribed().filter(|_| source.data.is_remote());
        let (keep, stored) = match source.blob.split(self.store, digest.map(|_| len)) {
            Ok(split) => split,
            Err(error) => return (None, Err(error)),
        };
        let there = digest.filter(|_| keep.as_ref().is_some_and(|keep| keep.there() > 0));
        (there, self.unpack_blob(index, source.data, keep, stored))
    }

    fn unpack_blob(&self, index: usize, data: Data<'s>, keep: Option<Ingest>, stored: Stored) -> Result<Done> {
        let (slot, len) = (&self.slots[index], data.len());
        let input = data.open(keep.as_ref())?;
        let target = self.begun.begin(&slot.id, slot.parent_id.as_deref())?;
        self.give_root(slot, &target)?;
        let below = LayersBelow { worker: self, index };
        let lower = (!self.options.sink.depends_on_parent()).then_some(&below as &dyn Lower);
        let unpacked = pipeline::unpack_as(input, keep, &target, &self.options.limits, lower, self.options.owners);
        let unpacked = unpacked.map_err(|source| refused(slot, source))?;
        self.begun.keep_sums(&slot.id, &unpacked.applied.sums)?;
        let done = done(slot, unpacked, stored, len, target.path)?;
        // The next layer grows on this one, so it is committed at once; its directory is then no longer where it was.
        if self.options.sink.depends_on_parent() {
            sync_all(self.begun.sums_dir()?, [&*done.path].into_iter())?;
            self.options.sink.commit(&slot.id).map_err(storage("commit", &slot.id))?;
        }
        if let Some(watch) = self.options.watch {
            watch.unpacked(index);
        }
        Ok(done)
    }
}

impl Worker<'_, '_, '_> {
    /// The root of the lowest layer may be no entry of it; a driver makes the others' like that.
    fn give_root(&self, slot: &Slot, target: &LayerTarget) -> Result<()> {
        let Some(owners) = self.options.owners.filter(|_| slot.parent.is_none()) else { return Ok(()) };
        let (user, group) = owners.to_host(0, 0);
        std::os::unix::fs::chown(&target.path, user, group).map_err(Error::io("give to its owner", &target.path))
    }
}

/// The layers below one of the stack.
struct LayersBelow<'w, 'a, 'b, 's> {
    worker: &'w Worker<'a, 'b, 's>,
    index: usize,
}

impl Lower for LayersBelow<'_, '_, '_, '_> {
    fn directories(&self) -> std::result::Result<Vec<PathBuf>, ApplyError> {
        let unpacked = self.worker.board.wait_below(self.index).ok_or(ApplyError::Below)?;
        let slots = &self.worker.slots[..self.index];
        for slot in slots {
            let outline = self.worker.begun.records.outline_path(self.worker.options.driver, &slot.id);
            if outline.is_ok_and(|outline| outline.exists()) {
                return Err(ApplyError::Incomplete(slot.diff.to_string()));
            }
        }
        let found = slots.iter().zip(unpacked).rev().map(|(slot, fresh)| match fresh {
            Some(path) => Ok(path),
            None => {
                let dir = self.worker.options.sink.dir(&slot.id);
                dir.ok_or_else(|| ApplyError::LowerLayer(slot.diff.to_string()))
            }
        });
        found.collect()
    }
}

fn done(slot: &Slot, unpacked: Unpacked, stored: Stored, len: u64, path: PathBuf) -> Result<Done> {
    if unpacked.diff != slot.diff {
        let (expected, found) = (slot.diff.0, unpacked.diff.0);
        return Err(refused(slot, ApplyError::Digest { what: "the digest of its content", expected, found }));
    }
    let (blob, staged) = match (stored, unpacked.blob) {
        (Stored::Published(digest), _) => (digest, None),
        (Stored::Staged(staged), _) => (staged.digest, Some(staged)),
        (Stored::Copied(expected), Some(ingest)) => {
            let staged = ingest.finish(&format!("layer {}", slot.diff), expected.as_ref())?;
            (staged.digest, Some(staged))
        }
        (Stored::Copied(_), None) => return Err(Error::MissingContent(slot.diff.0)),
    };
    let layer = Layer {
        diff: slot.diff,
        chain: slot.chain,
        blob,
        media_type: unpacked.compression.media_type().to_owned(),
        compressed: len,
        size: unpacked.applied.size,
    };
    Ok(Done { layer, staged, path, warnings: unpacked.applied.warnings })
}

fn refused(slot: &Slot, source: ApplyError) -> Error {
    Error::Unpack { layer: slot.diff.to_string(), source }
}

pub(crate) fn storage(act: &'static str, layer: &str) -> impl FnOnce(BoxError) -> Error {
    let layer = layer.to_owned();
    move |source| Error::Storage { act, layer, source }
}

/// One `syncfs` for each file system that holds one of the directories, or the lists of their entries.
fn sync_all<'a>(sums: PathBuf, paths: impl Iterator<Item = &'a Path>) -> Result<()> {
    let mut synced = Vec::new();
    let paths: Vec<&Path> = paths.collect();
    let with_sums = if paths.is_empty() { None } else { Some(&*sums) };
    for path in paths.into_iter().chain(with_sums) {
        let dir = File::open(path).map_err(Error::io("open the layer", path))?;
        let device = dir.metadata().map_err(Error::io("look at", path))?.dev();
        if !synced.contains(&device) {
            rustix::fs::syncfs(&dir).map_err(Error::errno("sync the file system of", path))?;
            synced.push(device);
        }
    }
    Ok(())
}

/// One more layer on those below, taken from a stream: unpacked first, its name learnt from its content. The stack has
/// all layers, and only the new one is fresh, unless the driver had it.
pub(crate) fn one_more<'a>(
    store: &ImageStore,
    input: impl Read + Send,
    below: Vec<LayerRecord>,
    options: &'a UnpackOptions<'a>,
    what: &str,
) -> Result<Stack<'a>> {
    store.records.prepare_driver(options.driver)?;
    let begun = Begun::new(store, options);
    let id = random_id()?;
    let target = begun.begin(&id, below.last().map(|record| record.id.as_str()))?;
    let unpacked = pipeline::unpack(input, Some(store.content.ingest()?), &target, &options.limits);
    let mut unpacked = unpacked.map_err(|source| Error::Unpack { layer: format!("of {what}"), source })?;
    begun.keep_sums(&id, &unpacked.applied.sums)?;
    sync_all(begun.sums_dir()?, [&*target.path].into_iter())?;
    if options.sink.depends_on_parent() {
        options.sink.commit(&id).map_err(storage("commit", &id))?;
    }
    let warnings = std::mem::take(&mut unpacked.applied.warnings);
    let parent = below.last().map(|record| record.layer.chain);
    let below = below.into_iter().map(|record| record.layer).collect();
    let stack = named_by_content(store, begun, &id, parent, unpacked, what)?;
    Ok(Stack { layers: [below, stack.layers].concat(), warnings, ..stack })
}

/// The layers of below and no other.
pub(crate) fn unchanged<'a>(store: &ImageStore, below: Vec<LayerRecord>, options: &'a UnpackOptions<'a>) -> Stack<'a> {
    let layers = below.into_iter().map(|record| record.layer).collect();
    Stack { layers, ..Stack::new(options, Begun::new(store, options)) }
}

/// A stack of the new layer, or of the same one if the driver has it.
fn named_by_content<'a>(
    store: &ImageStore,
    begun: Begun<'a>,
    id: &str,
    parent: Option<ChainId>,
    unpacked: Unpacked,
    what: &str,
) -> Result<Stack<'a>> {
    let options = begun.options;
    let chain = match &parent {
        None => ChainId::base(unpacked.diff),
        Some(parent) => ChainId(sha256(parent.input(&unpacked.diff).as_bytes())),
    };
    let lock = PassingLock::take(&store.records.layer_lock_path(options.driver, &chain)?)?;
    let known = known_layer(store, options, &chain)?.filter(|known| store.content.exists(&known.layer.blob));
    if let Some(known) = known {
        let mut stack = Stack::new(options, Begun::new(store, options));
        stack.layers.push(known.layer);
        return Ok(stack);
    }
    let blob = unpacked.blob.ok_or(Error::MissingContent(chain.0))?.finish(what, None)?;
    let layer = Layer {
        diff: unpacked.diff,
        chain,
        blob: blob.digest,
        media_type: unpacked.compression.media_type().to_owned(),
        compressed: blob.size,
        size: unpacked.applied.size,
    };
    let mut stack = Stack::new(options, begun);
    stack.add(LayerRecord::new(id, parent, layer), blob, lock);
    Ok(stack)
}

impl<'a> Stack<'a> {
    fn new(options: &'a UnpackOptions<'a>, begun: Begun<'a>) -> Self {
        let (locks, blobs, fresh, layers, warnings) = Default::default();
        Self { options, begun, locks, blobs, fresh, layers, warnings }
    }

    fn add_fresh(&mut self, slot: &Slot, done: Done) {
        self.warnings.extend(done.warnings);
        self.blobs.extend(done.staged);
        self.fresh.push(LayerRecord::new(&slot.id, slot.parent, done.layer.clone()));
        self.layers.push(done.layer);
    }

    /// A layer of its own, with its lock.
    fn add(&mut self, record: LayerRecord, blob: Staged, lock: PassingLock) {
        self.layers.push(record.layer.clone());
        self.fresh.push(record);
        self.blobs.push(blob);
        self.locks.push(lock);
    }

    /// A layer the driver has; its blob may be missing, or the manifest may name another form of it.
    fn add_known<'s>(
        &mut self,
        store: &ImageStore,
        slot: &Slot,
        index: usize,
        source: impl FnOnce() -> Result<BlobSource<'s>>,
    ) -> Result<()> {
        let Some(record) = &slot.known else { return Err(Error::MissingContent(slot.diff.0)) };
        let source = source()?;
        let awaited = store.records.outline_path(self.options.driver, &record.id)?.exists();
        let mut layer = record.layer.clone();
        match source.blob {
            BlobState::Stored(digest) if digest == layer.blob => {}
            BlobState::Foreign(None) if store.content.exists(&layer.blob) => {}
            BlobState::Foreign(Some(digest)) if digest == layer.blob && (awaited || store.content.exists(&digest)) => {}
            state => {
                layer.compressed = source.data.len();
                let (blob, media_type, staged) = state.copy(store, source.data, &slot.diff)?;
                (layer.blob, layer.media_type) = (blob, media_type.to_owned());
                self.blobs.extend(staged);
            }
        }
        if let Some(watch) = self.options.watch {
            watch.present(index);
        }
        self.layers.push(layer);
        Ok(())
    }

    /// Makes everything durable: blobs, the driver's layers, then the records.
    pub(crate) fn commit(mut self, store: &ImageStore, more: Vec<Staged>) -> Result<Vec<Layer>> {
        let mut blobs = std::mem::take(&mut self.blobs);
        blobs.extend(more);
        store.content.publish(blobs)?;
        if !self.options.sink.depends_on_parent() {
            for record in &self.fresh {
                self.options.sink.commit(&record.id).map_err(storage("commit", &record.id))?;
            }
        }
        self.write_records(store)?;
        self.begun.keep();
        Ok(self.layers)
    }

    fn write_records(&self, store: &ImageStore) -> Result<()> {
        for (index, record) in self.fresh.iter().enumerate() {
            if let Err(error) = store.records.write_layer(self.options.driver, record) {
                for written in &self.fresh[..index] {
                    let _ = store.records.remove_layer(self.options.driver, &written.layer.chain);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
