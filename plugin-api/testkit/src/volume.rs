//! The suite for volume drivers.
//!
//! ```ignore
//! gantry_plugin_testkit::volume::suite(Local::default);
//! // with options, and a second set that is not the same volume:
//! gantry_plugin_testkit::volume::suite_with(Local::default, &Options::default(), Some(&other));
//! ```

use crate::support::{Outcome, Report, Run, complete, dirs, ensure, equal, schema};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeDriver, VolumeInfo, VolumeMount};
use gantry_plugin_api::{Class, Result};
use std::path::{Path, PathBuf};

/// All checks with the schema's defaults.
pub fn suite<D: VolumeDriver>(make: impl Fn() -> D) -> Report {
    suite_with(make, &Options::default(), None)
}

/// All checks with options; `other` are options that make a different volume.
pub fn suite_with<D: VolumeDriver>(make: impl Fn() -> D, options: &Options, other: Option<&Options>) -> Report {
    let mut run = Run::plain();
    checks(&mut run, make, D::OPTIONS, options, other);
    run.finish("volume")
}

/// All checks of a driver with a given schema.
pub fn checks<D: VolumeDriver>(
    run: &mut Run<'_>,
    make: impl Fn() -> D,
    specs: &'static [OptionSpec],
    options: &Options,
    other: Option<&Options>,
) {
    let options = complete(specs, Scope::OBJECT, options);
    let bench = || Bench::new(make(), options.clone());
    run.check("the schema is sound", || schema(specs));
    run.check("validate accepts what create accepts", || Ok(make().validate("one", &options)?));
    run.check("a volume is found after create", || found_after_create(&bench()?));
    run.check("create twice with the same options is no error", || create_twice(&bench()?));
    run.check_if(other.is_some(), "no second set of options", "create with other options is refused", || {
        create_different(&bench()?, &complete(specs, Scope::OBJECT, other.unwrap_or(&Options::default())))
    });
    run.check("what does not exist is not found", || missing(&bench()?));
    run.check("mount says where the data is", || mount_works(&bench()?));
    run.check("mount and unmount may repeat", || mount_twice(&bench()?));
    run.check("data outlives unmount and the process", || data_stays(&bench()?));
    run.check("two volumes are apart", || apart(&bench()?));
    run.check("remove removes the data", || remove_removes(&bench()?));
    run.check_if(make().capabilities().clone, "no clone", "a clone is a volume of its own", || clones(&bench()?));
    run.check_if(make().capabilities().rename, "no rename", "rename keeps the data", || renames(&bench()?));
}

struct Bench<D> {
    driver: D,
    options: Options,
    dirs: Dirs,
    host: Host,
    _temp: tempfile::TempDir,
}

impl<D: VolumeDriver> Bench<D> {
    fn new(driver: D, options: Options) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let temp = tempfile::tempdir()?;
        Ok(Bench { driver, options, dirs: dirs(&temp)?, host: Host::null(), _temp: temp })
    }

    fn create(&self, name: &str) -> Result<VolumeInfo> {
        self.driver.create(name, &self.options, &self.dirs, &self.host)
    }

    fn mount(&self, name: &str) -> Result<VolumeMount> {
        self.driver.mount(name, &self.dirs, &self.host)
    }

    /// The directory of a volume, when it is one of the host.
    fn directory(&self, name: &str) -> Result<Option<PathBuf>> {
        Ok(match self.mount(name)? {
            VolumeMount::Directory(path) => Some(path.into()),
            _ => None,
        })
    }

    fn unmount(&self, name: &str) -> Result<()> {
        self.driver.unmount(name, &self.dirs, &self.host)
    }

    fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<_> = self.driver.list(&self.dirs)?.into_iter().map(|v| v.name).collect();
        names.sort();
        Ok(names)
    }
}

fn found_after_create(bench: &Bench<impl VolumeDriver>) -> Outcome {
    equal("list of a new driver", bench.names()?, vec![])?;
    let made = bench.create("one")?;
    bench.create("two-2.x")?;
    equal("name", made.name.as_str(), "one")?;
    equal("get", bench.driver.get("one", &bench.dirs)?, made)?;
    equal("list", bench.names()?, vec!["one".to_owned(), "two-2.x".to_owned()])
}

fn create_twice(bench: &Bench<impl VolumeDriver>) -> Outcome {
    let first = bench.create("one")?;
    equal("the second answer", bench.create("one")?, first)?;
    equal("list", bench.names()?, vec!["one".to_owned()])
}

