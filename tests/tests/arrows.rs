//! The house's arrows: which crate of ours may use which. The table is the architecture; a new arrow is a decision.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::path::{Path, PathBuf};

/// Crates of ours that each crate may depend on, beside `gantry-sys`, which all of the core may use.
const CORE: &[(&str, &[&str])] = &[
    ("gantry-sys", &[]),
    ("gantry-model", &[]),
    ("gantry-config", &["gantry-model"]),
    ("gantry-store", &["gantry-model"]),
    ("gantry-host", &["gantry-plugin-api", "gantry-model"]),
    ("gantry-runtime", &["gantry-model"]),
    ("gantry-bundle", &["gantry-runtime"]),
    ("gantry-image", &["gantry-model", "gantry-store"]),
    ("gantry-registry", &["gantry-model"]),
    ("gantry-build", &["gantry-model", "gantry-image"]),
    ("gantry-supervisor", &["gantry-model", "gantry-store", "gantry-runtime", "gantry-host"]),
    (
        "gantry-engine",
        &[
            "gantry-model",
            "gantry-config",
            "gantry-store",
            "gantry-host",
            "gantry-image",
            "gantry-registry",
            "gantry-build",
            "gantry-runtime",
            "gantry-bundle",
            "gantry-supervisor",
        ],
    ),
    ("gantry-api", &["gantry-engine", "gantry-model"]),
];

const OTHERS: &[(&str, &[&str])] = &[
    ("gantry-plugin-api", &[]),
    ("gantry-plugin-testkit", &["gantry-plugin-api"]),
    ("gantry-driver-shared", &["gantry-plugin-api"]),
    ("gantry-tester", &["gantry-host", "gantry-sys", "gantry-plugin-testkit"]),
    // What it takes to talk to an engine elsewhere is no part of any engine.
    ("gantry-client", &[]),
    ("gantry-cli", &["gantry-engine", "gantry-api", "gantry-config", "gantry-client"]),
    ("gantry-tests", &[]),
];

/// Where `unsafe` may stand: system calls, the plugin boundary, and the command's terminal and signals.
const UNSAFE: &[&str] =
    &["gantry-sys", "gantry-runtime", "gantry-plugin-api", "gantry-plugin-testkit", "gantry-host", "gantry-cli"];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest).no_deps().other_options(vec!["--offline".to_owned()]);
    command.exec().expect("the workspace's metadata")
}

fn may(package: &Package, used: &str) -> bool {
    let name = package.name.as_str();
    if let Some((_, allowed)) = CORE.iter().find(|(core, _)| *core == name) {
        return allowed.contains(&used) || used == "gantry-sys";
    }
    if let Some((_, allowed)) = OTHERS.iter().find(|(other, _)| *other == name) {
        return allowed.contains(&used);
    }
    if name.starts_with("gantry-driver-") {
        return ["gantry-plugin-api", "gantry-driver-shared"].contains(&used);
    }
    if name.starts_with("gantry-plugin-") {
        return used == "gantry-plugin-api" || used.starts_with("gantry-driver-");
    }
    panic!("{name} has no row in the table of arrows")
}

fn uses(package: &Package) -> impl Iterator<Item = &str> {
    let normal = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
    normal.map(|d| d.name.as_str()).filter(|name| name.starts_with("gantry-"))
}

#[test]
fn no_crate_uses_what_it_must_not_know() {
    let metadata = metadata();
    let wrong: Vec<String> = metadata
        .packages
        .iter()
        .flat_map(|package| uses(package).filter(|used| !may(package, used)).map(move |used| (package, used)))
        .map(|(package, used)| format!("{} -> {used}", package.name))
        .collect();
    assert!(wrong.is_empty(), "forbidden arrows: {wrong:#?}");
}

#[test]
fn only_the_host_knows_the_plugin_api() {
    let metadata = metadata();
    for package in metadata.packages.iter().filter(|p| p.manifest_path.as_str().contains("/core/")) {
        let names = uses(package).any(|used| used == "gantry-plugin-api");
        assert!(!names || package.name.as_str() == "gantry-host", "{} names gantry-plugin-api", package.name);
    }
}

#[test]
fn the_core_names_no_driver() {
    let metadata = metadata();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let may = name.starts_with("gantry-plugin-") || name.starts_with("gantry-driver-");
        let named: Vec<&str> = uses(package).filter(|used| used.starts_with("gantry-driver-")).collect();
        assert!(may || named.is_empty(), "{name} names {named:?}");
    }
}

#[test]
fn no_package_is_both_a_library_and_a_plugin() {
    for package in &metadata().packages {
        let kinds: Vec<String> = package.targets.iter().flat_map(|t| &t.crate_types).map(ToString::to_string).collect();
        let both = kinds.iter().any(|k| k == "cdylib") && kinds.iter().any(|k| k == "rlib" || k == "lib");
        assert!(!both, "{}: a cdylib beside an rlib cannot be linked with another such", package.name);
    }
}

#[test]
fn unsafe_stays_where_it_is_argued() {
    for package in &metadata().packages {
        let name = package.name.as_str();
        if UNSAFE.contains(&name) || name.starts_with("gantry-driver-") || name.starts_with("gantry-plugin-") {
            continue;
        }
        let dir = package.manifest_path.parent().expect("a manifest lies in a directory").join("src");
        for file in sources(dir.as_std_path()) {
            let text = std::fs::read_to_string(&file).expect("our own source");
            let line = text.lines().position(has_unsafe);
            assert!(line.is_none(), "{}:{}: unsafe", file.display(), line.map_or(0, |l| l + 1));
        }
    }
}

fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .collect()
}
