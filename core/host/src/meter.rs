//! What drivers do, counted per entry point: calls, errors, timeouts, latency; and what they count themselves. The
//! numbers lie in one file below the state directory that every process of the engine maps and adds to, so that a command
//! that lives for milliseconds leaves its share behind without waiting for anybody. The file dies with the boot.
//!
//! A slot belongs to the name that stands in it, `log/syslog.write` or `log/syslog!reconnects`; whoever needs a name that
//! has no slot takes a free one. What finds no slot is not counted.

use crate::slots;
use crate::{lend::Metric, shared};
use gantry_plugin_api::manifest::Kind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Upper bounds of the latency buckets, in seconds; what takes longer is in one more.
pub const BOUNDS: [f64; 6] = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0];
const BOUNDS_NS: [u64; 6] = [100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];

/// Words of a slot: its sort, its name, its numbers.
const WORDS: usize = 32;
const NAME_WORDS: usize = 17;
const SLOTS: usize = 512;
const FIRST_NUMBER: usize = 1 + NAME_WORDS;

/// Sorts of slots; 0 is a free one.
const CLAIMED: u64 = 1;
const CALLS: u64 = 2;
const OWN: u64 = 3;

/// Places of the numbers of a call.
const COUNT: usize = 0;
const ERRORS: usize = 1;
const TIMEOUTS: usize = 2;
const SUM_NS: usize = 3;
const BUCKETS: usize = 4;

/// The file of one engine, mapped when something is first counted.
#[derive(Debug)]
pub struct Meter {
    path: PathBuf,
    words: OnceLock<Option<&'static [AtomicU64]>>,
}

/// The numbers of one name.
#[derive(Clone, Copy, Debug)]
pub struct Slot(&'static [AtomicU64]);

/// What counts the calls of one driver; empty when nobody wants to know.
#[derive(Clone, Debug)]
pub struct DriverMeter {
    kind: Kind,
    name: String,
    meter: Option<Arc<Meter>>,
    calls: Arc<[OnceLock<Option<Slot>>; slots::MOST]>,
}

/// One entry point of a driver.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct CallMetric {
    /// `log/syslog`.
    pub driver: String,
    /// `write`.
    pub call: String,
    /// Calls that were begun.
    pub calls: u64,
    /// Those that the driver answered with an error.
    pub errors: u64,
    /// Those that were given up.
    pub timeouts: u64,
    /// The time of those that ended, together.
    pub seconds: f64,
    /// How many ended within each of [`BOUNDS`], and how many later; not cumulative.
    pub buckets: [u64; BOUNDS.len() + 1],
}

/// Everything that a file holds.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Readings {
    /// By driver and call.
    pub calls: Vec<CallMetric>,
    /// What drivers count themselves.
    pub own: Vec<Metric>,
}

impl Meter {
    /// Over a file. One process maps a file once, however many engines it opens.
    pub fn of(path: &Path) -> Arc<Meter> {
        static KNOWN: Mutex<Vec<Arc<Meter>>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.iter().find(|meter| meter.path == path) {
            return meter.clone();
        }
        let meter = Arc::new(Meter { path: path.to_owned(), words: OnceLock::new() });
        known.push(meter.clone());
        meter
    }

    fn words(&self) -> Option<&'static [AtomicU64]> {
        *self.words.get_or_init(|| match shared::counters(&self.path, SLOTS * WORDS) {
            Ok(words) => Some(words),
            Err(error) => {
                tracing::debug!(path = %self.path.display(), "drivers' calls are not counted: {error}");
                None
            }
        })
    }

    /// The slot of a name, or a free one for it.
    fn slot(&self, sort: u64, name: &str) -> Option<Slot> {
        let (words, wanted) = (self.words()?, pack(name)?);
        let start = hash(&wanted);
        (0..SLOTS).find_map(|step| {
            let at = (start + step) % SLOTS * WORDS;
            claim(words.get(at..at + WORDS)?, sort, &wanted)
        })
    }

    /// A driver's own counter or gauge.
    pub fn own(&self, driver: &str, name: &str) -> Option<Slot> {
        self.slot(OWN, &format!("{driver}!{name}"))
    }
}

