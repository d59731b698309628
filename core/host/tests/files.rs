//! Files that are refused, and how that is said: each in one line that names driver and file.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Shelf, hello, misbehaving, patched};
use gantry_host::api::options::{OptionKind, Scope};
use gantry_host::{Class, Error, Kind, Plugins, Search, Source};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

fn refused(shelf: &Shelf, name: &str) -> Error {
    let error = shelf.plugins().log(name).err().expect("it was loaded");
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

fn chmod(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_name_nobody_has_lists_those_that_are_known() {
    let shelf = Shelf::new();
    shelf.put(Kind::Log, "hello", hello());
    let error = refused(&shelf, "helo");
    assert!(error.to_string().starts_with("unknown log driver \"helo\", did you mean \"hello\"? (known: "), "{error}");
    assert!(error.hint().unwrap().contains(&shelf.dir().display().to_string()));
    assert_eq!(error.class(), Class::NOT_FOUND);
    let error = refused(&shelf, "../log/hello");
    assert_eq!(error.class(), Class::INVALID);
}

#[test]
fn other_files_and_damaged_ones() {
    let shelf = Shelf::new();
    let good = fs::read(hello()).unwrap();
    let machine = |number: u8| [&good[..18], &[number, 0], &good[20..]].concat();
    for (name, bytes, want) in [
        ("empty", vec![], "the file is empty"),
        ("text", b"#!/bin/sh\n".to_vec(), "not a Gantry plugin: no ELF file"),
        ("cut-header", good[..40].to_vec(), "the file is truncated"),
        ("cut", good[..20_000].to_vec(), "the file is truncated"),
        ("foreign", machine(if cfg!(target_arch = "x86_64") { 183 } else { 62 }), "built for "),
        ("bits", [&good[..4], &[1], &good[5..]].concat(), "built for a 32-bit machine"),
        ("relocatable", [&good[..16], &[1, 0], &good[18..]].concat(), "not a Gantry plugin: no shared library"),
        ("no-note", patched(hello(), b"Gantry\0", b"Gantrx\0"), "not a Gantry plugin: it has no .note.gantry"),
    ] {
        let path = shelf.put_bytes(Kind::Log, name, &bytes);
        let text = refused(&shelf, name).to_string();
        let start = format!("log driver {name:?}: {want}");
        assert!(text.starts_with(&start), "{text}");
        assert!(text.ends_with(&format!("({})", path.display())), "{text}");
    }
}

/// Any prefix and any flipped byte of the first page must be an answer, not a crash.
#[test]
fn hostile_headers_are_errors() {
    let shelf = Shelf::new();
    let path = shelf.put(Kind::Log, "odd", hello());
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    for at in 0..2048 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        for other in [0, 0xff, byte[0] ^ 0x80] {
            file.write_all_at(&[other], at).unwrap();
            let _ = shelf.plugins().manifest(Kind::Log, "odd");
        }
        file.write_all_at(&byte, at).unwrap();
    }
    assert!(shelf.plugins().log("odd").is_ok());
}

#[test]
fn another_version_of_the_api() {
    let shelf = Shelf::new();
    let mut bytes = fs::read(hello()).unwrap();
    let note = bytes.windows(7).position(|w| w == b"Gantry\0").unwrap() + 8;
    bytes[note + 4] = 99;
    let path = shelf.put_bytes(Kind::Log, "foo", &bytes);
    let ours = gantry_host::api::abi::API_VERSION;
    let want = format!(
        "log driver \"foo\": built for plugin API 99.{}, this engine supports {ours} ({})",
        ours.minor,
        path.display()
    );
    assert_eq!(refused(&shelf, "foo").to_string(), want);
}

#[test]
fn a_library_without_the_driver_or_its_symbol() {
    let shelf = Shelf::new();
    shelf.put(Kind::Volume, "hello", hello());
    let text = shelf.plugins().volume("hello").err().unwrap().to_string();
    assert!(text.starts_with("volume driver \"hello\": the plugin has no volume driver, only log ("), "{text}");
    shelf.put_bytes(Kind::Log, "lost", &patched(hello(), b"\0gantry_log\0", b"\0gantry_lox\0"));
    let text = refused(&shelf, "lost").to_string();
    assert!(text.starts_with("log driver \"lost\": cannot load: symbol gantry_log is missing ("), "{text}");
}

#[test]
fn data_types_that_differ() {
    let shelf = Shelf::new();
    shelf.put_bytes(Kind::Log, "old", &patched(hello(), b"image_name", b"image_nbme"));
    let text = refused(&shelf, "old").to_string();
    assert!(text.starts_with("log driver \"old\": cannot load: its data types differ from the engine's"), "{text}");
}

#[test]
fn files_others_may_write() {
    let shelf = Shelf::new();
    let path = shelf.put(Kind::Log, "hello", hello());
    for (what, mode, text) in [
        (path.clone(), 0o666, "others may write"),
        (path.clone(), 0o775, "others may write"),
        (shelf.dir().join("log"), 0o777, "others may write"),
        (shelf.dir(), 0o775, "others may write"),
    ] {
        let before = what.metadata().unwrap().permissions();
        chmod(&what, mode);
        let error = refused(&shelf, "hello");
        assert!(error.to_string().contains(text) && error.class() == Class::NOT_PERMITTED, "{error}");
        assert!(error.hint().unwrap().starts_with("chmod go-w "));
        fs::set_permissions(&what, before).unwrap();
    }
    assert!(shelf.plugins().log("hello").is_ok());
}

#[test]
fn links_to_files_others_may_write() {
    let shelf = Shelf::new();
    let target = shelf.temp.path().join("target.so");
    fs::copy(hello(), &target).unwrap();
    symlink(&target, shelf.path(Kind::Log, "linked")).unwrap();
    assert!(shelf.plugins().log("linked").is_ok());
    chmod(&target, 0o666);
    assert!(refused(&shelf, "linked").to_string().contains("target.so"));
    symlink("nowhere.so", shelf.path(Kind::Log, "dangling")).unwrap();
    assert!(matches!(refused(&shelf, "dangling"), Error::Read { .. }));
}

#[test]
fn allow_list_and_pins() {
    let shelf = Shelf::new();
    let path = shelf.put(Kind::Log, "hello", hello());
    let with = |allow: Option<&[&str]>, pin: Option<&str>| {
        let allow = allow.map(|a| a.iter().map(|s| s.to_string()).collect());
        let pins = pin.map(|p| ("log/hello".to_owned(), p.to_owned())).into_iter().collect();
        Plugins::new(Search { allow, pins, ..shelf.search() }).log("hello").err().map(|e| e.to_string())
    };
    assert_eq!(with(Some(&["hello"]), None), None);
    assert_eq!(with(Some(&["log/hello"]), None), None);
    assert!(with(Some(&["volume/hello", "acme"]), None).unwrap().contains("not in plugins.allow"));
    let sum = std::process::Command::new("sha256sum").arg(&path).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
    assert_eq!(with(None, Some(&sum)), None);
    assert_eq!(with(None, Some(&sum.to_uppercase())), None);
    assert!(with(None, Some(&"0".repeat(64))).unwrap().contains(&format!("is {sum}, pinned is 0000")));
}

#[test]
fn the_first_directory_wins_and_the_list_says_so() {
    let (first, second) = (Shelf::new(), Shelf::new());
    first.put(Kind::Log, "hello", hello());
    first.put_bytes(Kind::Volume, "broken", b"x");
    second.put(Kind::Log, "hello", hello());
    second.put(Kind::Log, "other", hello());
    let search = Search { flag_dirs: vec![first.dir()], config_dirs: vec![second.dir()], ..Search::default() };
    let plugins = Plugins::new(search);
    assert_eq!(plugins.find(Kind::Log, "hello").unwrap().path, first.path(Kind::Log, "hello").canonicalize().unwrap());
    let list = plugins.list();
    let of = |path: std::path::PathBuf| list.iter().find(|l| l.path == path).unwrap();
    let used = of(first.path(Kind::Log, "hello"));
    assert_eq!((used.source, &used.shadowed_by, &used.problem), (Source::Flag, &None, &None));
    assert_eq!(used.manifest.as_ref().unwrap().name, "hello");
    let hidden = of(second.path(Kind::Log, "hello"));
    assert_eq!((hidden.source, &hidden.shadowed_by), (Source::Config, &Some(first.path(Kind::Log, "hello"))));
    assert!(of(first.path(Kind::Volume, "broken")).problem.as_ref().unwrap().contains("no ELF file"));
    assert!(plugins.names(Kind::Log).contains(&"other".to_owned()));
}

#[test]
fn the_manifest_is_read_without_running_anything() {
    let shelf = Shelf::misbehaving();
    let plugins = shelf.plugins();
    let manifest = plugins.manifest(Kind::Storage, "misbehaving").unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("misbehaving", "0.6.6"));
    assert_eq!(
        (manifest.license.as_str(), manifest.requires.as_slice()),
        ("MIT OR Apache-2.0", &["patience".into()][..])
    );
    assert_eq!(manifest.drivers.len(), 4);
    let option = &manifest.driver(Kind::Log).unwrap().options[0];
    assert_eq!((option.key.as_str(), option.kind), ("fault", OptionKind::STRING));
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(&shelf.temp.path().display().to_string()), "the plugin was mapped");
}

