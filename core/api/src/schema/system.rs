//! The engine.

use super::{Field, Kind, TEXTS, Type, field, integer, pairs, switch, text, texts};

pub static VERSION: Type = Type {
    name: "Version",
    about: "What answers.",
    fields: &[&[
        field("Platform", Kind::Object(&PRODUCT), "the product").since(35),
        field("Components", Kind::Objects(&COMPONENT), "its parts").since(35),
        text("Version", "the engine's"),
        text("ApiVersion", "the newest of the API"),
        text("MinAPIVersion", "the oldest of the API").since(25),
        text("GitCommit", "empty"),
        text("GoVersion", "empty: it is not written in Go"),
        text("Os", "linux"),
        text("Arch", "amd64, arm64 …"),
        text("KernelVersion", "the kernel's"),
        text("BuildTime", "empty"),
    ]],
};

static PRODUCT: Type = Type { name: "Product", about: "The product.", fields: &[&[text("Name", "Gantry")]] };

static COMPONENT: Type = Type {
    name: "Component",
    about: "A part of the engine.",
    fields: &[&[text("Name", "Engine"), text("Version", "its version"), pairs("Details", "more")]],
};

const COUNTS: &[Field] = &[
    text("ID", "of this root"),
    integer("Containers", "all"),
    integer("ContainersRunning", "that run"),
    integer("ContainersPaused", "that are frozen"),
    integer("ContainersStopped", "the others"),
    integer("Images", "images"),
    integer("NFd", "descriptors of the server"),
    integer("NGoroutines", "0"),
    field("SystemTime", Kind::Time, "the host's time"),
    integer("NEventsListener", "0"),
];

const HOST: &[Field] = &[
    switch("MemoryLimit", "memory can be limited"),
    switch("SwapLimit", "swap can be limited"),
    switch("KernelMemoryTCP", "false"),
    switch("CpuCfsPeriod", "processor time can be limited"),
    switch("CpuCfsQuota", "processor time can be limited"),
    switch("CPUShares", "processor time can be shared"),
    switch("CPUSet", "processors can be chosen"),
    switch("PidsLimit", "processes can be limited").since(40),
    switch("OomKillDisable", "the end for lack of memory can be put off"),
    switch("IPv4Forwarding", "the host forwards"),
    switch("BridgeNfIptables", "bridges pass the firewall"),
    switch("BridgeNfIp6tables", "bridges pass the firewall"),
    text("KernelVersion", "the kernel's"),
    text("OperatingSystem", "the distribution"),
    text("OSVersion", "its version").since(41),
    text("OSType", "linux"),
    text("Architecture", "x86_64, aarch64 …"),
    integer("NCPU", "processors"),
    integer("MemTotal", "bytes"),
    text("Name", "the host's"),
    field("HostFeatures", Kind::Objects(&FEATURE), "what the host has, and what is missing without it").own(),
];

const ENGINE: &[Field] = &[
    text("Driver", "the storage driver"),
    field("DriverStatus", Kind::List(&TEXTS), "what it tells"),
    text("DockerRootDir", "where its data lies"),
    text("StateDir", "where what ends with the boot lies").own(),
    field("Plugins", Kind::Object(&PLUGINS), "drivers"),
    text("LoggingDriver", "the default"),
    text("CgroupDriver", "cgroupfs or systemd"),
    text("CgroupVersion", "1 or 2").since(41),
    text("CgroupLayout", "v1, v2 or mixed").own(),
    text("ServerVersion", "the engine's"),
    text("DefaultRuntime", "the runtime of containers that name none"),
    field("Runtimes", Kind::Named(&RUNTIME), "by name"),
    texts("SecurityOptions", "what protects the host"),
    switch("LiveRestoreEnabled", "true: containers never need the server"),
    texts("Warnings", "what the user should know").since(39),
    text("InitBinary", "the program of --init"),
    field("ContainerdCommit", Kind::Object(&COMMIT), "empty"),
    field("RuncCommit", Kind::Object(&COMMIT), "empty"),
    field("InitCommit", Kind::Object(&COMMIT), "empty"),
    switch("Debug", "false"),
    switch("ExperimentalBuild", "false"),
    texts("Labels", "none"),
    text("Isolation", "of Windows").since(25),
    text("IndexServerAddress", "Docker Hub"),
    field("RegistryConfig", Kind::Object(&REGISTRIES), "what is set up for registries"),
    field("GenericResources", Kind::List(&Kind::Any), "none").since(32),
    text("HttpProxy", "the engine's"),
    text("HttpsProxy", "the engine's"),
    text("NoProxy", "the engine's"),
    field("Swarm", Kind::Object(&SWARM), "inactive"),
    text("ProductLicense", "empty").since(39),
    field("DefaultAddressPools", Kind::Objects(&ADDRESSES), "where subnets come from").since(41),
    texts("CDISpecDirs", "none").since(44),
];

