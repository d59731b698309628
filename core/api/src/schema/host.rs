//! `HostConfig`, and what a container's mounts, devices and limits are made of.

use super::{Field, Kind, MAYBE_INTEGER, MAYBE_SWITCH, SET, TEXTS, Type, field, integer, pairs, switch, text, texts};

const INTEGERS: Kind = Kind::List(&Kind::Integer);
const THROTTLES: Kind = Kind::Objects(&THROTTLE);

static BINDINGS: Kind = Kind::Objects(&PORT_BINDING);

pub static HOST_CONFIG: Type = Type {
    name: "HostConfig",
    about: "What of a container belongs to this host.",
    fields: &[PLACES, NAMESPACES, RESOURCES, OWN],
};

const PLACES: &[Field] = &[
    texts("Binds", "SOURCE:TARGET[:OPTIONS], a source being a path or a volume"),
    text("ContainerIDFile", "where the command wrote the id"),
    field("LogConfig", Kind::Object(&LOG_CONFIG), "the first log driver"),
    text("NetworkMode", "bridge, none, host, container:ID or a network's name"),
    field("PortBindings", Kind::Map(&BINDINGS), "published ports by PORT/PROTOCOL"),
    field("RestartPolicy", Kind::Object(&RESTART_POLICY), "when a container that ended is started again"),
    switch("AutoRemove", "removed when it ends").since(25),
    text("VolumeDriver", "driver of the volumes that Binds makes"),
    texts("VolumesFrom", "containers whose mounts are taken over"),
    field("ConsoleSize", INTEGERS, "rows and columns of its terminal"),
    pairs("Annotations", "kept, and passed to other runtimes").since(43),
    field("Mounts", Kind::Objects(&MOUNT), "mounts in detail").since(25),
    pairs("Tmpfs", "options of a tmpfs by its place"),
    pairs("StorageOpt", "options for the writable layer"),
    text("Isolation", "of Windows; must be empty"),
];

const NAMESPACES: &[Field] = &[
    texts("CapAdd", "capabilities to add"),
    texts("CapDrop", "capabilities to drop"),
    text("CgroupnsMode", "private or host").since(41),
    texts("Dns", "name servers"),
    texts("DnsOptions", "options of the resolver"),
    texts("DnsSearch", "domains to search"),
    texts("ExtraHosts", "NAME:ADDRESS lines of /etc/hosts"),
    texts("GroupAdd", "further groups of its user"),
    text("IpcMode", "none, private, shareable, host or container:ID"),
    text("Cgroup", "not used"),
    texts("Links", "CONTAINER:ALIAS"),
    integer("OomScoreAdj", "how likely the kernel ends it when memory is short"),
    text("PidMode", "host, container:ID or empty"),
    switch("Privileged", "all capabilities and devices"),
    switch("PublishAllPorts", "publish exposed ports at free ones"),
    switch("ReadonlyRootfs", "its root file system is read-only"),
    texts("SecurityOpt", "seccomp=…, no-new-privileges, …"),
    text("UTSMode", "host or empty"),
    text("UsernsMode", "its user namespace: host, auto, keep-id … as --userns takes it"),
    integer("ShmSize", "bytes of /dev/shm"),
    pairs("Sysctls", "kernel parameters of its namespaces"),
    text("Runtime", "which runtime makes it"),
    texts("MaskedPaths", "paths that are hidden").since(38),
    texts("ReadonlyPaths", "paths that are read-only").since(38),
    field("Init", MAYBE_SWITCH, "a small init passes signals on and reaps").since(25),
];

