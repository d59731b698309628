//! The binary interface of version 1.0 for ever: every type, method, number and symbol that crosses is compared with what
//! was written down when it was frozen (`abi/1.0.txt`). What 1.0 has stays as and where it is; tables of methods and
//! modules may grow at their end, and new types and numbers may come. A change that breaks plugins that are out there
//! fails here, before anybody has to remember the rules.
//!
//! A new minor version adds a file of its own beside the old one, which is never touched again.
#![allow(clippy::unwrap_used)]
#![cfg(target_pointer_width = "64")]

use abi_stable::StableAbi;
use abi_stable::type_layout::{TLData, TLField, TLFunction, TypeLayout};
use gantry_plugin_api::abi::{self, Mirror};
use gantry_plugin_api::log::{LogCapabilities, ReadState, Stream};
use gantry_plugin_api::manifest::{Kind, Manifest};
use gantry_plugin_api::network::{NetworkCapabilities, Protocol};
use gantry_plugin_api::options::{OptionKind, REST, Scope};
use gantry_plugin_api::storage::{StorageCapabilities, Whiteouts};
use gantry_plugin_api::volume::VolumeCapabilities;
use gantry_plugin_api::{Class, host::Level, log};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const FROZEN: &str = include_str!("../abi/1.0.txt");
/// Minor versions that have been out since.
const LATER: [(&str, &str); 1] = [("1.1", include_str!("../abi/1.1.txt"))];

/// What crosses today, as blocks: a head, and what stands below it in order.
fn today() -> String {
    let mut types = Types::default();
    for root in [
        <abi::log::LogModule as StableAbi>::LAYOUT,
        <abi::storage::StorageModule as StableAbi>::LAYOUT,
        <abi::network::NetworkModule as StableAbi>::LAYOUT,
        <abi::volume::VolumeModule as StableAbi>::LAYOUT,
    ] {
        types.walk(root);
    }
    types.blocks.values().fold(numbers(), |text, block| text + "\n" + block)
}

/// Blocks of our own types by their names. What abi_stable's types hold is told where they stand.
#[derive(Default)]
struct Types {
    blocks: BTreeMap<String, String>,
    seen: BTreeSet<*const TypeLayout>,
}

impl Types {
    fn walk(&mut self, layout: &'static TypeLayout) {
        if !self.seen.insert(layout) {
            return;
        }
        if is_ours(layout) {
            self.blocks.insert(name(layout), block(layout));
        }
        for field in parts(layout) {
            self.walk(field.layout());
            for function in field.function_range().iter() {
                function.param_type_layouts.iter().for_each(|of| self.walk(of()));
                function.return_type_layout().iter().for_each(|of| self.walk(of()));
            }
        }
    }
}

fn is_ours(layout: &TypeLayout) -> bool {
    layout.package().as_str() == "gantry-plugin-api"
}

fn fields(layout: &'static TypeLayout) -> Vec<TLField> {
    layout.get_fields().iter().flat_map(|fields| fields.iter()).collect()
}

/// Its fields, and what is only checked with it.
fn parts(layout: &'static TypeLayout) -> Vec<TLField> {
    fields(layout).into_iter().chain(layout.phantom_fields().iter()).collect()
}

/// Module and name.
fn name(layout: &TypeLayout) -> String {
    format!("{}::{}", layout.mod_path(), layout.name()).replace("gantry_plugin_api::", "")
}

/// A type as others mention it: ours by name, another's with its size and the types that it holds.
fn mention(layout: &'static TypeLayout) -> String {
    if is_ours(layout) {
        return name(layout);
    }
    let mut held = BTreeSet::new();
    hold(layout, &mut BTreeSet::new(), &mut held);
    held.remove(layout.name());
    let held = held.into_iter().collect::<Vec<_>>().join(" ");
    let size = format!("{}:{}", layout.size(), layout.alignment());
    if held.is_empty() { layout.name().to_owned() } else { format!("{}({size} of {held})", layout.name()) }
}

fn hold(layout: &'static TypeLayout, seen: &mut BTreeSet<*const TypeLayout>, held: &mut BTreeSet<String>) {
    let parts = parts(layout);
    match is_ours(layout) {
        true => drop(held.insert(name(layout))),
        false if parts.is_empty() => drop(held.insert(layout.name().to_owned())),
        false if seen.insert(layout) => parts.iter().for_each(|part| hold(part.layout(), seen, held)),
        false => {}
    }
}

/// A table of methods or a module may grow at its end; its size says nothing then.
fn block(layout: &'static TypeLayout) -> String {
    let mut text = match layout.data() {
        TLData::PrefixType(prefix) => format!("grows {} from {}\n", name(layout), prefix.first_suffix_field),
        _ => format!("fixed {} {} {}\n", name(layout), layout.size(), layout.alignment()),
    };
    for field in fields(layout) {
        let functions: Vec<String> = field.function_range().iter().map(signature).collect();
        let what = if functions.is_empty() { mention(field.layout()) } else { functions.join(" ") };
        let _ = writeln!(text, "  {}: {what}", field.name());
    }
    text
}

