//! A bench per kind: what the main entry points of a driver cost, on this machine, through whatever stands before it.
//! Nothing is asserted.

use crate::namespaces::{as_host, new_netns};
use crate::network::{endpoint, sized};
use crate::support::{complete, dirs, id, is_root};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::network::{NetworkDriver, NetworkSpec};
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use gantry_plugin_api::storage::StorageDriver;
use gantry_plugin_api::volume::VolumeDriver;
use std::error::Error;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// One entry point.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Measure {
    /// The call, and with what.
    pub call: String,
    /// For one call.
    pub nanoseconds: f64,
}

/// What a bench answers.
pub type Measures = Result<Vec<Measure>, Box<dyn Error>>;
type Done = Result<(), Box<dyn Error>>;

const LONG_ENOUGH: Duration = Duration::from_millis(200);

/// Calls until the time is up; the mean. What is done once before and after each call is not in it.
fn time(list: &mut Vec<Measure>, call: &str, mut act: impl FnMut(u32) -> Done) -> Done {
    let (mut calls, start) = (0, Instant::now());
    while start.elapsed() < LONG_ENOUGH {
        act(calls)?;
        calls += 1;
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / f64::from(calls);
    list.push(Measure { call: call.to_owned(), nanoseconds });
    Ok(())
}

/// Opening, writing lines of 100 bytes, reading them back.
pub fn log<D: LogDriver>(driver: &D, specs: &[OptionSpec], options: &Options) -> Measures {
    let (temp, mut list) = (tempfile::tempdir()?, vec![]);
    let options = complete(specs, Scope::OBJECT, options);
    let container = LogContainer { id: id(1), name: "bench".into(), dir: temp.path().into(), ..Default::default() };
    let line = [b'x'; 100];
    let record = LogRecord::line(1_700_000_000_000_000_000, 1, Stream::STDOUT, &line);
    let mut sink = driver.open(&container, &options, None, Host::null())?.sink;
    let batch = [record; 64];
    time(&mut list, "write of 1 record", |_| Ok(sink.write(&batch[..1]).map(drop)?))?;
    time(&mut list, "write of 64 records", |_| Ok(sink.write(&batch).map(drop)?))?;
    sink.close()?;
    time(&mut list, "open and close", |_| Ok(driver.open(&container, &options, None, Host::null())?.sink.close()?))?;
    if driver.capabilities().read {
        let mut reader = driver.open_reader(&container, &options, &ReadQuery::default(), Host::null())?;
        let (mut records, start) = (0, Instant::now());
        while start.elapsed() < LONG_ENOUGH {
            let state = reader.next(64, 0, &mut |batch, _| records += batch.len())?;
            if state == ReadState::END {
                break;
            }
        }
        let nanoseconds = start.elapsed().as_nanos() as f64 / (records.max(1) as f64);
        list.push(Measure { call: "reading, each record".into(), nanoseconds });
    }
    Ok(list)
}

/// Making containers over an image of eight layers, and what a start asks.
pub fn storage<D: StorageDriver>(driver: &D, specs: &[OptionSpec], options: &Options) -> Measures {
    let (temp, mut list) = (tempfile::tempdir()?, vec![]);
    let container = complete(specs, Scope::CONTAINER, &Options::default());
    let store = driver.init(&dirs(&temp)?, &complete(specs, Scope::OBJECT, options), Host::null())?;
    for number in 1..=8 {
        let target = store.begin_layer(&id(number), (number > 1).then(|| id(number - 1)).as_deref())?;
        std::fs::write(target.path.join(format!("file{number}")), "text")?;
        store.commit_layer(&id(number))?;
    }
    let image: Vec<String> = (1..=8).rev().map(id).collect();
    store.create_container(&id(100), &image, &container)?;
    time(&mut list, "has_layer", |_| Ok(store.has_layer(&id(4)).map(drop)?))?;
    time(&mut list, "mount_plan of 8 layers", |_| Ok(store.mount_plan(&id(100), &image, false).map(drop)?))?;
    time(&mut list, "create_container and remove", |number| {
        store.create_container(&id(1000 + number), &image, &container)?;
        Ok(store.remove(&id(1000 + number))?)
    })?;
    store.collect()?;
    Ok(list)
}

/// Making, mounting and removing volumes.
pub fn volume<D: VolumeDriver>(driver: &D, specs: &[OptionSpec], options: &Options) -> Measures {
    let (temp, host, mut list) = (tempfile::tempdir()?, Host::null(), vec![]);
    let (options, dirs) = (complete(specs, Scope::OBJECT, options), dirs(&temp)?);
    driver.create("one", &options, &dirs, &host)?;
    time(&mut list, "get", |_| Ok(driver.get("one", &dirs).map(drop)?))?;
    time(&mut list, "mount and unmount", |_| {
        driver.mount("one", &dirs, &host)?;
        Ok(driver.unmount("one", &dirs, &host)?)
    })?;
    time(&mut list, "create and remove", |number| {
        let name = format!("v{number}");
        driver.create(&name, &options, &dirs, &host)?;
        Ok(driver.remove(&name, &dirs, &host)?)
    })?;
    Ok(list)
}

/// Attaching a namespace and detaching it again, in a namespace that plays the host. Needs root.
pub fn network<D: NetworkDriver + Sync>(driver: &D, specs: &[OptionSpec], network: &NetworkSpec) -> Measures {
    let (temp, host, mut list) = (tempfile::tempdir()?, Host::null(), vec![]);
    let (network, dirs) = (sized(specs, network), dirs(&temp)?);
    if !is_root() {
        return Err("namespaces need root".into());
    }
    let attaches = !driver.capabilities().host_namespace;
    let found = std::sync::Mutex::new(&mut list);
    as_host(|| {
        let mut list = found.lock().map_err(|_| "panicked (see above)")?;
        let state = driver.create(&network, &[], &dirs, &host)?;
        time(&mut list, "create, when it is there", |_| {
            Ok(driver.create(&network, &state, &dirs, &host).map(drop)?)
        })?;
        if attaches {
            let (endpoint, netns) = (endpoint(specs, &network, 1), new_netns()?);
            time(&mut list, "attach and detach", |_| {
                let made = driver.attach(&network, &state, &endpoint, netns.as_fd(), &dirs, &host)?;
                Ok(driver.detach(&network, &state, &endpoint, &made.state, Some(netns.as_fd()), &dirs, &host)?)
            })?;
        }
        Ok(driver.delete(&network, &state, &dirs, &host)?)
    })?;
    Ok(list)
}
