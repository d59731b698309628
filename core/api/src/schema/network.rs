//! Networks and volumes.

use super::{Kind, MAYBE_SWITCH, Type, field, integer, pairs, switch, text, texts};

pub static ENDPOINT: Type = Type {
    name: "EndpointSettings",
    about: "How a container is on a network. What follows DriverOpts and GwPriority is told, not taken.",
    fields: &[&[
        field("IPAMConfig", Kind::Object(&ENDPOINT_IPAM), "addresses that were asked for"),
        texts("Links", "CONTAINER:ALIAS"),
        texts("Aliases", "further names"),
        text("MacAddress", "its hardware address"),
        pairs("DriverOpts", "options for the driver").since(32),
        integer("GwPriority", "the highest carries the default route").since(48),
        text("NetworkID", "the network"),
        text("EndpointID", "the end on it"),
        text("Gateway", "the way out"),
        text("IPAddress", "its address"),
        integer("IPPrefixLen", "its prefix"),
        text("IPv6Gateway", "the way out"),
        text("GlobalIPv6Address", "its address"),
        integer("GlobalIPv6PrefixLen", "its prefix"),
        texts("DNSNames", "all names it has there").since(44),
    ]],
};

static ENDPOINT_IPAM: Type = Type {
    name: "EndpointIPAMConfig",
    about: "Addresses that were asked for.",
    fields: &[&[
        text("IPv4Address", "an address"),
        text("IPv6Address", "an address"),
        texts("LinkLocalIPs", "further addresses"),
    ]],
};

pub static CREATE: Type = Type {
    name: "NetworkCreate",
    about: "A network to make.",
    fields: &[&[
        text("Name", "its name"),
        switch("CheckDuplicate", "names are always checked").until(44),
        text("Driver", "bridge, macvlan, ipvlan, cni …"),
        text("Scope", "local or empty").since(30),
        switch("Internal", "without a way out"),
        switch("Attachable", "without effect").since(25),
        switch("Ingress", "must be false").since(29),
        field("EnableIPv4", MAYBE_SWITCH, "with addresses of version 4").since(48),
        field("EnableIPv6", MAYBE_SWITCH, "with addresses of version 6"),
        field("IPAM", Kind::Object(&IPAM), "its addresses"),
        pairs("Options", "options for the driver"),
        pairs("Labels", "notes of the user's"),
        switch("ConfigOnly", "must be false").since(30),
        field("ConfigFrom", Kind::Object(&CONFIG_FROM), "must be empty").since(30),
    ]],
};

static IPAM: Type = Type {
    name: "IPAM",
    about: "Addresses of a network.",
    fields: &[&[
        text("Driver", "default or dhcp"),
        field("Config", Kind::Objects(&POOL), "its subnets"),
        pairs("Options", "options for the driver"),
    ]],
};

static POOL: Type = Type {
    name: "IPAMConfig",
    about: "A subnet.",
    fields: &[&[
        text("Subnet", "ADDRESS/PREFIX"),
        text("IPRange", "the part that containers get"),
        text("Gateway", "the way out"),
        pairs("AuxiliaryAddresses", "addresses that are taken, by name"),
        pairs("AuxAddress", "the same, as older clients write it"),
    ]],
};

static CONFIG_FROM: Type = Type {
    name: "ConfigReference",
    about: "A network whose settings are taken; not supported.",
    fields: &[&[text("Network", "its name")]],
};

pub static CREATED: Type = Type {
    name: "NetworkCreated",
    about: "A network that was made.",
    fields: &[&[text("Id", "its id"), text("Warning", "what the user should know")]],
};

pub static NETWORK: Type = Type {
    name: "Network",
    about: "A network.",
    fields: &[&[
        text("Name", "its name"),
        text("Id", "its id"),
        field("Created", Kind::Time, "when it was made").since(25),
        text("Scope", "local"),
        text("Driver", "its driver"),
        switch("EnableIPv4", "with addresses of version 4").since(48),
        switch("EnableIPv6", "with addresses of version 6"),
        field("IPAM", Kind::Object(&IPAM), "its addresses"),
        switch("Internal", "without a way out"),
        switch("Attachable", "without effect").since(25),
        switch("Ingress", "false").since(29),
        field("ConfigFrom", Kind::Object(&CONFIG_FROM), "empty").since(30),
        switch("ConfigOnly", "false").since(30),
        field("Containers", Kind::Named(&MEMBER), "those on it, when one network is looked at"),
        pairs("Options", "options for the driver"),
        pairs("Labels", "notes of the user's"),
    ]],
};

static MEMBER: Type = Type {
    name: "NetworkContainer",
    about: "A container on a network.",
    fields: &[&[
        text("Name", "its name"),
        text("EndpointID", "its end"),
        text("MacAddress", "its hardware address"),
        text("IPv4Address", "ADDRESS/PREFIX"),
        text("IPv6Address", "ADDRESS/PREFIX"),
    ]],
};

pub static CONNECT: Type = Type {
    name: "NetworkConnect",
    about: "A container that joins a network.",
    fields: &[&[text("Container", "its name or id"), field("EndpointConfig", Kind::Object(&ENDPOINT), "how it joins")]],
};

pub static DISCONNECT: Type = Type {
    name: "NetworkDisconnect",
    about: "A container that leaves a network.",
    fields: &[&[text("Container", "its name or id"), switch("Force", "whatever state it is in")]],
};

pub static PRUNED: Type = Type {
    name: "NetworksPruned",
    about: "Networks that were removed.",
    fields: &[&[texts("NetworksDeleted", "names")]],
};

pub static VOLUME_CREATE: Type = Type {
    name: "VolumeCreate",
    about: "A volume to make.",
    fields: &[&[
        text("Name", "its name; empty: a generated one"),
        text("Driver", "its driver; empty: the default"),
        pairs("DriverOpts", "options for the driver"),
        pairs("Labels", "notes of the user's"),
    ]],
};

pub static VOLUME: Type = Type {
    name: "Volume",
    about: "A volume.",
    fields: &[&[
        text("Name", "its name"),
        text("Driver", "its driver"),
        text("Mountpoint", "where it lies on the host"),
        field("CreatedAt", Kind::Time, "when it was made").since(31),
        pairs("Labels", "notes of the user's"),
        text("Scope", "local or global"),
        pairs("Options", "as they were given").since(25),
        field("UsageData", Kind::Object(&USAGE), "only in /system/df"),
    ]],
};

static USAGE: Type = Type {
    name: "VolumeUsage",
    about: "How large a volume is, and who mounts it.",
    fields: &[&[integer("Size", "bytes"), integer("RefCount", "containers")]],
};

pub static VOLUMES: Type = Type {
    name: "Volumes",
    about: "Volumes.",
    fields: &[&[field("Volumes", Kind::Objects(&VOLUME), "each"), texts("Warnings", "none")]],
};

pub static VOLUMES_PRUNED: Type = Type {
    name: "VolumesPruned",
    about: "Volumes that were removed.",
    fields: &[&[texts("VolumesDeleted", "names"), integer("SpaceReclaimed", "bytes")]],
};
