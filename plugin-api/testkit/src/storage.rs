//! The suite for storage drivers.
//!
//! ```ignore
//! gantry_plugin_testkit::storage::suite(Overlay2::default);
//! // another place than the default temporary directory, for instance on another file system:
//! gantry_plugin_testkit::storage::suite_with(Overlay2::default, &Options::default(), Path::new("/var/tmp"));
//! ```
//!
//! As root, plans are mounted for real in a private mount namespace. A host on which `init` answers
//! [`Class::UNSUPPORTED`] skips the whole suite and says so.

use crate::namespaces::mounted;
use crate::support::{Outcome, Report, Run, complete, dirs, ensure, equal, id as name, is_root, schema};
use gantry_plugin_api::Class;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use gantry_plugin_api::storage::{LayerTarget, StorageDriver, Store, Whiteouts};
use gantry_plugin_api::types::Dirs;
use std::error::Error;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

type Fallible<T> = Result<T, Box<dyn Error>>;
type Check = fn(&Bench) -> Outcome;

/// All checks with the schema's defaults in the temporary directory.
pub fn suite<D: StorageDriver>(make: impl Fn() -> D) -> Report {
    suite_with(make, &Options::default(), &std::env::temp_dir())
}

/// All checks with options, in a directory of `place`.
pub fn suite_with<D: StorageDriver>(make: impl Fn() -> D, options: &Options, place: &Path) -> Report {
    let mut run = Run::plain();
    checks(&mut run, make, D::OPTIONS, options, place);
    run.finish("storage")
}

/// All checks of a driver with a given schema, in a directory of `place`.
pub fn checks<D: StorageDriver>(
    run: &mut Run<'_>,
    make: impl Fn() -> D,
    specs: &'static [OptionSpec],
    options: &Options,
    place: &Path,
) {
    let options = complete(specs, Scope::OBJECT, options);
    let container = complete(specs, Scope::CONTAINER, &Options::default());
    let bench = || Bench::new(&make, &options, &container, place);
    run.check("the schema is sound", || schema(specs));
    run.check("validate accepts the options", || Ok(make().validate(&options)?));
    let capabilities = match bench() {
        Ok(bench) => bench.store.capabilities(),
        Err(e) => {
            run.check_if(!is_unsupported(&*e), &e.to_string(), "init", || Err(e.to_string().into()));
            return;
        }
    };
    for (name, act) in PLAIN {
        run.check(name, || act(&bench()?));
    }
    for (name, act) in MOUNTING {
        run.check_if(is_root(), "mounting needs root", name, || act(&bench()?));
    }
    let deep = is_root() && capabilities.copy_on_write;
    let why_not = "needs root and copy on write";
    run.check_if(deep, why_not, "400 layers", || many_layers(&bench()?));
    run.check_if(capabilities.copy_on_write, "layers are copied", "a container of a big image is quick", || {
        quick_container(&bench()?)
    });
    run.check_if(capabilities.independent_layers, "layers need their parents", "a layer before its parent", || {
        child_first(&bench()?)
    });
    run.check("what is there outlives the process", || outlives(bench, &make, &options));
}

const PLAIN: &[(&str, Check)] = &[
    ("a layer is there once it is committed", commit),
    ("a leftover of an interrupted layer is removed", leftover),
    ("commit may come twice", commit_twice),
    ("begin of a committed layer keeps it or makes it anew", begin_again),
    ("list names layers and containers", list),
    ("remove may come twice and for nothing", remove_twice),
    ("create a container twice keeps its files", container_twice),
    ("removing a container leaves the image", remove_container),
    ("a new container changed nothing", no_changes),
    ("usage counts bytes and inodes", usage),
    ("collect keeps what lives", collect),
    ("what is not there is an error", missing),
    ("a clone has the files and is apart", clone),
    ("a container without image", scratch),
];

const MOUNTING: &[(&str, Check)] = &[
    ("layers are seen through each other", stacked),
    ("whiteouts hide, opaque directories too", whiteouts),
    ("writes stay in the container", isolation),
    ("read-only means read-only", read_only),
    ("changes tells added, changed and deleted", changes),
    ("a deleted and remade directory", remade_directory),
    ("a plan without an image mounts", scratch_mounts),
    ("an image is shown without a container", shown_alone),
];