/// The slot, when it has this name or is free.
fn claim(slot: &'static [AtomicU64], sort: u64, wanted: &[u64; NAME_WORDS]) -> Option<Slot> {
    if slot[0].load(Ordering::Acquire) == 0
        && slot[0].compare_exchange(0, CLAIMED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    {
        let name = slot[1..].iter().zip(wanted);
        name.for_each(|(word, value)| word.store(*value, Ordering::Relaxed));
        slot[0].store(sort, Ordering::Release);
        return Some(Slot(slot));
    }
    let same = || slot[1..].iter().zip(wanted).all(|(word, value)| word.load(Ordering::Relaxed) == *value);
    (slot[0].load(Ordering::Acquire) == sort && same()).then_some(Slot(slot))
}

impl Slot {
    fn number(&self, at: usize) -> &AtomicU64 {
        &self.0[FIRST_NUMBER + at]
    }

    fn add(&self, at: usize, by: u64) {
        self.number(at).fetch_add(by, Ordering::Relaxed);
    }

    /// A counter of the driver's own.
    pub fn count(&self, by: i64) {
        self.number(0).fetch_add(by.cast_unsigned(), Ordering::Relaxed);
    }

    /// A gauge of the driver's own.
    pub fn set(&self, value: i64) {
        self.number(0).store(value.cast_unsigned(), Ordering::Relaxed);
    }

    /// A call begins.
    pub fn begun(&self) {
        self.add(COUNT, 1);
    }

    /// It ended.
    pub fn ended(&self, after: Duration, failed: bool) {
        let ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.add(SUM_NS, ns);
        self.add(BUCKETS + BOUNDS_NS.iter().take_while(|bound| ns > **bound).count(), 1);
        if failed {
            self.add(ERRORS, 1);
        }
    }

    /// It was given up.
    pub fn timed_out(&self) {
        self.add(TIMEOUTS, 1);
    }
}

impl DriverMeter {
    /// Of a driver; `None`: nothing is counted.
    pub fn new(kind: Kind, name: &str, meter: Option<Arc<Meter>>) -> DriverMeter {
        DriverMeter { kind, name: name.to_owned(), meter, calls: Arc::new([const { OnceLock::new() }; slots::MOST]) }
    }

    /// Where a call is counted.
    #[inline]
    pub fn call(&self, call: &str) -> Option<Slot> {
        let meter = self.meter.as_ref()?;
        let place = self.calls.get(slots::position(self.kind, call)?)?;
        *place.get_or_init(|| meter.slot(CALLS, &format!("{}/{}.{call}", self.kind, self.name)))
    }

    /// True when calls are counted.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.meter.is_some()
    }

    /// For the driver's own numbers.
    pub fn meter(&self) -> Option<Arc<Meter>> {
        self.meter.clone()
    }
}

/// What was counted so far, by everybody.
pub fn readings(path: &Path) -> Readings {
    let Ok(words) = shared::existing(path, SLOTS * WORDS) else { return Readings::default() };
    let (mut calls, mut own) = (BTreeMap::new(), BTreeMap::new());
    for slot in words.chunks_exact(WORDS) {
        let name = unpack(&slot[1..FIRST_NUMBER]);
        let number = |at: usize| slot[FIRST_NUMBER + at].load(Ordering::Relaxed);
        match slot[0].load(Ordering::Acquire) {
            CALLS => add_call(&mut calls, &name, number),
            // Two processes that need the same name at once may take two slots.
            OWN => *own.entry(name).or_insert(0) += number(0).cast_signed(),
            _ => {}
        }
    }
    let own = own.into_iter().filter_map(|(name, value)| {
        let (driver, name) = name.split_once('!')?;
        Some(Metric { driver: driver.to_owned(), name: name.to_owned(), value })
    });
    Readings { own: own.collect(), calls: calls.into_values().collect() }
}