pub static INFO: Type = Type { name: "Info", about: "The engine and its host.", fields: &[COUNTS, HOST, ENGINE] };

static FEATURE: Type = Type {
    name: "GantryHostFeature",
    about: "A feature of the host.",
    fields: &[&[text("Name", "what"), switch("Present", "it is there"), text("Without", "what is missing without it")]],
};

static PLUGINS: Type = Type {
    name: "Plugins",
    about: "Drivers.",
    fields: &[&[
        texts("Volume", "names"),
        texts("Network", "names"),
        texts("Authorization", "none"),
        texts("Log", "names").since(30),
        texts("Storage", "names").own(),
    ]],
};

static RUNTIME: Type = Type {
    name: "Runtime",
    about: "A runtime.",
    fields: &[&[
        text("path", "its program"),
        texts("runtimeArgs", "further arguments"),
        pairs("status", "none").since(44),
    ]],
};

static COMMIT: Type = Type {
    name: "Commit",
    about: "A version of a part that Gantry does not have.",
    fields: &[&[text("ID", "empty"), text("Expected", "empty")]],
};

static REGISTRIES: Type = Type {
    name: "RegistryConfig",
    about: "What is set up for registries.",
    fields: &[&[
        field("IndexConfigs", Kind::Named(&INDEX), "by name"),
        texts("InsecureRegistryCIDRs", "none"),
        texts("Mirrors", "none"),
    ]],
};

static INDEX: Type = Type {
    name: "IndexInfo",
    about: "A registry.",
    fields: &[&[
        text("Name", "its name"),
        texts("Mirrors", "asked first"),
        switch("Secure", "by TLS"),
        switch("Official", "Docker Hub"),
    ]],
};

static SWARM: Type = Type {
    name: "SwarmInfo",
    about: "Swarm, which Gantry does not have.",
    fields: &[&[
        text("NodeID", "empty"),
        text("NodeAddr", "empty"),
        text("LocalNodeState", "inactive"),
        switch("ControlAvailable", "false"),
        text("Error", "empty"),
        field("RemoteManagers", Kind::List(&Kind::Any), "none"),
    ]],
};

static ADDRESSES: Type = Type {
    name: "AddressPool",
    about: "Where subnets come from.",
    fields: &[&[text("Base", "ADDRESS/PREFIX"), integer("Size", "prefix of a subnet")]],
};

pub static USAGE: Type = Type {
    name: "DiskUsage",
    about: "What takes space.",
    fields: &[&[
        integer("LayersSize", "bytes of all images"),
        field("Images", Kind::Objects(&super::image::SUMMARY), "each"),
        field("Containers", Kind::Objects(&super::container::SUMMARY), "each"),
        field("Volumes", Kind::Objects(&super::network::VOLUME), "each"),
        field("BuildCache", Kind::List(&Kind::Any), "none"),
        integer("BuilderSize", "0").since(31).until(42),
    ]],
};

pub static EVENT: Type = Type {
    name: "Event",
    about: "Something that happened.",
    fields: &[&[
        text("status", "the action again, of containers and images"),
        text("id", "the object again, of containers and images"),
        text("from", "a container's image"),
        text("Type", "container, image, network, volume …"),
        text("Action", "start, die …"),
        field("Actor", Kind::Object(&ACTOR), "to what"),
        text("scope", "local").since(30),
        integer("time", "seconds since 1970"),
        integer("timeNano", "nanoseconds since 1970"),
    ]],
};

static ACTOR: Type = Type {
    name: "Actor",
    about: "The object of an event.",
    fields: &[&[text("ID", "its id or name"), pairs("Attributes", "more about it")]],
};

pub static CREDENTIALS: Type = Type {
    name: "Credentials",
    about: "How a registry is entered.",
    fields: &[&[
        text("username", "a user"),
        text("password", "the user's password"),
        text("email", "not used"),
        text("serveraddress", "the registry"),
        text("identitytoken", "instead of a password"),
        text("registrytoken", "not used"),
    ]],
};

pub static LOGGED_IN: Type = Type {
    name: "LoggedIn",
    about: "Credentials were taken.",
    fields: &[&[text("IdentityToken", "to be used instead of the password"), text("Status", "a sentence")]],
};

pub static CACHE_PRUNED: Type = Type {
    name: "BuildCachePruned",
    about: "There is no cache of builds.",
    fields: &[&[texts("CachesDeleted", "none"), integer("SpaceReclaimed", "0")]],
};