struct Bench {
    store: Box<dyn Store>,
    options: Options,
    dirs: Dirs,
    _temp: tempfile::TempDir,
}

impl Bench {
    fn new<D: StorageDriver>(
        make: &impl Fn() -> D,
        options: &Options,
        container: &Options,
        place: &Path,
    ) -> Fallible<Self> {
        let temp = tempfile::tempdir_in(place)?;
        let dirs = dirs(&temp)?;
        let store = make().init(&dirs, options, Host::null())?;
        Ok(Bench { store, options: container.clone(), dirs, _temp: temp })
    }

    /// Makes and commits a layer; `fill` gets where to put its files.
    fn layer(&self, id: u32, parent: Option<u32>, fill: impl FnOnce(&Layer) -> io::Result<()>) -> Outcome {
        let target = self.store.begin_layer(&name(id), parent.map(name).as_deref())?;
        fill(&Layer(target))?;
        Ok(self.store.commit_layer(&name(id))?)
    }

    /// A layer 1 with `etc/a`, `etc/b` and `dir/x`, a layer 2 above it with `etc/c`.
    fn image(&self) -> Fallible<Vec<String>> {
        self.layer(1, None, |l| {
            l.put("etc/a", "lower a")?;
            l.put("etc/b", "lower b")?;
            l.put("dir/x", "lower x")
        })?;
        self.layer(2, Some(1), |l| l.put("etc/c", "upper c"))?;
        Ok(vec![name(2), name(1)])
    }

    fn container(&self, id: u32, layers: &[String]) -> Outcome {
        Ok(self.store.create_container(&name(id), layers, &self.options)?)
    }

    fn mounted(&self, id: u32, layers: &[String], act: impl FnOnce(&Path) -> Outcome + Send) -> Outcome {
        mounted(&self.store.mount_plan(&name(id), layers, false)?, act)
    }

    fn listed(&self) -> Fallible<Vec<(String, bool)>> {
        let mut all = self.store.list()?;
        all.sort();
        Ok(all)
    }

    fn changed(&self, id: u32, layers: &[String]) -> Fallible<Vec<String>> {
        let changes = self.store.changes(&name(id), layers)?;
        Ok(changes.iter().map(|c| format!("{} {}", c.kind, c.path.display())).collect())
    }
}

fn is_unsupported(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<gantry_plugin_api::Error>().is_some_and(|e| e.class == Class::UNSUPPORTED)
}

/// Where a layer is unpacked, and how whiteouts are written there.
struct Layer(LayerTarget);

impl Layer {
    fn path(&self, path: &str) -> PathBuf {
        self.0.path.join(path)
    }

    fn put(&self, path: &str, text: &str) -> io::Result<()> {
        put(&self.0.path, path, text)
    }

    fn whiteout(&self, path: &str) -> io::Result<()> {
        let at = self.path(path);
        match self.0.whiteouts {
            Whiteouts::APPLY => remove_any(&at),
            Whiteouts::OVERLAY_TRUSTED => {
                make_parent(&at)?;
                use nix::sys::stat::{Mode, SFlag, mknod};
                Ok(mknod(&at, SFlag::S_IFCHR, Mode::empty(), 0)?)
            }
            _ => {
                make_parent(&at)?;
                fs::write(&at, "")?;
                set_attribute(&at, "user.overlay.whiteout", "y")?;
                set_attribute(at.parent().unwrap_or(&at), "user.overlay.opaque", "x")
            }
        }
    }

    fn opaque(&self, path: &str) -> io::Result<()> {
        let at = self.path(path);
        let attribute = match self.0.whiteouts {
            Whiteouts::APPLY => {
                remove_any(&at)?;
                return fs::create_dir_all(&at);
            }
            Whiteouts::OVERLAY_TRUSTED => "trusted.overlay.opaque",
            _ => "user.overlay.opaque",
        };
        fs::create_dir_all(&at)?;
        set_attribute(&at, attribute, "y")
    }
}

