//! The structs of `plugin-api/include/gantry_plugin.h`, word for word; a test compares every size and offset with what a
//! C compiler makes of the header. Names of fields are the header's.

use std::ffi::{c_char, c_int, c_void};

/// A struct that begins with its size, set by whoever made it.
///
/// # Safety
/// The first field is `size: usize`, and all bytes zero are a valid value that means: nothing is here.
pub unsafe trait Sized0: Copy {}

#[cfg(test)]
pub struct Layout {
    pub name: &'static str,
    pub size: usize,
    /// It begins with its size and may grow.
    pub grows: bool,
    /// Name, offset, type.
    pub fields: Vec<(&'static str, usize, &'static str)>,
}

macro_rules! c_structs {
    ($($c:ident = struct $name:ident $(: $sized:ident)? { $($field:ident: $ty:ty),+ $(,)? })+) => {
        $(
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name { $(pub $field: $ty),+ }
            $(
                // SAFETY: the struct begins with `size`, and holds numbers, pointers, optional functions and structs of
                // such, all of which may be zero.
                unsafe impl $sized for $name {}
            )?
        )+
        #[cfg(test)]
        pub fn layouts() -> Vec<Layout> {
            vec![$(Layout {
                name: stringify!($c),
                size: size_of::<$name>(),
                grows: [$(stringify!($sized))?].contains(&"Sized0"),
                fields: vec![$((stringify!($field), std::mem::offset_of!($name, $field), stringify!($ty))),+],
            }),+]
        }
    };
}

type Text = *const c_char;
type Words = *const *const c_char;
type It = *mut c_void;

pub type EmitText = unsafe extern "C" fn(It, Text);
pub type EmitPair = unsafe extern "C" fn(It, Text, Text);
pub type EmitBytes = unsafe extern "C" fn(It, *const u8, usize);
pub type EmitMount = unsafe extern "C" fn(It, *const Mount);
pub type EmitRecords = unsafe extern "C" fn(It, *const LogRecord, usize, *const Pairs);
pub type EmitLayerTarget = unsafe extern "C" fn(It, Text, u32);
pub type EmitChange = unsafe extern "C" fn(It, c_char, Text);
pub type EmitLayer = unsafe extern "C" fn(It, Text, c_int);
pub type EmitAttachment = unsafe extern "C" fn(It, *const Attachment);
pub type EmitRoute = unsafe extern "C" fn(It, *const Route);
pub type EmitPort = unsafe extern "C" fn(It, *const PortMapping);
pub type EmitVolume = unsafe extern "C" fn(It, *const VolumeInfo);
pub type EmitVolumeMount = unsafe extern "C" fn(It, Text, *const Mount);
pub type Start = Option<unsafe extern "C" fn(*const Host, *mut It, *mut Error) -> c_int>;
type Free = Option<unsafe extern "C" fn(It)>;
type OnIt = Option<unsafe extern "C" fn(It, *mut Error) -> c_int>;
type OnId = Option<unsafe extern "C" fn(It, Text, *mut Error) -> c_int>;
type AskText = Option<unsafe extern "C" fn(It, Text, EmitText, It, *mut Error) -> c_int>;
type OnVolume = Option<unsafe extern "C" fn(It, Text, *const Dirs, *mut Error) -> c_int>;
type AskVolume = Option<unsafe extern "C" fn(It, Text, *const Dirs, EmitVolume, It, *mut Error) -> c_int>;
type CopyVolume = Option<unsafe extern "C" fn(It, Text, Text, *const Dirs, EmitVolume, It, *mut Error) -> c_int>;
type OpenLog<Q> =
    Option<unsafe extern "C" fn(It, *const LogContainer, *const Pairs, *const Q, *mut It, *mut Error) -> c_int>;