fn create_different(bench: &Bench<impl VolumeDriver>, other: &Options) -> Outcome {
    let first = bench.create("one")?;
    let error = match bench.driver.create("one", other, &bench.dirs, &bench.host) {
        Ok(_) => return Err("it was accepted".into()),
        Err(error) => error,
    };
    equal("class", error.class, Class::EXISTS)?;
    equal("the volume", bench.driver.get("one", &bench.dirs)?, first)
}

fn missing(bench: &Bench<impl VolumeDriver>) -> Outcome {
    let class = |answer: Result<()>| answer.err().map(|e| e.class);
    let not_found = Some(Class::NOT_FOUND);
    equal("get", class(bench.driver.get("none", &bench.dirs).map(drop)), not_found)?;
    equal("mount", class(bench.mount("none").map(drop)), not_found)?;
    equal("remove", class(bench.driver.remove("none", &bench.dirs, &bench.host)), not_found)
}

fn mount_works(bench: &Bench<impl VolumeDriver>) -> Outcome {
    bench.create("one")?;
    match bench.mount("one")? {
        VolumeMount::Directory(path) => {
            ensure(Path::new(&path).is_absolute(), || format!("{path:?} is not absolute"))?;
            ensure(Path::new(&path).is_dir(), || format!("{path:?} is not a directory"))
        }
        VolumeMount::FileSystem(mount) => {
            ensure(!mount.fstype.is_empty(), || "the file system has no type".into())?;
            equal("target", mount.target.as_str(), "")
        }
        other => Err(format!("{other:?} is no mount that this suite knows").into()),
    }
}

fn mount_twice(bench: &Bench<impl VolumeDriver>) -> Outcome {
    bench.create("one")?;
    let first = bench.mount("one")?;
    equal("the second mount", bench.mount("one")?, first)?;
    bench.unmount("one")?;
    Ok(bench.unmount("one")?)
}

fn data_stays(bench: &Bench<impl VolumeDriver>) -> Outcome {
    bench.create("one")?;
    let Some(dir) = bench.directory("one")? else { return Ok(()) };
    std::fs::write(dir.join("file"), "data")?;
    bench.unmount("one")?;
    bench.create("one")?;
    let again = bench.directory("one")?.ok_or("it became a file system")?;
    equal("data", std::fs::read_to_string(again.join("file"))?, "data".to_owned())
}

fn apart(bench: &Bench<impl VolumeDriver>) -> Outcome {
    bench.create("one")?;
    bench.create("two")?;
    let (Some(one), Some(two)) = (bench.directory("one")?, bench.directory("two")?) else { return Ok(()) };
    std::fs::write(one.join("file"), "data")?;
    ensure(!two.join("file").exists(), || "a file of one shows up in the other".into())?;
    bench.driver.remove("two", &bench.dirs, &bench.host)?;
    ensure(one.join("file").exists(), || "removing one took the other's data".into())
}

fn remove_removes(bench: &Bench<impl VolumeDriver>) -> Outcome {
    bench.create("one")?;
    let dir = bench.directory("one")?;
    if let Some(dir) = &dir {
        std::fs::create_dir_all(dir.join("a/b"))?;
        std::fs::write(dir.join("a/b/file"), "data")?;
    }
    bench.unmount("one")?;
    bench.driver.remove("one", &bench.dirs, &bench.host)?;
    equal("list", bench.names()?, vec![])?;
    bench.create("one")?;
    let Some(dir) = bench.directory("one")? else { return Ok(()) };
    ensure(!dir.join("a").exists(), || "a new volume of the same name has the old data".into())
}

fn clones(bench: &Bench<impl VolumeDriver>) -> Outcome {
    bench.create("one")?;
    let Some(dir) = bench.directory("one")? else { return Ok(()) };
    std::fs::write(dir.join("file"), "data")?;
    bench.driver.clone_volume("one", "two", &bench.dirs, &bench.host)?;
    let copy = bench.directory("two")?.ok_or("the clone is a file system")?;
    equal("data", std::fs::read_to_string(copy.join("file"))?, "data".to_owned())?;
    std::fs::write(copy.join("file"), "other")?;
    equal("the original", std::fs::read_to_string(dir.join("file"))?, "data".to_owned())
}

fn renames(bench: &Bench<impl VolumeDriver>) -> Outcome {
    bench.create("one")?;
    if let Some(dir) = bench.directory("one")? {
        std::fs::write(dir.join("file"), "data")?;
    }
    bench.unmount("one")?;
    bench.driver.rename("one", "two", &bench.dirs, &bench.host)?;
    equal("list", bench.names()?, vec!["two".to_owned()])?;
    let Some(dir) = bench.directory("two")? else { return Ok(()) };
    equal("data", std::fs::read_to_string(dir.join("file"))?, "data".to_owned())
}