const RESOURCES: &[Field] = &[
    integer("CpuShares", "relative share of processor time"),
    integer("Memory", "limit in bytes"),
    integer("NanoCpus", "processors, in thousand millionths").since(25),
    text("CgroupParent", "the cgroup above it"),
    integer("BlkioWeight", "relative share of disk time"),
    field("BlkioWeightDevice", Kind::Objects(&WEIGHT), "shares of single devices"),
    field("BlkioDeviceReadBps", THROTTLES, "bytes read per second, at most"),
    field("BlkioDeviceWriteBps", THROTTLES, "bytes written per second, at most"),
    field("BlkioDeviceReadIOps", THROTTLES, "reads per second, at most"),
    field("BlkioDeviceWriteIOps", THROTTLES, "writes per second, at most"),
    integer("CpuPeriod", "microseconds of a period of the quota"),
    integer("CpuQuota", "microseconds of processor time per period"),
    integer("CpuRealtimePeriod", "microseconds of a real-time period").since(25),
    integer("CpuRealtimeRuntime", "microseconds of real time per period").since(25),
    text("CpusetCpus", "processors that may be used"),
    text("CpusetMems", "memory nodes that may be used"),
    field("Devices", Kind::Objects(&DEVICE), "devices of the host"),
    texts("DeviceCgroupRules", "rules for further devices").since(28),
    field("DeviceRequests", Kind::List(&Kind::Any), "devices that drivers provide; must be empty").since(40),
    integer("KernelMemory", "without effect").until(42),
    integer("KernelMemoryTCP", "without effect").since(40),
    integer("MemoryReservation", "soft limit in bytes"),
    integer("MemorySwap", "memory and swap in bytes, -1: without limit"),
    field("MemorySwappiness", MAYBE_INTEGER, "0 to 100"),
    field("OomKillDisable", MAYBE_SWITCH, "do not end it when its memory is used up"),
    field("PidsLimit", MAYBE_INTEGER, "processes, 0 or -1: without limit"),
    field("Ulimits", Kind::Objects(&ULIMIT), "limits of its processes"),
    integer("CpuCount", "of Windows; without effect").since(25),
    integer("CpuPercent", "of Windows; without effect"),
    integer("IOMaximumIOps", "of Windows; without effect"),
    integer("IOMaximumBandwidth", "of Windows; without effect"),
];

const OWN: &[Field] = &[
    pairs("GantryLogOptions", "told, not taken: options of the first log driver that are in force").own(),
    field("GantryLogSinks", Kind::Objects(&LOG_CONFIG), "further log drivers beside the first").own(),
    text("GantryHealthOnFailure", "none, kill, restart or stop when it becomes unhealthy").own(),
    integer("GantryTimeout", "seconds after which it is killed, 0: never").own(),
    field("IDMappings", Kind::Object(&ID_MAPPINGS), "maps of its user namespace").own(),
    field("GantrySecrets", Kind::Objects(&SECRET), "secrets it is given").own(),
];

static LOG_CONFIG: Type = Type {
    name: "LogConfig",
    about: "A log driver.",
    fields: &[&[text("Type", "its name"), pairs("Config", "its options")]],
};

static PORT_BINDING: Type = Type {
    name: "PortBinding",
    about: "The host's side of a published port.",
    fields: &[&[text("HostIp", "an address, empty: all"), text("HostPort", "a port or a range, empty: a free one")]],
};

pub static RESTART_POLICY: Type = Type {
    name: "RestartPolicy",
    about: "When a container that ended is started again.",
    fields: &[&[
        text("Name", "no, always, unless-stopped or on-failure"),
        integer("MaximumRetryCount", "how often, with on-failure; 0: always"),
    ]],
};

static MOUNT: Type = Type {
    name: "Mount",
    about: "A mount.",
    fields: &[&[
        text("Type", "bind, volume, tmpfs or image"),
        text("Source", "a path, a volume or an image"),
        text("Target", "where it appears"),
        switch("ReadOnly", "it cannot be written"),
        text("Consistency", "without effect").since(28),
        field("BindOptions", Kind::Object(&BIND_OPTIONS), "of a bind"),
        field("VolumeOptions", Kind::Object(&VOLUME_OPTIONS), "of a volume"),
        field("TmpfsOptions", Kind::Object(&TMPFS_OPTIONS), "of a tmpfs"),
        field("ImageOptions", Kind::Object(&IMAGE_OPTIONS), "of an image").since(48),
    ]],
};

static BIND_OPTIONS: Type = Type {
    name: "BindOptions",
    about: "Options of a bind.",
    fields: &[&[
        text("Propagation", "private, shared, slave and these with r"),
        switch("NonRecursive", "without the mounts below the source").since(40),
        switch("CreateMountpoint", "make a source that is missing").since(42),
        switch("ReadOnlyNonRecursive", "mounts below stay writable").since(44),
        switch("ReadOnlyForceRecursive", "fail when mounts below cannot be made read-only").since(44),
    ]],
};

static VOLUME_OPTIONS: Type = Type {
    name: "VolumeOptions",
    about: "Options of a volume.",
    fields: &[&[
        switch("NoCopy", "do not fill it from the image"),
        pairs("Labels", "of a volume that is made"),
        field("DriverConfig", Kind::Object(&DRIVER_CONFIG), "of a volume that is made"),
        text("Subpath", "a part of the volume").since(45),
    ]],
};

