//! The fetcher: hears who wants to open a file that has not come, brings the file, lets him have it. When it cannot, he
//! gets an error. Beside that it brings all the rest. One thread hears and answers what needs no fetching, so that those who
//! write files are never kept waiting; a few others fetch.

use super::filler::{Filler, is_filler};
use super::journal::{Journal, MOST, Wanted};
use super::name_of;
use super::source::Source;
use crate::Engine;
use crate::error::{Error, Result};
use crate::storage::Storage;
use gantry_image::lazy::LazyLayer;
use gantry_image::{ImageStore, UnpackOptions};
use gantry_registry::Client;
use gantry_sys::Errno;
use gantry_sys::fanotify::{Group, Opening, reserve};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Files fetched at the same time.
const WORKERS: usize = 4;
/// The rest waits so long: many containers are over by then.
const DELAY: Duration = Duration::from_secs(2);
/// Between two tries to bring the rest.
const PAUSE: Duration = Duration::from_secs(10);
/// Whoever held the leash is gone, or needs nobody any more.
const LEASH_CLOSED: i32 = 3;
/// How often is looked for what must be told, in milliseconds.
const TICK: u16 = 500;

/// Somebody who waits, under this number.
struct Job {
    number: i32,
    wanted: Wanted,
    /// What keeps the number from being given again.
    _file: Option<OwnedFd>,
}

struct Fetcher<'e> {
    images: ImageStore,
    client: Client,
    storage: &'e Storage,
    driver: &'e str,
    group: Group,
    journal: Journal,
    dir: PathBuf,
    /// By their place among those given; those that are complete are `None`.
    layers: Vec<Option<(LazyLayer, Source)>>,
    files: HashMap<(u64, u64), Wanted>,
    /// How many files are being fetched because somebody waits.
    hurried: Arc<AtomicUsize>,
    told: Mutex<HashSet<Wanted>>,
    /// What could not be fetched, and why, until it is told.
    news: Mutex<Vec<(String, String)>>,
    complete: AtomicBool,
}

impl Engine {
    /// Brings files of these layers for those who want to open them, until all are complete or the leash, which is the
    /// standard output, is closed. The group is the standard input.
    pub fn internal_lazy(&self, driver: &str, key: &str, layers: &[String]) -> Result<()> {
        let failed = || Error::io("take over the watch of the image's files");
        let group = io::stdin().as_fd().try_clone_to_owned().map(Group::of).map_err(failed())?;
        let dir = self.lazy_dir();
        let Some(journal) = Journal::open(&self.waiting_path(key), || !is_leash_closed())? else { return Ok(()) };
        let inherited = inherit(&group, &journal).map_err(failed())?;
        let filler = Filler::register(&dir)?;
        let ended = self.with_named_storage(driver, |storage| {
            let (images, client) = (self.images()?.clone(), self.registries());
            let open = |id: &String| -> Result<Option<(LazyLayer, Source)>> {
                let Some(layer) = images.open_lazy(driver, storage, id)? else { return Ok(None) };
                let source = Source::of(&client, layer.reference())?;
                Ok(Some((layer, source)))
            };
            let layers = layers.iter().map(open).collect::<Result<Vec<_>>>()?;
            let files = files(&layers).map_err(failed())?;
            let (hurried, told, news, complete) = Default::default();
            let fetcher = Fetcher {
                images,
                client,
                storage,
                driver,
                group,
                journal,
                dir,
                layers,
                files,
                hurried,
                told,
                news,
                complete,
            };
            let tell = |path: &str, reason: &str| {
                tracing::error!("cannot fetch {path} of the image: {reason}");
                let grounds = [("file", path.to_owned()), ("error", reason.to_owned())];
                self.decide(key, "fetch-failed", &grounds);
            };
            fetcher.run(inherited, &tell, filler).map_err(failed())
        });
        ended.inspect(|_| drop(std::fs::remove_file(self.waiting_path(key))))
    }
}