c_structs! {
    gantry_error = struct Error: Sized0 {
        size: usize, message: *mut c_char, message_len: usize, hint: *mut c_char, hint_len: usize,
    }
    gantry_pair = struct Pair { key: Text, value: Text }
    gantry_pairs = struct Pairs { items: *const Pair, len: usize }
    gantry_bytes = struct Bytes { data: *const u8, len: usize }
    gantry_dirs = struct Dirs: Sized0 { size: usize, root: Text, state: Text }
    gantry_mount = struct Mount: Sized0 {
        size: usize, fstype: Text, source: Text, target: Text, flags: u64, options: Pairs,
    }
    gantry_host = struct Host: Sized0 {
        size: usize,
        context: It,
        log: Option<unsafe extern "C" fn(It, u32, Text)>,
        count: Option<unsafe extern "C" fn(It, Text, u64)>,
        gauge: Option<unsafe extern "C" fn(It, Text, i64)>,
    }
    gantry_log_record = struct LogRecord {
        timestamp_ns: u64, sequence: u64, partial_id: u64, line: *const u8, len: usize, partial_ordinal: u32, stream: u8,
        flags: u8, reserved: u16,
    }
    gantry_resume_token = struct ResumeToken { words: [u64; 4] }
    gantry_log_container = struct LogContainer: Sized0 {
        size: usize, id: Text, name: Text, image_id: Text, image_name: Text, command: Words, command_len: usize,
        created_ns: u64, env: Words, env_len: usize, labels: Pairs, attributes: Pairs, tag: Text, hostname: Text,
        dir: Text,
    }
    gantry_read_query = struct ReadQuery: Sized0 {
        size: usize, since_ns: u64, until_ns: u64, tail: u64, follow: u32, reserved: u32,
    }
    gantry_log_driver = struct LogDriver: Sized0 {
        size: usize,
        capabilities: u64,
        max_line: u32,
        reserved: u32,
        start: Start,
        validate: Option<unsafe extern "C" fn(It, *const Pairs, *mut Error) -> c_int>,
        open: Option<unsafe extern "C" fn(
            It, *const LogContainer, *const Pairs, *const ResumeToken, *mut It, *mut u64, *mut Error
        ) -> c_int>,
        write: Option<unsafe extern "C" fn(It, *const LogRecord, usize, *mut ResumeToken, *mut Error) -> c_int>,
        flush: OnIt,
        reopen: OnIt,
        close: OnIt,
        free_sink: Free,
        open_reader: OpenLog<ReadQuery>,
        next: Option<unsafe extern "C" fn(It, u32, u32, EmitRecords, It, *mut u32, *mut Error) -> c_int>,
        free_reader: Free,
        remove: Option<unsafe extern "C" fn(It, *const LogContainer, *const Pairs, *mut Error) -> c_int>,
        trim: Option<unsafe extern "C" fn(
            It, *const LogContainer, *const Pairs, u64, c_int, *mut u64, *mut u64, *mut Error
        ) -> c_int>,
    }
    gantry_storage_driver = struct StorageDriver: Sized0 {
        size: usize,
        start: Start,
        validate: Option<unsafe extern "C" fn(It, *const Pairs, *mut Error) -> c_int>,
        init: Option<unsafe extern "C" fn(It, *const Dirs, *const Pairs, *mut It, *mut Error) -> c_int>,
        free_store: Free,
        capabilities: Option<unsafe extern "C" fn(It) -> u64>,
        status: Option<unsafe extern "C" fn(It, EmitPair, It, *mut Error) -> c_int>,
        begin_layer: Option<unsafe extern "C" fn(It, Text, Text, EmitLayerTarget, It, *mut Error) -> c_int>,
        commit_layer: OnId,
        has_layer: Option<unsafe extern "C" fn(It, Text, *mut c_int, *mut Error) -> c_int>,
        create_container: Option<unsafe extern "C" fn(It, Text, Words, usize, *const Pairs, *mut Error) -> c_int>,
        mount_plan: Option<unsafe extern "C" fn(It, Text, Words, usize, c_int, EmitMount, It, *mut Error) -> c_int>,
        writable_dir: AskText,
        changes: Option<unsafe extern "C" fn(It, Text, Words, usize, EmitChange, It, *mut Error) -> c_int>,
        usage: Option<unsafe extern "C" fn(It, Text, *mut u64, *mut u64, *mut Error) -> c_int>,
        remove: OnId,
        list: Option<unsafe extern "C" fn(It, EmitLayer, It, *mut Error) -> c_int>,
        collect: OnIt,
        clone_container: Option<unsafe extern "C" fn(It, Text, Text, *mut Error) -> c_int>,
        layer_dir: AskText,
        image_plan: Option<unsafe extern "C" fn(It, Words, usize, EmitMount, It, *mut Error) -> c_int>,
    }
    gantry_ip = struct Ip { len: u8, bytes: [u8; 16] }
    gantry_cidr = struct Cidr { addr: Ip, prefix: u8 }
    gantry_named_ip = struct NamedIp { name: Text, address: Ip }
    gantry_subnet = struct Subnet {
        subnet: Cidr, ip_range: Cidr, gateway: Ip, aux_addresses: *const NamedIp, aux_addresses_len: usize,
    }
    gantry_network = struct Network: Sized0 {
        size: usize, id: Text, name: Text, subnets: *const Subnet, subnets_len: usize, internal: u32, ipv6: u32,
        predefined: u32, reserved: u32, labels: Pairs, options: Pairs,
    }
    gantry_port_mapping = struct PortMapping {
        host_ip: Ip, protocol: u8, host_port: u16, container_port: u16, count: u16,
    }
    gantry_peer_port = struct PeerPort { address: Ip, protocol: u8, port: u16 }
    gantry_endpoint = struct Endpoint: Sized0 {
        size: usize, id: Text, container_id: Text, container_name: Text, addresses: *const Cidr, addresses_len: usize,
        link_local_addresses: *const Ip, link_local_addresses_len: usize, mac: [u8; 6], has_mac: u8, reserved: u8,
        index: u32, default_route4: u32, default_route6: u32, ports: *const PortMapping, ports_len: usize,
        links: *const PeerPort, links_len: usize, options: Pairs,
    }
    gantry_route = struct Route { destination: Cidr, gateway: Ip }
    gantry_attachment = struct Attachment: Sized0 {
        size: usize, interface: Text, mac: [u8; 6], has_mac: u8, reserved: u8, addresses: *const Cidr,
        addresses_len: usize, routes: *const Route, routes_len: usize, gateways: *const Ip, gateways_len: usize,
        published: *const PortMapping, published_len: usize, warnings: Words, warnings_len: usize, state: Bytes,
    }
    gantry_live_endpoint = struct LiveEndpoint { endpoint: *const Endpoint, attachment: Bytes, netns: c_int }
    gantry_network_driver = struct NetworkDriver: Sized0 {
        size: usize,
        capabilities: u64,
        start: Start,
        validate: Option<unsafe extern "C" fn(It, *const Network, *mut Error) -> c_int>,
        create: Option<unsafe extern "C" fn(
            It, *const Network, Bytes, *const Dirs, EmitBytes, It, *mut Error
        ) -> c_int>,
        remove: Option<unsafe extern "C" fn(It, *const Network, Bytes, *const Dirs, *mut Error) -> c_int>,
        attach: Option<unsafe extern "C" fn(
            It, *const Network, Bytes, *const Endpoint, c_int, *const Dirs, EmitAttachment, It, *mut Error
        ) -> c_int>,
        detach: Option<unsafe extern "C" fn(
            It, *const Network, Bytes, *const Endpoint, Bytes, c_int, *const Dirs, *mut Error
        ) -> c_int>,
        route: Option<unsafe extern "C" fn(
            It, *const Network, Bytes, *const Endpoint, Bytes, c_int, *const Dirs, EmitRoute, It, *mut Error
        ) -> c_int>,
        publish: Option<unsafe extern "C" fn(
            It, *const Network, *const Endpoint, Bytes, *const PortMapping, usize, *const Dirs, EmitPort, It, *mut Error
        ) -> c_int>,
        unpublish: Option<unsafe extern "C" fn(
            It, *const Network, *const Endpoint, Bytes, *const PortMapping, usize, *const Dirs, *mut Error
        ) -> c_int>,
        reconcile: Option<unsafe extern "C" fn(
            It, *const Network, Bytes, *const LiveEndpoint, usize, *const Dirs, *mut Error
        ) -> c_int>,
    }
    gantry_volume_info = struct VolumeInfo: Sized0 {
        size: usize, name: Text, mountpoint: Text, created_ns: u64, status: Pairs,
    }
    gantry_volume_driver = struct VolumeDriver: Sized0 {
        size: usize,
        capabilities: u64,
        start: Start,
        validate: Option<unsafe extern "C" fn(It, Text, *const Pairs, *mut Error) -> c_int>,
        create: Option<unsafe extern "C" fn(
            It, Text, *const Pairs, *const Dirs, EmitVolume, It, *mut Error
        ) -> c_int>,
        remove: OnVolume,
        get: AskVolume,
        list: Option<unsafe extern "C" fn(It, *const Dirs, EmitVolume, It, *mut Error) -> c_int>,
        mount: Option<unsafe extern "C" fn(It, Text, *const Dirs, EmitVolumeMount, It, *mut Error) -> c_int>,
        unmount: OnVolume,
        clone_volume: CopyVolume,
        rename: CopyVolume,
    }
    gantry_plugin = struct Plugin: Sized0 {
        size: usize, log: *const LogDriver, storage: *const StorageDriver, network: *const NetworkDriver,
        volume: *const VolumeDriver,
    }
}