static DRIVER_CONFIG: Type = Type {
    name: "DriverConfig",
    about: "A volume driver.",
    fields: &[&[text("Name", "its name"), pairs("Options", "its options")]],
};

static TMPFS_OPTIONS: Type = Type {
    name: "TmpfsOptions",
    about: "Options of a tmpfs.",
    fields: &[&[
        integer("SizeBytes", "its size; 0: half of the memory"),
        integer("Mode", "permissions of its root"),
        field("Options", Kind::List(&TEXTS), "further options; must be empty").since(46),
    ]],
};

static IMAGE_OPTIONS: Type = Type {
    name: "ImageOptions",
    about: "Options of a mounted image.",
    fields: &[&[text("Subpath", "a part of the image")]],
};

static WEIGHT: Type = Type {
    name: "WeightDevice",
    about: "A share of one block device's time.",
    fields: &[&[text("Path", "the device"), integer("Weight", "10 to 1000")]],
};

static THROTTLE: Type = Type {
    name: "ThrottleDevice",
    about: "A limit on one block device.",
    fields: &[&[text("Path", "the device"), integer("Rate", "per second")]],
};

static DEVICE: Type = Type {
    name: "DeviceMapping",
    about: "A device of the host.",
    fields: &[&[text("PathOnHost", "there"), text("PathInContainer", "here"), text("CgroupPermissions", "of r, w, m")]],
};

static ULIMIT: Type = Type {
    name: "Ulimit",
    about: "A limit of processes.",
    fields: &[&[text("Name", "nofile, nproc …"), integer("Soft", "soft limit"), integer("Hard", "hard limit")]],
};

static ID_MAPPINGS: Type = Type {
    name: "IDMappings",
    about: "Maps of a user namespace.",
    fields: &[&[
        texts("UidMap", "CONTAINER:HOST:COUNT"),
        texts("GidMap", "CONTAINER:HOST:COUNT"),
        text("GantrySubUidName", "whose ranges of /etc/subuid").own(),
        text("GantrySubGidName", "whose ranges of /etc/subgid").own(),
    ]],
};

static SECRET: Type = Type {
    name: "GantrySecretUse",
    about: "A secret that a container is given.",
    fields: &[&[
        text("Secret", "its name or id"),
        text("Type", "mount or env"),
        text("Target", "a file's or a variable's name"),
        integer("Uid", "owner of the file"),
        integer("Gid", "group of the file"),
        integer("Mode", "its permissions"),
    ]],
};

/// `Config`: what belongs to the image as much as to the container.
pub const CONFIG: &[Field] = &[
    text("Hostname", "its host name"),
    text("Domainname", "its domain"),
    text("User", "USER[:GROUP]"),
    switch("AttachStdin", "the client attaches stdin"),
    switch("AttachStdout", "the client attaches stdout"),
    switch("AttachStderr", "the client attaches stderr"),
    field("ExposedPorts", SET, "PORT/PROTOCOL"),
    switch("Tty", "it has a terminal"),
    switch("OpenStdin", "its stdin stays open"),
    switch("StdinOnce", "stdin is closed after the first client"),
    texts("Env", "NAME=VALUE"),
    field("Cmd", Kind::Words, "the command, or its arguments"),
    field("Healthcheck", Kind::Object(&HEALTHCHECK), "how its health is found out"),
    text("Image", "the image it is made of"),
    field("Volumes", SET, "places that become volumes"),
    text("WorkingDir", "where the command starts"),
    field("Entrypoint", Kind::Words, "what the command is given to"),
    switch("NetworkDisabled", "without a network"),
    texts("OnBuild", "instructions for images built on it"),
    pairs("Labels", "notes of the user's"),
    text("StopSignal", "the signal that stops it"),
    field("StopTimeout", MAYBE_INTEGER, "seconds before it is killed").since(25),
    field("Shell", Kind::Words, "what runs commands in shell form"),
];

pub static HEALTHCHECK: Type = Type {
    name: "Healthcheck",
    about: "How a container's health is found out. Times in nanoseconds.",
    fields: &[&[
        texts("Test", "NONE, CMD with arguments, or CMD-SHELL with a command"),
        integer("Interval", "from one check to the next"),
        integer("Timeout", "a check that takes longer has failed"),
        integer("Retries", "failures until it is unhealthy"),
        integer("StartPeriod", "failures do not count so long").since(29),
        integer("StartInterval", "from check to check within that time").since(44),
    ]],
};