fn put(root: &Path, path: &str, text: &str) -> io::Result<()> {
    make_parent(&root.join(path))?;
    fs::write(root.join(path), text)
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn remove_any(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn set_attribute(path: &Path, key: &str, value: &str) -> io::Result<()> {
    let (path, key) = (CString::new(path.as_os_str().as_bytes())?, CString::new(key)?);
    // SAFETY: both names are C strings and the value has the length given.
    match unsafe { libc::setxattr(path.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn text(root: &Path, path: &str) -> Fallible<String> {
    fs::read_to_string(root.join(path)).map_err(|e| format!("{path}: {e}").into())
}

fn commit(bench: &Bench) -> Outcome {
    equal("before begin", bench.store.has_layer(&name(1))?, false)?;
    let target = bench.store.begin_layer(&name(1), None)?;
    ensure(target.path.is_dir(), || format!("{} is no directory", target.path.display()))?;
    ensure(target.path.starts_with(&bench.dirs.root), || "it lies outside the driver's directory".into())?;
    equal("before commit", bench.store.has_layer(&name(1))?, false)?;
    put(&target.path, "file", "text")?;
    bench.store.commit_layer(&name(1))?;
    equal("after commit", bench.store.has_layer(&name(1))?, true)
}

fn leftover(bench: &Bench) -> Outcome {
    let first = bench.store.begin_layer(&name(1), None)?;
    put(&first.path, "a/b/file", "torn")?;
    let second = bench.store.begin_layer(&name(1), None)?;
    equal("entries", fs::read_dir(&second.path)?.count(), 0)?;
    bench.store.remove(&name(1))?;
    equal("after removing the half-made layer", bench.listed()?, vec![])
}

fn commit_twice(bench: &Bench) -> Outcome {
    bench.layer(1, None, |l| l.put("file", "text"))?;
    bench.store.commit_layer(&name(1))?;
    equal("it is there", bench.store.has_layer(&name(1))?, true)
}

/// Two processes may unpack the same layer, one after the other.
fn begin_again(bench: &Bench) -> Outcome {
    bench.layer(1, None, |l| l.put("file", "text"))?;
    match bench.store.begin_layer(&name(1), None) {
        Err(error) => equal("class", error.class, Class::EXISTS)?,
        Ok(target) => {
            put(&target.path, "file", "text")?;
            bench.store.commit_layer(&name(1))?;
        }
    }
    equal("it is there", bench.store.has_layer(&name(1))?, true)
}

fn list(bench: &Bench) -> Outcome {
    equal("a new store", bench.listed()?, vec![])?;
    let image = bench.image()?;
    bench.container(10, &image)?;
    equal("all", bench.listed()?, vec![(name(1), false), (name(2), false), (name(10), true)])
}

fn remove_twice(bench: &Bench) -> Outcome {
    bench.store.remove(&name(99))?;
    let image = bench.image()?;
    bench.container(10, &image)?;
    for id in [10, 2, 2, 10, 1] {
        bench.store.remove(&name(id))?;
    }
    equal("left", bench.listed()?, vec![])?;
    equal("it is gone", bench.store.has_layer(&name(2))?, false)?;
    bench.image()?;
    equal("made again", bench.store.has_layer(&name(2))?, true)
}

fn container_twice(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    let Some(dir) = bench.store.writable_dir(&name(10))? else { return bench.container(10, &image) };
    put(&dir, "mine", "text")?;
    bench.container(10, &image)?;
    equal("the file", text(&dir, "mine")?, "text".to_owned())
}

fn remove_container(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    bench.container(11, &image)?;
    bench.store.remove(&name(10))?;
    equal("left", bench.listed()?, vec![(name(1), false), (name(2), false), (name(11), true)])?;
    bench.store.mount_plan(&name(11), &image, false)?;
    Ok(())
}

fn no_changes(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    equal("changes", bench.changed(10, &image)?, vec![])
}

fn usage(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    let Some(dir) = bench.store.writable_dir(&name(10))? else { return Ok(()) };
    let before = bench.store.usage(&name(10))?;
    put(&dir, "big", &"x".repeat(100_000))?;
    fs::hard_link(dir.join("big"), dir.join("same"))?;
    let after = bench.store.usage(&name(10))?;
    let grown = after.bytes.saturating_sub(before.bytes);
    ensure((100_000..150_000).contains(&grown), || format!("100,000 bytes more are counted as {grown}"))?;
    ensure(after.inodes == before.inodes + 1, || format!("inodes {} -> {}", before.inodes, after.inodes))?;
    let layer = bench.store.usage(&name(2))?;
    ensure(layer.bytes >= 7 && layer.inodes >= 1, || format!("a layer of one file has {layer:?}"))
}

fn collect(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    bench.container(11, &image)?;
    bench.store.remove(&name(11))?;
    bench.store.collect()?;
    bench.store.collect()?;
    equal("left", bench.listed()?, vec![(name(1), false), (name(2), false), (name(10), true)])?;
    bench.store.mount_plan(&name(10), &image, false)?;
    Ok(())
}

fn missing(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    let class = bench.store.usage(&name(99)).err().map(|e| e.class);
    equal("usage", class, Some(Class::NOT_FOUND))?;
    ensure(bench.store.commit_layer(&name(99)).is_err(), || "commit of a layer nobody began".into())?;
    ensure(bench.store.mount_plan(&name(99), &image, false).is_err(), || "plan of no container".into())
}

fn clone(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    let Some(dir) = bench.store.writable_dir(&name(10))? else { return Ok(()) };
    put(&dir, "mine", "text")?;
    match bench.store.clone_container(&name(11), &name(10)) {
        Err(error) => equal("class", error.class, Class::UNSUPPORTED),
        Ok(()) => {
            let copy = bench.store.writable_dir(&name(11))?.ok_or("the clone has no directory")?;
            put(&dir, "mine", "changed")?;
            equal("the copy", text(&copy, "mine")?, "text".to_owned())
        }
    }
}

fn scratch(bench: &Bench) -> Outcome {
    bench.container(10, &[])?;
    let plan = bench.store.mount_plan(&name(10), &[], false)?;
    ensure(!plan.is_empty(), || "the plan is empty".into())?;
    equal("the root comes first", plan[0].target.as_str(), "")
}

fn scratch_mounts(bench: &Bench) -> Outcome {
    bench.container(10, &[])?;
    bench.mounted(10, &[], |root| Ok(put(root, "file", "text")?))?;
    equal("changes", bench.changed(10, &[])?, vec!["A /file".to_owned()])
}

fn stacked(bench: &Bench) -> Outcome {
    bench.image()?;
    bench.layer(3, Some(2), |l| l.put("etc/b", "top b"))?;
    let image = [name(3), name(2), name(1)];
    bench.container(10, &image)?;
    bench.mounted(10, &image, |root| {
        equal("a", text(root, "etc/a")?, "lower a".to_owned())?;
        equal("b", text(root, "etc/b")?, "top b".to_owned())?;
        equal("c", text(root, "etc/c")?, "upper c".to_owned())
    })
}

fn whiteouts(bench: &Bench) -> Outcome {
    bench.image()?;
    bench.layer(3, Some(2), |l| {
        l.whiteout("etc/a")?;
        l.opaque("dir")?;
        l.put("dir/y", "top y")
    })?;
    let image = [name(3), name(2), name(1)];
    bench.container(10, &image)?;
    bench.mounted(10, &image, |root| {
        ensure(!root.join("etc/a").exists(), || "a whited-out file is seen".into())?;
        ensure(!root.join("dir/x").exists(), || "a file below an opaque directory is seen".into())?;
        equal("y", text(root, "dir/y")?, "top y".to_owned())?;
        equal("entries of dir", fs::read_dir(root.join("dir"))?.count(), 1)
    })
}

fn shown_alone(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    let plan = match bench.store.image_plan(&image) {
        Err(error) => return equal("class", error.class, Class::UNSUPPORTED),
        Ok(plan) => plan,
    };
    ensure(plan.iter().all(|m| m.flags & libc::MS_RDONLY != 0), || "it is not read-only".into())?;
    mounted(&plan, |root| {
        equal("a", text(root, "etc/a")?, "lower a".to_owned())?;
        equal("c", text(root, "etc/c")?, "upper c".to_owned())
    })?;
    let alone = bench.store.image_plan(&image[1..])?;
    ensure(alone.len() == 1 && alone[0].fstype == "bind", || "one layer alone is not one bind".into())?;
    equal("a below", text(Path::new(&alone[0].source), "etc/a")?, "lower a".to_owned())?;
    ensure(bench.store.image_plan(&[name(99)]).is_err(), || "plan of a layer that is not there".into())?;
    ensure(bench.store.image_plan(&[]).is_err(), || "plan of no layer".into())
}

fn isolation(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    bench.container(11, &image)?;
    bench.mounted(10, &image, |root| {
        put(root, "etc/a", "mine")?;
        Ok(fs::remove_file(root.join("etc/b"))?)
    })?;
    bench.mounted(11, &image, |root| {
        equal("a in the other", text(root, "etc/a")?, "lower a".to_owned())?;
        equal("b in the other", text(root, "etc/b")?, "lower b".to_owned())
    })?;
    bench.mounted(10, &image, |root| {
        equal("a after a second mount", text(root, "etc/a")?, "mine".to_owned())?;
        ensure(!root.join("etc/b").exists(), || "a deleted file is back".into())
    })
}

fn read_only(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    bench.mounted(10, &image, |root| Ok(put(root, "mine", "text")?))?;
    let plan = bench.store.mount_plan(&name(10), &image, true)?;
    mounted(&plan, |root| {
        equal("mine", text(root, "mine")?, "text".to_owned())?;
        let error = fs::write(root.join("other"), "x").err().and_then(|e| e.raw_os_error());
        equal("write", error, Some(libc::EROFS))
    })
}

fn changes(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    bench.mounted(10, &image, |root| {
        put(root, "new/file", "text")?;
        put(root, "etc/a", "changed text")?;
        fs::remove_file(root.join("etc/b"))?;
        fs::remove_dir_all(root.join("dir"))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        Ok(fs::set_permissions(root.join("etc/c"), mode)?)
    })?;
    let want = ["D /dir", "C /etc", "C /etc/a", "D /etc/b", "C /etc/c", "A /new", "A /new/file"];
    equal("changes", bench.changed(10, &image)?, want.map(str::to_owned).to_vec())
}

fn remade_directory(bench: &Bench) -> Outcome {
    let image = bench.image()?;
    bench.container(10, &image)?;
    bench.mounted(10, &image, |root| {
        fs::remove_dir_all(root.join("dir"))?;
        put(root, "dir/y", "text")?;
        ensure(!root.join("dir/x").exists(), || "the old content shows".into())
    })?;
    let want = ["C /dir", "D /dir/x", "A /dir/y"];
    equal("changes", bench.changed(10, &image)?, want.map(str::to_owned).to_vec())
}

fn many_layers(bench: &Bench) -> Outcome {
    for id in 1..=400 {
        bench.layer(id, (id > 1).then(|| id - 1), |l| l.put(&format!("f{id}"), &id.to_string()))?;
    }
    let image: Vec<String> = (1..=400).rev().map(name).collect();
    bench.container(1000, &image)?;
    bench.mounted(1000, &image, |root| {
        equal("entries", fs::read_dir(root)?.count(), 400)?;
        equal("the lowest", text(root, "f1")?, "1".to_owned())?;
        Ok(put(root, "f200", "changed")?)
    })?;
    equal("changes", bench.changed(1000, &image)?, vec!["C /f200".to_owned()])
}

fn quick_container(bench: &Bench) -> Outcome {
    bench.layer(1, None, |l| (0..2000).try_for_each(|i| l.put(&format!("d{}/f{i}", i % 20), "x")))?;
    let start = std::time::Instant::now();
    bench.container(10, &[name(1)])?;
    let took = start.elapsed();
    ensure(took.as_millis() < 200, || format!("it took {took:?}"))
}

fn child_first(bench: &Bench) -> Outcome {
    bench.layer(2, Some(1), |l| l.put("b", "b"))?;
    bench.layer(1, None, |l| l.put("a", "a"))?;
    let image = [name(2), name(1)];
    bench.container(10, &image)?;
    if !is_root() {
        return Ok(());
    }
    bench.mounted(10, &image, |root| equal("both", text(root, "a")? + &text(root, "b")?, "ab".to_owned()))
}

fn outlives<D: StorageDriver>(bench: impl Fn() -> Fallible<Bench>, make: impl Fn() -> D, options: &Options) -> Outcome {
    let mut bench = bench()?;
    let image = bench.image()?;
    bench.container(10, &image)?;
    let before = bench.listed()?;
    bench.store = make().init(&bench.dirs, options, Host::null())?;
    equal("list", bench.listed()?, before)?;
    equal("layer", bench.store.has_layer(&name(2))?, true)?;
    bench.store.mount_plan(&name(10), &image, false)?;
    Ok(())
}
