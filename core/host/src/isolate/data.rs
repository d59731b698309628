//! The data of the four traits, field by field. A field that is added to one of them and forgotten here does not
//! compile; where a function makes it, that function takes it.

use super::codec::{Put, Take, wire};
use gantry_plugin_api::log::{LogCapabilities, LogContainer, ReadQuery, ReadState, ResumeToken, Trimmed};
use gantry_plugin_api::network::{
    Attachment, Cidr, EndpointSpec, NetworkCapabilities, NetworkSpec, PeerPort, PortMapping, Protocol, Route, Subnet,
};
use gantry_plugin_api::storage::{Change, LayerTarget, StorageCapabilities, Usage, Whiteouts};
use gantry_plugin_api::types::{Dirs, Mount};
use gantry_plugin_api::volume::{VolumeCapabilities, VolumeInfo, VolumeMount};
use gantry_plugin_api::{Class, Error};
use std::path::PathBuf;

wire!(Class, ReadState, ResumeToken, Whiteouts, Protocol);

wire! {
    Dirs { root, state }
    Mount { fstype, source, target, flags, options }
    LogContainer {
        id, name, image_id, image_name, command, created_ns, env, labels, attributes, tag, hostname, dir
    }
    LogCapabilities { read, rotate, remote, removes, trims, max_line }
    Trimmed { records, bytes }
    ReadQuery { since_ns, until_ns, tail, follow }
    StorageCapabilities { copy_on_write, native_diff, quota, idmap, reflink, rootless, independent_layers }
    Usage { bytes, inodes }
    VolumeInfo { name, mountpoint, created_ns, status }
    VolumeCapabilities { global_scope, quota, clone, rename }
    Cidr { addr, prefix }
    Subnet { subnet, gateway, ip_range, aux_addresses }
    NetworkSpec { id, name, subnets, internal, ipv6, predefined, labels, options }
    PortMapping { host_ip, host_port, container_port, count, protocol }
    PeerPort { address, port, protocol }
    EndpointSpec {
        id, container_id, container_name, addresses, link_local_addresses, mac, index, default_route4, default_route6,
        ports, links, options
    }
    Attachment { interface, mac, addresses, routes, gateways, published, warnings, state }
    NetworkCapabilities { host_namespace, addresses, own_ipam, ports, dns, rootless, create, gateway }
}

/// What is made by a function: its fields, and that.
macro_rules! made {
    ($($t:ident { $($f:ident),+ } by $make:expr;)+) => {$(
        impl Put for $t {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$f.put(out);)+
            }
        }
        impl Take for $t {
            fn take(from: &mut &[u8]) -> Option<Self> {
                $(let $f = Take::take(from)?;)+
                Some(($make)($($f),+))
            }
        }
    )+};
}

made! {
    LayerTarget { path, whiteouts } by |path: PathBuf, whiteouts| LayerTarget::new(path, whiteouts);
    Change { kind, path } by |kind, path: PathBuf| Change::new(kind, path);
    Route { destination, gateway } by Route::new;
    Error { class, message, hint, causes } by error;
}

fn error(class: Class, message: String, hint: String, causes: Vec<String>) -> Error {
    causes.into_iter().fold(Error::new(class, message).hint(hint), Error::because)
}

/// A kind of mount that is younger than this file is written as a directory without a name, which no engine takes.
impl Put for VolumeMount {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            VolumeMount::Directory(path) => (0u8, path).put(out),
            VolumeMount::FileSystem(mount) => (1u8, mount).put(out),
            _ => (0u8, "").put(out),
        }
    }
}

impl Take for VolumeMount {
    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Take::take(from).map(VolumeMount::Directory),
            1 => Take::take(from).map(VolumeMount::FileSystem),
            _ => None,
        }
    }
}
