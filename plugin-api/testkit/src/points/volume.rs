//! Volumes: after any fault a volume is there or not, whole and listed as it is, and the call can be made again.

use super::{Armed, Came, Point};
use crate::support::{Outcome, complete, dirs_in, ensure, equal};
use gantry_plugin_api::Class;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeDriver, VolumeMount};
use std::error::Error;
use std::path::{Path, PathBuf};

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Bench<'a, D> {
    driver: &'a D,
    options: Options,
    dirs: Dirs,
}

impl<D> Clone for Bench<'_, D> {
    fn clone(&self) -> Self {
        Bench { driver: self.driver, options: self.options.clone(), dirs: self.dirs.clone() }
    }
}

pub fn points<'a, D: VolumeDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    options: &Options,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    let bench = Bench { driver, options: complete(specs, Scope::OBJECT, options), dirs: dirs_in(place)? };
    let can = driver.capabilities();
    Ok(vec![
        Point::new("create", &bench, create, after_create),
        Point::new("mount", &bench, mount, after_mount),
        Point::new("unmount", &bench, unmount, after_mount),
        Point::new("remove", &bench, remove, after_remove),
        Point::new("rename", &bench, rename, after_rename).only_if(can.rename),
        Point::new("clone_volume", &bench, copy, after_copy).only_if(can.clone),
    ])
}

const FILE: &str = "kept";

impl<D: VolumeDriver> Bench<'_, D> {
    fn make(&self, name: &str) -> Fallible<()> {
        self.driver.create(name, &self.options, &self.dirs, &Host::null())?;
        if let Some(dir) = self.directory(name)? {
            std::fs::write(dir.join(FILE), name)?;
        }
        Ok(self.driver.unmount(name, &self.dirs, &Host::null())?)
    }

    /// Where its data is, when that is a directory of the host.
    fn directory(&self, name: &str) -> Fallible<Option<PathBuf>> {
        Ok(match self.driver.mount(name, &self.dirs, &Host::null())? {
            VolumeMount::Directory(path) => Some(path.into()),
            _ => None,
        })
    }

    fn exists(&self, name: &str) -> Fallible<bool> {
        match self.driver.get(name, &self.dirs) {
            Ok(_) => Ok(true),
            Err(error) if error.class == Class::NOT_FOUND => Ok(false),
            Err(error) => Err(format!("get of {name}: {error}").into()),
        }
    }

    /// The volume of this name holds the data of that one.
    fn holds(&self, name: &str, data_of: &str) -> Outcome {
        let Some(dir) = self.directory(name)? else { return Ok(()) };
        let found = std::fs::read_to_string(dir.join(FILE)).unwrap_or_default();
        self.driver.unmount(name, &self.dirs, &Host::null())?;
        ensure(found == data_of, || format!("the data of {name} is not what it was: {found:?}"))
    }

    /// Every volume that is listed can be looked at.
    fn lists_what_is_there(&self) -> Outcome {
        for info in self.driver.list(&self.dirs)? {
            ensure(self.exists(&info.name)?, || format!("{:?} is listed and not there", info.name))?;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Outcome {
        match self.driver.remove(name, &self.dirs, &Host::null()) {
            Ok(()) => {}
            Err(error) if error.class == Class::NOT_FOUND => {}
            Err(error) => return Err(format!("remove of {name}: {error}").into()),
        }
        equal("get after remove", self.exists(name)?, false)
    }
}

fn create<D: VolumeDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    bench.make("other")?;
    Ok(Came::of(&armed.during(|| bench.driver.create("one", &bench.options, &bench.dirs, &Host::null()))))
}

fn after_create<D: VolumeDriver>(bench: &Bench<'_, D>, came: Came) -> Outcome {
    bench.lists_what_is_there()?;
    let there = bench.exists("one")?;
    ensure(there || came != Came::Through, || "create said it was done, and it is not there".into())?;
    bench.make("one")?;
    bench.holds("one", "one")?;
    bench.holds("other", "other")?;
    bench.remove("one")
}

fn mount<D: VolumeDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    bench.make("one")?;
    Ok(Came::of(&armed.during(|| bench.driver.mount("one", &bench.dirs, &Host::null()))))
}

fn unmount<D: VolumeDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    bench.make("one")?;
    bench.directory("one")?;
    Ok(Came::of(&armed.during(|| bench.driver.unmount("one", &bench.dirs, &Host::null()))))
}

fn after_mount<D: VolumeDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    bench.driver.unmount("one", &bench.dirs, &Host::null())?;
    bench.holds("one", "one")?;
    bench.remove("one")
}

fn remove<D: VolumeDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    bench.make("other")?;
    bench.make("one")?;
    Ok(Came::of(&armed.during(|| bench.driver.remove("one", &bench.dirs, &Host::null()))))
}

fn after_remove<D: VolumeDriver>(bench: &Bench<'_, D>, came: Came) -> Outcome {
    bench.lists_what_is_there()?;
    let there = bench.exists("one")?;
    ensure(!there || came != Came::Through, || "remove said it was done, and it is still there".into())?;
    bench.remove("one")?;
    bench.holds("other", "other")?;
    bench.driver.create("one", &bench.options, &bench.dirs, &Host::null())?;
    let left = bench.directory("one")?.is_some_and(|dir| dir.join(FILE).exists());
    ensure(!left, || "a new volume has the data of the removed one".into())
}

fn rename<D: VolumeDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    bench.make("one")?;
    Ok(Came::of(&armed.during(|| bench.driver.rename("one", "new", &bench.dirs, &Host::null()))))
}

fn after_rename<D: VolumeDriver>(bench: &Bench<'_, D>, came: Came) -> Outcome {
    bench.lists_what_is_there()?;
    match (bench.exists("one")?, bench.exists("new")?) {
        (false, true) => bench.holds("new", "one"),
        (true, false) if came != Came::Through => bench.holds("one", "one"),
        (old, new) => Err(format!("rename came {came:?}; the old name is there: {old}, the new one: {new}").into()),
    }
}

fn copy<D: VolumeDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    bench.make("one")?;
    Ok(Came::of(&armed.during(|| bench.driver.clone_volume("one", "new", &bench.dirs, &Host::null()))))
}

fn after_copy<D: VolumeDriver>(bench: &Bench<'_, D>, came: Came) -> Outcome {
    bench.lists_what_is_there()?;
    bench.holds("one", "one")?;
    let there = bench.exists("new")?;
    ensure(there || came != Came::Through, || "the clone was said to be made, and is not there".into())?;
    if !there {
        bench.driver.clone_volume("one", "new", &bench.dirs, &Host::null())?;
    }
    bench.holds("new", "one")
}