/// The one symbol of a C plugin.
pub const SYMBOL: &[u8] = b"gantry_plugin_v1\0";
/// What it is.
pub type Entry = unsafe extern "C" fn() -> *const Plugin;

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::abi::API_VERSION;
    use std::fmt::Write;
    use std::process::Command;

    /// Assertions for a C compiler: sizes and offsets are those of Rust's structs, numbers those of Rust's constants.
    fn assertions() -> String {
        let mut text = String::from("#include \"gantry_plugin.h\"\n");
        let mut holds = |what: String| {
            let _ = writeln!(text, "_Static_assert({what}, \"{what}\");");
        };
        for layout in layouts() {
            let name = layout.name;
            holds(format!("sizeof({name}) == {}", layout.size));
            for (field, at, _) in layout.fields {
                holds(format!("offsetof({name}, {field}) == {at}"));
            }
        }
        holds(format!("GANTRY_API_MAJOR == {}", API_VERSION.major));
        holds(format!("GANTRY_API_MINOR == {}", API_VERSION.minor));
        text
    }

    #[test]
    fn the_header_has_the_layouts_of_these_structs() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("layout.c");
        std::fs::write(&file, assertions()).expect("written");
        let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin-api/include");
        for standard in ["-std=c11", "-std=gnu17"] {
            let words = [standard, "-Wall", "-Wextra", "-Werror", "-Wpedantic", "-fsyntax-only", "-I", include];
            let done = Command::new("cc").args(words).arg(&file).output().expect("there is a C compiler");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }

    const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin-api/include/gantry_plugin.h");
    const FROZEN: &str = include_str!("../../../../plugin-api/abi/1.0-c.txt");

    /// The structs and numbers of the C door, as lines: a struct that may grow says so, and only its fields are told.
    fn written_down() -> Vec<String> {
        let mut lines = vec![];
        for layout in layouts() {
            let (name, size) = (layout.name, layout.size);
            lines.push(if layout.grows { format!("{name} grows") } else { format!("{name} of {size}") });
            let count = layout.fields.len();
            lines.extend(layout.fields.iter().enumerate().map(|(n, (field, at, ty))| {
                let last = if n + 1 == count && !layout.grows { ", the last" } else { "" };
                let ty = ty.split_whitespace().collect::<Vec<_>>().join(" ");
                format!("{name}.{field} at {at}: {ty}{last}")
            }));
        }
        lines.extend(numbers(&std::fs::read_to_string(HEADER).expect("there is a header")));
        lines.extend(aliases(include_str!("abi.rs")));
        lines.push(format!("symbol {}", String::from_utf8_lossy(SYMBOL).trim_end_matches('\0')));
        lines
    }

    /// What the types of several calls stand for.
    fn aliases(source: &str) -> Vec<String> {
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let statements = source.split(';').map(|text| one_line(text.rsplit("\n\n").next().unwrap_or(text)));
        let named = statements.map(|text| text.trim_start_matches("pub ").to_owned());
        named.filter(|text| text.starts_with("type ") && text.contains('=')).collect()
    }

    /// `GANTRY_NAME = number` of the header's enums.
    fn numbers(header: &str) -> Vec<String> {
        let words: Vec<&str> = header.split([' ', ',', '\n']).filter(|word| !word.is_empty()).collect();
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let named = words.windows(3).filter(|w| w[0].starts_with("GANTRY_") && w[1] == "=" && is_number(w[2]));
        named.map(|w| format!("{} = {}", w[0], w[2])).collect()
    }

    /// Lines of version 1.0 that are not so any more. New lines are what later versions add.
    fn broken(today: &[String]) -> Vec<&'static str> {
        FROZEN.lines().filter(|line| !today.iter().any(|now| now == line)).collect()
    }

    #[test]
    fn what_was_frozen_is_as_it_was() {
        let today = written_down();
        assert!(broken(&today).is_empty(), "{:#?}\nof today's\n{}", broken(&today), today.join("\n"));
        assert!(FROZEN.lines().count() > 250);
    }

    #[test]
    fn every_rule_is_held() {
        let with = |from: &str, to: &str| {
            let today = written_down();
            assert!(today.iter().any(|line| line.contains(from)), "{from}");
            let today: Vec<String> = today.iter().map(|line| line.replacen(from, to, 1)).collect();
            !broken(&today).is_empty()
        };
        for (what, from, to) in [
            ("a field at another place", "gantry_dirs.state at 16", "gantry_dirs.state at 24"),
            ("a field of another type", "gantry_dirs.state at 16: Text", "gantry_dirs.state at 16: u64"),
            ("a field more in a struct that never changes", "gantry_pair of 16", "gantry_pair of 24"),
            ("a struct that grows no more", "gantry_mount grows", "gantry_mount of 56"),
            ("a call with other arguments", "AskVolume", "OnVolume"),
            (
                "a call of several with other arguments",
                "type OnVolume = Option<unsafe extern \"C\" fn(It, Text,",
                "type OnVolume = Option<unsafe extern \"C\" fn(It, u64,",
            ),
            ("another number", "GANTRY_EXISTS = 2", "GANTRY_EXISTS = 3"),
            ("another symbol", "symbol gantry_plugin_v1", "symbol gantry_plugin"),
        ] {
            assert!(with(from, to), "{what} was not noticed");
        }
        let mut grown = written_down();
        grown.push("gantry_dirs.more at 24: Text".to_owned());
        assert!(broken(&grown).is_empty(), "a field at the end of what grows is allowed");
    }

    /// Records cross without being copied.
    #[test]
    fn a_record_is_the_same_in_both() {
        let mut record = gantry_plugin_api::log::LogRecord::line(1, 2, gantry_plugin_api::log::Stream(2), b"text");
        (record.partial_id, record.partial_ordinal, record.flags) = (3, 4, 5);
        assert_eq!(size_of_val(&record), size_of::<LogRecord>());
        // SAFETY: the record lives here, and what is read are numbers and a pointer of the same places.
        let same = unsafe { *(&raw const record).cast::<LogRecord>() };
        assert_eq!((same.timestamp_ns, same.sequence, same.partial_id, same.partial_ordinal), (1, 2, 3, 4));
        assert_eq!((same.stream, same.flags, same.len, same.line), (2, 5, 4, record.bytes().as_ptr()));
    }
}