fn signature(function: TLFunction) -> String {
    let taken: Vec<String> = function.param_type_layouts.iter().map(|of| mention(of())).collect();
    let answered = function.return_type_layout().map_or_else(|| "()".to_owned(), |of| mention(of()));
    format!("fn({}) -> {answered}", taken.join(", "))
}

/// Symbols, and numbers that mean something on the other side.
fn numbers() -> String {
    let mut text = "any numbers\n".to_owned();
    let mut put = |what: &str, value: String| text += &format!("  {what} {value}\n");
    for kind in Kind::all() {
        put(&format!("symbol {kind}"), String::from_utf8_lossy(abi::symbol(kind)).trim_end_matches('\0').to_owned());
    }
    macro_rules! open {
        ($($t:ident: $($name:ident)+;)+) => {$($(put(concat!(stringify!($t), "::", stringify!($name)), $t::$name.0.to_string());)+)+};
    }
    open! {
        Class: NOT_FOUND EXISTS INVALID IN_USE NOT_PERMITTED UNSUPPORTED UNAVAILABLE TIMED_OUT DRIVER INTERNAL NO_SPACE;
        Level: ERROR WARN INFO DEBUG;
        Stream: STDOUT STDERR;
        ReadState: MORE IDLE END;
        Whiteouts: APPLY OVERLAY_TRUSTED OVERLAY_USER;
        Protocol: TCP UDP SCTP;
        Scope: OBJECT ENDPOINT CONTAINER;
        OptionKind: STRING BOOL INT SIZE_DECIMAL SIZE_BINARY DURATION CHOICE LIST REGEX TEMPLATE PATH IP IFNAME;
    }
    put("PARTIAL", log::PARTIAL.to_string());
    put("LAST", log::LAST.to_string());
    put("REST", REST.to_owned());
    macro_rules! capable {
        ($($t:ident as $bits:expr => $($name:ident)+;)+) => {$($({
            let one = $t { $name: true, ..$t::default() };
            put(concat!(stringify!($t), "::", stringify!($name)), $bits(one.to_abi()).to_string());
        })+)+};
    }
    let plain = |bits: u64| bits;
    capable! {
        LogCapabilities as |can: abi::log::LogCapabilitiesAbi| can.bits => read rotate remote removes trims;
        StorageCapabilities as plain =>
            copy_on_write native_diff quota idmap reflink rootless independent_layers;
        NetworkCapabilities as plain => host_namespace addresses own_ipam ports dns rootless create gateway;
        VolumeCapabilities as plain => global_scope quota clone rename;
    }
    text
}

/// What of the old is not so any more.
fn broken(frozen: &str, today: &str) -> Vec<String> {
    let (old, new) = (blocks(frozen), blocks(today));
    old.iter().filter_map(|(name, block)| fault(block, new.get(name)?)).chain(gone(&old, &new)).collect()
}

type Blocks<'t> = BTreeMap<&'t str, Vec<&'t str>>;

/// By the name of the type: the second word of the head, which may itself hold blanks.
fn blocks(text: &str) -> Blocks<'_> {
    let mut blocks = Blocks::new();
    let mut name = "";
    for line in text.lines().filter(|line| !line.is_empty()) {
        if !line.starts_with(' ') {
            name = line.split_once(' ').map_or(line, |(_, rest)| rest);
            // Without the numbers that follow a type's name.
            name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ').trim_end_matches(" from");
        }
        blocks.entry(name).or_default().push(line);
    }
    blocks
}

fn gone<'b>(old: &'b Blocks<'_>, new: &'b Blocks<'_>) -> impl Iterator<Item = String> + 'b {
    old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name} is gone or has another name"))
}

fn fault(old: &[&str], new: &[&str]) -> Option<String> {
    if old.first()?.starts_with("any ") {
        let lost: Vec<_> = old.iter().filter(|line| !new.contains(line)).collect();
        return (!lost.is_empty()).then(|| format!("no longer so: {lost:?}"));
    }
    let may_grow = old.first()?.starts_with("grows ");
    if new == old || (may_grow && new.starts_with(old)) {
        return None;
    }
    let differs = old.iter().zip(new).find(|(a, b)| a != b);
    let (was, is) = differs.map_or((*old.last()?, "another number of fields"), |(a, b)| (*a, *b));
    Some(format!("{}: was {:?}, is {:?}", old.first()?, was.trim(), is.trim()))
}

#[test]
fn what_was_frozen_is_as_it_was() {
    let today = today();
    for (version, frozen) in [("1.0", FROZEN)].into_iter().chain(LATER) {
        let broken = broken(frozen, &today);
        if broken.is_empty() {
            continue;
        }
        let place = concat!(env!("CARGO_TARGET_TMPDIR"), "/abi.txt");
        std::fs::write(place, &today).unwrap();
        panic!("plugins of version {version} would not be understood ({place} is today's):\n{}", broken.join("\n"));
    }
}

