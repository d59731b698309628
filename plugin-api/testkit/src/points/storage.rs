//! Layers: after any fault a layer is committed as a whole or not at all, what was there before is untouched, and the
//! call can be made again.

use super::{Armed, Came, Point};
use crate::namespaces::mounted;
use crate::support::{Outcome, complete, dirs_in, ensure, equal, id, is_root};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use gantry_plugin_api::storage::{StorageDriver, Store};
use gantry_plugin_api::types::Dirs;
use std::error::Error;
use std::fs;
use std::path::Path;

type Fallible<T> = Result<T, Box<dyn Error>>;
type Opened = Box<dyn Store>;

struct Bench<'a, D> {
    driver: &'a D,
    options: Options,
    container: Options,
    dirs: Dirs,
}

impl<D> Clone for Bench<'_, D> {
    fn clone(&self) -> Self {
        let (options, container) = (self.options.clone(), self.container.clone());
        Bench { driver: self.driver, options, container, dirs: self.dirs.clone() }
    }
}

pub fn points<'a, D: StorageDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    options: &Options,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    let options = complete(specs, Scope::OBJECT, options);
    let container = complete(specs, Scope::CONTAINER, &Options::default());
    let bench = Bench { driver, options, container, dirs: dirs_in(place)? };
    Ok(vec![
        Point::new("init", &bench, init, after_init),
        Point::new("begin_layer", &bench, begin_layer, after_begin),
        Point::new("commit_layer", &bench, commit_layer, after_commit),
        Point::new("create_container", &bench, create_container, after_create),
        Point::new("mount_plan", &bench, mount_plan, after_create),
        Point::new("remove", &bench, remove, after_remove),
        Point::new("collect", &bench, collect, after_collect),
    ])
}

const BASE: u32 = 1;
const NEXT: u32 = 2;
const CONTAINER: u32 = 100;

impl<D: StorageDriver> Bench<'_, D> {
    fn store(&self) -> gantry_plugin_api::Result<Opened> {
        self.driver.init(&self.dirs, &self.options, Host::null())
    }

    /// A store with one layer.
    fn with_base(&self) -> Fallible<Opened> {
        let store = self.store()?;
        layer(&*store, BASE, None)?;
        Ok(store)
    }

    /// … and a container of it.
    fn with_container(&self) -> Fallible<Opened> {
        let store = self.with_base()?;
        self.container(&*store)?;
        Ok(store)
    }

    fn container(&self, store: &dyn Store) -> gantry_plugin_api::Result<()> {
        store.create_container(&id(CONTAINER), &[id(BASE)], &self.container)
    }
}

/// A committed layer with a file that is named after it.
fn layer(store: &dyn Store, number: u32, parent: Option<u32>) -> Outcome {
    fill(store, number, parent)?;
    Ok(store.commit_layer(&id(number))?)
}

fn fill(store: &dyn Store, number: u32, parent: Option<u32>) -> Outcome {
    let target = store.begin_layer(&id(number), parent.map(id).as_deref())?;
    Ok(fs::write(target.path.join(format!("file{number}")), format!("text {number}"))?)
}

/// The layer is there and as it was made.
fn holds(store: &dyn Store, number: u32) -> Outcome {
    ensure(store.has_layer(&id(number))?, || format!("layer {number} is gone"))?;
    ensure(store.list()?.contains(&(id(number), false)), || format!("layer {number} is not listed"))?;
    let Some(dir) = store.layer_dir(&id(number))? else { return Ok(()) };
    let text = fs::read_to_string(dir.join(format!("file{number}"))).unwrap_or_default();
    equal(&format!("layer {number}"), text, format!("text {number}"))
}

/// A container of the first layer can be made, mounted and removed.
fn carries<D: StorageDriver>(bench: &Bench<'_, D>, store: &dyn Store) -> Outcome {
    holds(store, BASE)?;
    bench.container(store)?;
    let plan = store.mount_plan(&id(CONTAINER), &[id(BASE)], false)?;
    if is_root() {
        mounted(&plan, |root| {
            let text = fs::read_to_string(root.join(format!("file{BASE}")))?;
            equal("the container's file", text, format!("text {BASE}"))?;
            Ok(fs::write(root.join("new"), "written")?)
        })?;
    }
    store.remove(&id(CONTAINER))?;
    store.collect()?;
    let listed = store.list()?.iter().any(|(found, _)| *found == id(CONTAINER));
    ensure(!listed, || "the container is listed after remove and collect".into())?;
    holds(store, BASE)
}

fn init<D: StorageDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    Ok(Came::of(&armed.during(|| bench.store())))
}

fn after_init<D: StorageDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    carries(bench, &*bench.with_base()?)
}

fn begin_layer<D: StorageDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let store = bench.with_base()?;
    Ok(Came::of(&armed.during(|| store.begin_layer(&id(NEXT), Some(&id(BASE))))))
}

fn after_begin<D: StorageDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    let store = bench.store()?;
    ensure(!store.has_layer(&id(NEXT))?, || "a layer is there that was never committed".into())?;
    layer(&*store, NEXT, Some(BASE))?;
    holds(&*store, NEXT)?;
    carries(bench, &*store)
}

fn commit_layer<D: StorageDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let store = bench.with_base()?;
    fill(&*store, NEXT, Some(BASE))?;
    Ok(Came::of(&armed.during(|| store.commit_layer(&id(NEXT)))))
}

fn after_commit<D: StorageDriver>(bench: &Bench<'_, D>, came: Came) -> Outcome {
    let store = bench.store()?;
    let there = store.has_layer(&id(NEXT))?;
    ensure(there || came != Came::Through, || "commit said it was done, and the layer is not there".into())?;
    if !there {
        layer(&*store, NEXT, Some(BASE))?;
    }
    holds(&*store, NEXT)?;
    store.collect()?;
    holds(&*store, NEXT)?;
    carries(bench, &*store)
}

fn create_container<D: StorageDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let store = bench.with_base()?;
    Ok(Came::of(&armed.during(|| bench.container(&*store))))
}

fn after_create<D: StorageDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    carries(bench, &*bench.store()?)
}

fn mount_plan<D: StorageDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let store = bench.with_container()?;
    Ok(Came::of(&armed.during(|| store.mount_plan(&id(CONTAINER), &[id(BASE)], false))))
}

fn remove<D: StorageDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let store = bench.with_container()?;
    Ok(Came::of(&armed.during(|| store.remove(&id(CONTAINER)))))
}

fn after_remove<D: StorageDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    let store = bench.store()?;
    store.remove(&id(CONTAINER))?;
    carries(bench, &*store)
}

fn collect<D: StorageDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let store = bench.with_container()?;
    store.remove(&id(CONTAINER))?;
    Ok(Came::of(&armed.during(|| store.collect())))
}

fn after_collect<D: StorageDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    let store = bench.store()?;
    store.collect()?;
    carries(bench, &*store)
}
