//! An engine as small as can be: loads a plugin as engines of API 1.0 do and prints what its drivers answer. Tests build
//! it against the frozen API and against a later one. Usage: `gantry-frozen-host FILE.so DIR`

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeader, AbiHeaderRef, LibHeader, RootModule};
use gantry_plugin_api::abi::data::answer;
use gantry_plugin_api::abi::host::lend;
use gantry_plugin_api::abi::{API_VERSION, Mirror, log, network, storage, symbol, volume};
use gantry_plugin_api::host::{Host, HostCalls, Level};
use gantry_plugin_api::log::{LogCapabilities, LogContainer, LogRecord, ReadQuery, Stream};
use gantry_plugin_api::manifest::{ApiVersion, Kind};
use gantry_plugin_api::network::{Attachment, Cidr, EndpointSpec, NetworkSpec};
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::{Change, LayerTarget, Usage};
use gantry_plugin_api::types::{Dirs, Mount};
use gantry_plugin_api::volume::{VolumeInfo, VolumeMount};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::error::Error;
use std::os::fd::AsRawFd;
use std::path::Path;

type Done<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Done {
    let [file, dir] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: gantry-frozen-host FILE.so DIR".into());
    };
    // SAFETY: the test built the file.
    let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }?;
    let library: &'static Library = Box::leak(Box::new(library));
    let dirs = Dirs { root: Path::new(dir).join("root"), state: Path::new(dir).join("state") };
    std::fs::create_dir_all(&dirs.root)?;
    use_log(module(library, Kind::Log)?, Path::new(dir))?;
    use_storage(module(library, Kind::Storage)?, &dirs)?;
    use_network(module(library, Kind::Network)?, &dirs)?;
    use_volume(module(library, Kind::Volume)?, &dirs)
}