/// Those who wait for a predecessor's answer. Whom it had not noted gets an error; the numbers of the others are kept from
/// being given to new ones.
fn inherit(group: &Group, journal: &Journal) -> io::Result<Vec<Job>> {
    if !journal.is_inherited {
        return Ok(Vec::new());
    }
    let noted: BTreeMap<i32, Wanted> = journal.waiting()?.into_iter().collect();
    for number in (0..MOST).filter(|number| !noted.contains_key(number)) {
        match group.refuse(number) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let job = |(number, wanted)| Ok(Job { number, wanted, _file: reserve(number, group.as_fd())? });
    noted.into_iter().map(job).collect()
}

/// Which file an inode is.
fn files(layers: &[Option<(LazyLayer, Source)>]) -> io::Result<HashMap<(u64, u64), Wanted>> {
    let mut files = HashMap::new();
    for (at, layer) in (0..).zip(layers) {
        let Some((layer, _)) = layer else { continue };
        for file in 0..layer.len() {
            let meta = File::from(layer.handle(file)?).metadata()?;
            files.insert((meta.dev(), meta.ino()), (at, u32::try_from(file).unwrap_or_default()));
        }
    }
    Ok(files)
}

fn is_leash_closed() -> bool {
    let leash = io::stdout();
    poll(&mut [PollFd::new(leash.as_fd(), PollFlags::empty())], PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

impl Fetcher<'_> {
    fn run(self, inherited: Vec<Job>, tell: &dyn Fn(&str, &str), filler: Filler) -> io::Result<()> {
        let (jobs, taken) = channel();
        inherited.into_iter().for_each(|job| self.begin(&jobs, job));
        let taken = Mutex::new(taken);
        let fetcher = &self;
        std::thread::scope(|scope| {
            (0..WORKERS).for_each(|_| drop(scope.spawn(|| fetcher.work(&taken))));
            scope.spawn(|| fetcher.bring_rest());
            match self.hear(&jobs, tell) {
                Ok(true) => drop(jobs),
                // Threads may be anywhere; a successor knows what they were at.
                _ => {
                    drop(filler);
                    gantry_sys::process::exit(LEASH_CLOSED)
                }
            }
        });
        Ok(())
    }

    /// True when everything has come, false when the leash is closed.
    fn hear(&self, jobs: &Sender<Job>, tell: &dyn Fn(&str, &str)) -> io::Result<bool> {
        let leash = io::stdout();
        loop {
            let mut fds =
                [PollFd::new(self.group.as_fd(), PollFlags::POLLIN), PollFd::new(leash.as_fd(), PollFlags::empty())];
            match poll(&mut fds, PollTimeout::from(TICK)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if fds[1].revents().is_some_and(|events| !events.is_empty()) {
                return Ok(false);
            }
            let news = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
            news.iter().for_each(|(path, reason)| tell(path, reason));
            match self.group.read() {
                Ok(openings) => openings.into_iter().for_each(|opening| self.judge(jobs, opening)),
                Err(Errno::EAGAIN) if self.complete.load(Ordering::Acquire) => return Ok(true),
                // The kernel has refused one itself, as there was no descriptor for it.
                Err(_) => {}
            }
        }
    }

    fn judge(&self, jobs: &Sender<Job>, opening: Opening) {
        let number = opening.file.as_raw_fd();
        let meta = opening.file.try_clone().and_then(|file| File::from(file).metadata());
        let Ok(meta) = meta else {
            let _ = self.group.refuse(number);
            return;
        };
        let wanted = self.files.get(&(meta.dev(), meta.ino())).copied();
        let own = std::process::id().cast_signed() == opening.pid || is_filler(&self.dir, opening.pid);
        match wanted.filter(|wanted| !own && !self.is_here(*wanted)) {
            None => {
                let _ = self.group.allow(number);
            }
            Some(wanted) if self.journal.note(number, wanted).is_ok() => {
                self.begin(jobs, Job { number, wanted, _file: Some(opening.file) });
            }
            Some(_) => {
                let _ = self.group.refuse(number);
            }
        }
    }

    fn begin(&self, jobs: &Sender<Job>, job: Job) {
        self.hurried.fetch_add(1, Ordering::Relaxed);
        let _ = jobs.send(job);
    }

    fn layer(&self, (layer, _): Wanted) -> Option<&(LazyLayer, Source)> {
        self.layers.get(layer as usize)?.as_ref()
    }

    fn is_here(&self, wanted: Wanted) -> bool {
        self.layer(wanted).is_none_or(|(layer, _)| layer.is_here(wanted.1 as usize))
    }

    fn work(&self, taken: &Mutex<Receiver<Job>>) {
        loop {
            let next = taken.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            let brought =
                self.layer(job.wanted).map_or(Ok(()), |(layer, source)| layer.fill(job.wanted.1 as usize, source));
            let _ = match &brought {
                Ok(()) => self.group.allow(job.number),
                Err(_) => self.group.refuse(job.number),
            };
            self.journal.clear(job.number);
            self.hurried.fetch_sub(1, Ordering::Relaxed);
            match brought {
                Ok(()) => self.unmark(job.wanted),
                Err(error) => self.tell(job.wanted, &crate::image::unwrapped(error)),
            }
        }
    }

    /// It has come, so nobody need ask any more.
    fn unmark(&self, wanted: Wanted) {
        let Some((layer, _)) = self.layer(wanted) else { return };
        let name = layer.handle(wanted.1 as usize).and_then(|handle| Ok((name_of(&handle)?, handle)));
        let _ = name.map(|(name, _handle)| self.group.unmark(&name));
    }

    /// Each file once.
    fn tell(&self, wanted: Wanted, error: &Error) {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted) {
            let path = self.layer(wanted).map_or("", |(layer, _)| layer.path(wanted.1 as usize));
            self.say(format!("/{path}"), error);
        }
    }

    fn say(&self, what: String, error: &Error) {
        let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let reason = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push((what, reason));
    }

    /// Layer by layer, behind those who wait; what fails is tried again later.
    fn bring_rest(&self) {
        std::thread::sleep(DELAY);
        let mut told = false;
        loop {
            let mut left = 0;
            for (layer, _) in self.layers.iter().flatten() {
                match self.bring_layer(layer) {
                    Ok(true) => {}
                    Ok(false) => left += 1,
                    Err(error) => {
                        left += 1;
                        if !std::mem::replace(&mut told, true) {
                            self.say("the rest".to_owned(), &error);
                        }
                    }
                }
            }
            if left == 0 {
                return self.complete.store(true, Ordering::Release);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn bring_layer(&self, layer: &LazyLayer) -> Result<bool> {
        let source = Source::of(&self.client, layer.reference())?.behind(&self.hurried);
        let options = UnpackOptions::new(self.driver, self.storage);
        self.images.complete(&layer.id, &source, &options, false).map_err(crate::image::unwrapped)
    }
}