fn add_call(calls: &mut BTreeMap<String, CallMetric>, name: &str, number: impl Fn(usize) -> u64) {
    let Some((driver, call)) = name.rsplit_once('.') else { return };
    let entry = calls.entry(name.to_owned()).or_default();
    (entry.driver, entry.call) = (driver.to_owned(), call.to_owned());
    entry.calls += number(COUNT);
    entry.errors += number(ERRORS);
    entry.timeouts += number(TIMEOUTS);
    entry.seconds += number(SUM_NS) as f64 / 1e9;
    entry.buckets.iter_mut().enumerate().for_each(|(at, bucket)| *bucket += number(BUCKETS + at));
}

/// A name in words; `None` when it is too long.
fn pack(name: &str) -> Option<[u64; NAME_WORDS]> {
    let mut words = [0; NAME_WORDS];
    if name.len() > size_of_val(&words) {
        return None;
    }
    for (word, bytes) in words.iter_mut().zip(name.as_bytes().chunks(8)) {
        let mut full = [0; 8];
        full[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(full);
    }
    Some(words)
}

fn unpack(words: &[AtomicU64]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
}

/// FNV-1a over words.
fn hash(words: &[u64; NAME_WORDS]) -> usize {
    let mixed = words.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, w| (h ^ w).wrapping_mul(0x0000_0100_0000_01b3));
    ((mixed ^ (mixed >> 32)) % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_count_adds_up() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("sub/metrics");
        for _ in 0..2 {
            // Not `Meter::of`: as if another process had it.
            let meter = Arc::new(Meter { path: path.clone(), words: OnceLock::new() });
            let driver = DriverMeter::new(Kind::Log, "syslog", Some(meter.clone()));
            let write = driver.call("write").expect("a slot");
            (0..3).for_each(|_| write.begun());
            write.ended(Duration::from_micros(50), false);
            write.ended(Duration::from_secs(60), true);
            write.timed_out();
            meter.own("log/syslog", "reconnects").expect("a slot").count(4);
            meter.own("log/syslog", "depth").expect("a slot").set(-7);
            assert!(driver.call("no such call").is_none());
        }
        let readings = readings(&path);
        let [write] = &readings.calls[..] else { panic!("{readings:?}") };
        assert_eq!((write.driver.as_str(), write.call.as_str()), ("log/syslog", "write"));
        assert_eq!((write.calls, write.errors, write.timeouts), (6, 2, 2));
        assert_eq!((write.buckets[0], write.buckets[6], write.buckets.iter().sum::<u64>()), (2, 2, 4));
        assert!((write.seconds - 120.0001).abs() < 1e-6);
        let own: Vec<_> = readings.own.iter().map(|m| (m.name.as_str(), m.value)).collect();
        assert_eq!(own, [("depth", -7), ("reconnects", 8)]);
    }

    #[test]
    fn a_full_file_and_a_long_name_cost_the_count_only() {
        let dir = tempfile::tempdir().expect("dir");
        let meter = Meter { path: dir.path().join("metrics"), words: OnceLock::new() };
        assert!(meter.own("log/x", &"n".repeat(200)).is_none());
        assert!((0..SLOTS).all(|i| meter.own("log/x", &i.to_string()).is_some()));
        assert!(meter.own("log/x", "one more").is_none());
        assert!(meter.own("log/x", "17").is_some());
        assert_eq!(readings(&meter.path).own.len(), SLOTS);
        assert_eq!(readings(Path::new("/nonexistent")), Readings::default());
    }

    #[test]
    fn nobody_wants_to_know() {
        assert!(DriverMeter::new(Kind::Log, "x", None).call("write").is_none());
    }
}