/// Finds the header, shakes hands, checks the layout in the direction of the older side.
fn module<M: RootModule + StableAbi>(library: &'static Library, kind: Kind) -> Done<M> {
    // SAFETY: only its address is taken.
    let header = unsafe { library.get::<*const AbiHeader>(symbol(kind)) }?.into_raw();
    // SAFETY: the symbol is a header, and lives as long as the process.
    let header: &'static AbiHeader = unsafe { &*header.cast::<AbiHeader>() };
    // SAFETY: AbiHeaderRef is a transparent wrapper of such a reference.
    let header = unsafe { std::mem::transmute::<&'static AbiHeader, AbiHeaderRef>(header) };
    let header: &'static LibHeader = header.upgrade().map_err(|e| e.to_string())?;
    let text = header.version_strings().version.as_str();
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    let built = ApiVersion { major: numbers.next().unwrap_or(0), minor: numbers.next().unwrap_or(0) };
    println!("{kind}: built for {built}, this is {API_VERSION}, accepted: {}", API_VERSION.accepts(built));
    let theirs = header.layout().ok_or("no layout")?;
    let (interface, implementation) = if built > API_VERSION { (M::LAYOUT, theirs) } else { (theirs, M::LAYOUT) };
    check_layout_compatibility(interface, implementation).map_err(|e| format!("layout: {e:.2000}"))?;
    // SAFETY: the layout was checked one line above.
    unsafe { header.unchecked_layout::<M>() }.map_err(|e| e.to_string().into())
}

/// What the plugin tells its host.
struct Heard;

impl HostCalls for Heard {
    fn log(&self, level: Level, message: &str) {
        println!("heard: {} {message}", level.0);
    }
    fn count(&self, name: &str, by: u64) {
        println!("heard: {name} +{by}");
    }
    fn gauge(&self, _: &str, _: i64) {}
}

macro_rules! later {
    ($driver:expr) => {
        #[cfg(feature = "later")]
        println!("later: {}", $driver.later(7));
    };
}

fn use_log(module: log::LogModule, dir: &Path) -> Done {
    let driver = module.new()(lend(Host::new(Heard))).into_result().map_err(|e| e.message.to_string())?;
    later!(driver);
    let can: LogCapabilities = answer(driver.capabilities())?;
    let (container, options) = (LogContainer { dir: dir.to_owned(), ..LogContainer::default() }, Options::default());
    let (container, options) = (container.to_abi(), options.to_abi());
    let token = gantry_plugin_api::log::ResumeToken([42, 0, 0, 0]);
    let opened = driver.open(&container, &options, Some(token).into()).into_result();
    let mut opened = opened.map_err(|e| e.message.to_string())?;
    later!(opened.sink);
    let batch = [b"one".as_slice(), b"two"].map(|line| LogRecord::line(1, 1, Stream::STDERR, line));
    let token = opened.sink.write(batch.as_slice().into()).into_result().map_err(|e| e.message.to_string())?;
    println!("log: reads {}, beyond {}, token {:?}", can.read, opened.beyond, token.0);
    let reader = driver.open_reader(&container, &options, &ReadQuery::default().to_abi()).into_result();
    let mut reader = reader.map_err(|e| e.message.to_string())?;
    let mut emit = |batch: &[LogRecord<'_>], pairs: &[(String, String)]| {
        let lines: Vec<_> = batch.iter().map(|r| String::from_utf8_lossy(r.bytes()).into_owned()).collect();
        println!("read: {lines:?} {pairs:?}");
    };
    let (state, _) = log::lend_emit(&mut emit, |emit| reader.next(10, 0, emit));
    println!("state: {}", state.into_result().map_err(|e| e.message.to_string())?.0);
    Ok(())
}

fn use_storage(module: storage::StorageModule, dirs: &Dirs) -> Done {
    let driver = module.new()(lend(Host::new(Heard))).into_result().map_err(|e| e.message.to_string())?;
    later!(driver);
    let store = driver.init(&dirs.to_abi(), &Options::default().to_abi()).into_result();
    let store = store.map_err(|e| e.message.to_string())?;
    later!(store);
    let target: LayerTarget = answer(store.begin_layer("x".into(), abi_stable::std_types::RNone))?;
    let plan: Vec<Mount> = answer(store.mount_plan("x".into(), [].as_slice().into(), false))?;
    let changes: Vec<Change> = answer(store.changes("x".into(), [].as_slice().into()))?;
    let usage: Usage = answer(store.usage("x".into()))?;
    println!("storage: {:?} {plan:?} {changes:?} {usage:?}", target.whiteouts);
    let refused = answer::<()>(store.create_container("x".into(), [].as_slice().into(), &Options::default().to_abi()));
    println!("storage: {:?}", refused.err().map(|e| (e.class, e.to_string(), e.hint)));
    Ok(())
}

fn use_network(module: network::NetworkModule, dirs: &Dirs) -> Done {
    let driver = module.new()(lend(Host::new(Heard))).into_result().map_err(|e| e.message.to_string())?;
    later!(driver);
    let spec = NetworkSpec { name: "net".into(), ..NetworkSpec::default() };
    let state: Vec<u8> = answer(driver.create(&spec.to_abi(), [].as_slice().into(), &dirs.to_abi()))?;
    let addresses = vec![Cidr { addr: "10.1.2.3".parse()?, prefix: 24 }];
    let endpoint = EndpointSpec { addresses, ..EndpointSpec::default() };
    let netns = std::fs::File::open("/proc/self/ns/net")?;
    let made = driver.attach(
        &spec.to_abi(),
        state.as_slice().into(),
        &endpoint.to_abi(),
        netns.as_raw_fd(),
        &dirs.to_abi(),
    );
    let made: Attachment = answer(made)?;
    println!("network: {:?} {:?}", made.warnings, String::from_utf8_lossy(&made.state));
    Ok(())
}

fn use_volume(module: volume::VolumeModule, dirs: &Dirs) -> Done {
    let driver = module.new()(lend(Host::new(Heard))).into_result().map_err(|e| e.message.to_string())?;
    later!(driver);
    let dirs = dirs.to_abi();
    let made: VolumeInfo = answer(driver.create("vol".into(), &Options::default().to_abi(), &dirs))?;
    let mount: VolumeMount = answer(driver.mount("vol".into(), &dirs))?;
    println!("volume: {} {}", made.name, mount == VolumeMount::Directory(made.mountpoint));
    let missing = answer::<VolumeInfo>(driver.get("none".into(), &dirs));
    println!("volume: {:?}", missing.err().map(|e| (e.class, e.message)));
    let copied = answer::<VolumeInfo>(driver.clone_volume("vol".into(), "copy".into(), &dirs));
    println!("volume: {:?}", copied.err().map(|e| (e.class, e.message)));
    Ok(())
}