/// The methods of a sink.
const METHODS: &str = "grows abi::log::LogSinkAbi_trait::VTable";

/// Each rule, broken by accident.
#[test]
fn every_rule_is_held() {
    let break_it = |from: &str, to: &str| {
        assert!(FROZEN.contains(from), "{from}");
        broken(FROZEN, &FROZEN.replacen(from, to, 1))
    };
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let block_of = |head: &str| {
        let all = lines(FROZEN);
        let at = all.iter().position(|line| line.starts_with(head)).unwrap_or_else(|| panic!("no {head}"));
        let end = all[at + 1..].iter().position(|line| !line.starts_with(' ')).map_or(all.len(), |n| at + 1 + n);
        (all, at, end)
    };
    let edited = |head: &str, edit: fn(&mut Vec<String>, usize, usize)| {
        let (mut all, at, end) = block_of(head);
        edit(&mut all, at, end);
        broken(FROZEN, &all.join("\n"))
    };
    let record = "fixed log::LogRecord";
    for (what, faults) in [
        ("fields in another order", edited(record, |all, at, _| all.swap(at + 1, at + 2))),
        ("a field more in a fixed struct", edited(record, |all, _, end| all.insert(end, "  more: u64".into()))),
        ("a field less", edited(record, |all, at, _| drop(all.remove(at + 1)))),
        ("another size", edited(record, |all, at, _| all[at].push('0'))),
        ("another type of a field", edited(record, |all, at, _| all[at + 1] = "  timestamp_ns: u32".into())),
        ("methods in another order", edited(METHODS, |all, _, end| all.swap(end - 2, end - 1))),
        ("a method inserted", edited(METHODS, |all, _, end| all.insert(end - 1, "  more: fn()".into()))),
        ("a method removed", edited(METHODS, |all, _, end| drop(all.remove(end - 1)))),
        ("a symbol renamed", break_it("symbol log gantry_log", "symbol log gantry_logs")),
        ("a class with another number", break_it("Class::EXISTS 2", "Class::EXISTS 3")),
        ("a capability on another bit", break_it("LogCapabilities::rotate 2", "LogCapabilities::rotate 4")),
        ("a type with another name", break_it("fixed abi::data::DirsAbi", "fixed abi::data::DirectoriesAbi")),
    ] {
        assert!(!faults.is_empty(), "{what} was not noticed");
    }
    let grown = edited(METHODS, |all, _, end| all.insert(end, "  more: fn()".into()));
    assert!(grown.is_empty(), "a method at the end is allowed: {grown:?}");
    let more = broken(FROZEN, &FROZEN.replacen("any numbers\n", "any numbers\n  Class::NEW 99\n", 1));
    assert!(more.is_empty(), "{more:?}");
}

/// The note of a plugin that was built against 1.0: a log driver with two options.
const NOTE: &[u8] = include_bytes!("../abi/1.0.note");

#[test]
fn a_note_of_then_is_read_as_then() {
    let manifest = Manifest::parse(NOTE).unwrap();
    assert_eq!((manifest.api.major, manifest.api.minor, manifest.door.name()), (1, 0, "rust"));
    assert_eq!((manifest.name.as_str(), manifest.version.as_str(), manifest.license.as_str()), ("old", "0.3", "MIT"));
    assert_eq!(manifest.requires, ["overlay"]);
    let driver = manifest.driver(Kind::Log).unwrap();
    let [size, mode] = &driver.options[..] else { panic!("{driver:?}") };
    assert_eq!((size.key.as_str(), size.default.as_str(), size.kind), ("size", "20m", OptionKind::SIZE_DECIMAL));
    assert_eq!((size.aliases.as_slice(), size.help.as_str()), (&["max".to_owned()][..], "how much"));
    assert_eq!(
        (mode.choices.join("|"), mode.scope, mode.secret, mode.required),
        ("a|b".into(), Scope::OBJECT, true, true)
    );
}

/// Writes down today's interface: `cargo test -p gantry-plugin-api --test frozen -- --ignored`, for a new minor version.
#[test]
#[ignore = "writes files"]
fn write_down() {
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/abi.txt"), today()).unwrap();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/abi.note"), note()).unwrap();
}

fn note() -> Vec<u8> {
    use gantry_plugin_api::abi::note::{Note, Source, build, size};
    use gantry_plugin_api::options::OptionSpec;
    const OPTIONS: &[OptionSpec] = &[
        OptionSpec::size("size", "how much").default("20m").aliases("max"),
        OptionSpec::choice("mode", "a,b", "which").required().secret(),
    ];
    const SOURCE: Source =
        Source { name: "old", version: "0.3", license: "MIT", requires: "overlay", drivers: &[(Kind::Log, OPTIONS)] };
    static NOTE: Note<{ size(&SOURCE) }> = build(&SOURCE);
    NOTE.data().to_vec()
}