#[test]
fn options_are_checked_by_the_schema() {
    let shelf = Shelf::new();
    shelf.put(Kind::Log, "hello", hello());
    let plugins = shelf.plugins();
    let check = |key: &str, value: &str| {
        plugins.check_options(Kind::Log, "hello", Scope::OBJECT, &[(key.to_owned(), value.to_owned())])
    };
    assert_eq!(check("greeting", "hi").unwrap().text("greeting"), "hi");
    assert_eq!(check("greeting", "").unwrap().text("greeting"), "hello");
    let error = check("greting", "hi").unwrap_err();
    let want = "unknown log opt 'greting' for hello log driver, did you mean 'greeting'? (known: greeting)";
    assert_eq!((error.to_string().as_str(), error.class()), (want, Class::INVALID));
}

/// A stripped, section-collected release file must still carry its note.
#[test]
fn strip_leaves_the_note() {
    let shelf = Shelf::new();
    let path = shelf.put(Kind::Log, "misbehaving", misbehaving());
    match std::process::Command::new("strip").arg("--strip-all").arg(&path).status() {
        Ok(status) => assert!(status.success()),
        Err(_) => return eprintln!("skipped: there is no strip here"),
    }
    assert!(shelf.plugins().manifest(Kind::Log, "misbehaving").is_ok());
    assert!(shelf.plugins().log("misbehaving").is_ok());
}
