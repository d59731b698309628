//! Containers: how they are made, changed and shown.

use super::host::{CONFIG, HOST_CONFIG, RESTART_POLICY};
use super::network::ENDPOINT;
use super::{Field, Kind, MAYBE_INTEGER, TEXTS, Type, field, integer, pairs, switch, text, texts};

const INTEGERS: Kind = Kind::List(&Kind::Integer);

pub static CREATE: Type = Type {
    name: "ContainerCreate",
    about: "A container to make: its Config, with what belongs to the host and to networks.",
    fields: &[
        CONFIG,
        &[
            text("MacAddress", "since 1.44 a field of the endpoint"),
            text("Runtime", "as docker-py's create_container sends it; that of HostConfig comes first").own(),
            field("HostConfig", Kind::Object(&HOST_CONFIG), "what belongs to this host"),
            field("NetworkingConfig", Kind::Object(&NETWORKING), "the networks it joins"),
        ],
    ],
};

static NETWORKING: Type = Type {
    name: "NetworkingConfig",
    about: "The networks a container joins.",
    fields: &[&[field("EndpointsConfig", Kind::Named(&ENDPOINT), "by name; several since 1.44")]],
};

pub static CREATED: Type = Type {
    name: "ContainerCreated",
    about: "A container that was made.",
    fields: &[&[text("Id", "64 hexadecimal digits"), texts("Warnings", "what the user should know")]],
};

pub static UPDATE: Type = Type {
    name: "ContainerUpdate",
    about: "What changes; zero and the empty text change nothing.",
    fields: &[
        &[
            integer("CpuShares", "relative share of processor time"),
            integer("Memory", "limit in bytes"),
            integer("NanoCpus", "processors, in thousand millionths").since(28),
            integer("BlkioWeight", "relative share of disk time"),
            integer("CpuPeriod", "microseconds of a period of the quota"),
            integer("CpuQuota", "microseconds of processor time per period"),
            text("CpusetCpus", "processors that may be used"),
            text("CpusetMems", "memory nodes that may be used"),
            integer("MemoryReservation", "soft limit in bytes"),
            integer("MemorySwap", "memory and swap in bytes, -1: without limit"),
            field("PidsLimit", MAYBE_INTEGER, "processes, 0 or -1: without limit").since(40),
        ],
        &[
            field("RestartPolicy", Kind::Object(&RESTART_POLICY), "a new policy"),
            field("GantryLogs", Kind::Object(&LOG_UPDATE), "other log drivers, or new options").own(),
            field("GantryPorts", Kind::Object(&PORT_UPDATE), "ports to publish, or no longer").own(),
        ],
    ],
};

static LOG_UPDATE: Type = Type {
    name: "GantryLogUpdate",
    about: "Where a running container's lines go from now on.",
    fields: &[&[
        texts("Drivers", "in place of its drivers; empty: those it has"),
        texts("Options", "[DRIVER.]KEY=VALUE"),
    ]],
};

static PORT_UPDATE: Type = Type {
    name: "GantryPortUpdate",
    about: "Published ports of a running container, as --publish takes them.",
    fields: &[&[texts("Add", "published from now on"), texts("Remove", "taken back first")]],
};

pub static WARNED: Type =
    Type { name: "Warned", about: "What the user should know.", fields: &[&[texts("Warnings", "sentences")]] };

pub static INSPECT: Type = Type {
    name: "Container",
    about: "All of a container.",
    fields: &[&[
        text("Id", "64 hexadecimal digits"),
        field("Created", Kind::Time, "when it was made"),
        text("Path", "the program"),
        texts("Args", "its arguments"),
        field("State", Kind::Object(&STATE), "how it is"),
        text("Image", "the image's id"),
        text("ResolvConfPath", "the file behind /etc/resolv.conf"),
        text("HostnamePath", "the file behind /etc/hostname"),
        text("HostsPath", "the file behind /etc/hosts"),
        text("LogPath", "the log of json-file"),
        text("Name", "/NAME"),
        integer("RestartCount", "how often it was started again"),
        text("Driver", "the storage driver"),
        text("Platform", "linux").since(32),
        text("MountLabel", "SELinux label of its files"),
        text("ProcessLabel", "SELinux label of its processes"),
        text("AppArmorProfile", "its profile"),
        texts("ExecIDs", "processes that are executed in it"),
        field("HostConfig", Kind::Object(&HOST_CONFIG), "what belongs to this host"),
        field("GraphDriver", Kind::Object(&super::image::GRAPH), "where its files are"),
        integer("SizeRw", "bytes it wrote; only when asked for"),
        integer("SizeRootFs", "bytes of its root; only when asked for"),
        field("Mounts", Kind::Objects(&MOUNT_POINT), "its mounts"),
        field("Config", Kind::Object(&CONTAINER_CONFIG), "what came from the image and the command"),
        field("NetworkSettings", Kind::Object(&NETWORK_SETTINGS), "its networks"),
    ]],
};

static CONTAINER_CONFIG: Type =
    Type { name: "ContainerConfig", about: "What came from the image and the command.", fields: &[CONFIG] };

static STATE: Type = Type {
    name: "ContainerState",
    about: "How a container is.",
    fields: &[&[
        text("Status", "created, running, paused, restarting, removing, exited or dead"),
        switch("Running", "it runs, paused or not"),
        switch("Paused", "it is frozen"),
        switch("Restarting", "it waits to be started again"),
        switch("OOMKilled", "the kernel ended it for lack of memory"),
        switch("Dead", "it could not be removed"),
        integer("Pid", "its first process"),
        integer("ExitCode", "how it ended"),
        text("Error", "why it could not be started"),
        field("StartedAt", Kind::Time, "when it was started"),
        field("FinishedAt", Kind::Time, "when it ended"),
        field("Health", Kind::Object(&HEALTH), "its health, when it has checks"),
        field("Logs", Kind::Objects(&SINK), "what each log driver has taken and lost").own(),
        integer("LogPid", "the process that carries its lines").own(),
    ]],
};

static HEALTH: Type = Type {
    name: "Health",
    about: "A container's health.",
    fields: &[&[
        text("Status", "starting, healthy or unhealthy"),
        integer("FailingStreak", "failures in a row"),
        field("Log", Kind::Objects(&HEALTH_RESULT), "the last results"),
    ]],
};

static HEALTH_RESULT: Type = Type {
    name: "HealthResult",
    about: "One check.",
    fields: &[&[
        field("Start", Kind::Time, "its begin"),
        field("End", Kind::Time, "its end"),
        integer("ExitCode", "0: healthy"),
        text("Output", "what it printed"),
    ]],
};

static SINK: Type = Type {
    name: "GantryLogSink",
    about: "What a log driver has taken and lost.",
    fields: &[&[
        text("Driver", "its name"),
        switch("Cache", "it is there to be read alone"),
        text("Policy", "what is done when it is slow"),
        text("State", "how it is"),
        integer("In", "records it was given"),
        integer("Out", "records it has taken"),
        integer("OutBytes", "bytes of them"),
        integer("Dropped", "records lost, for any reason"),
        integer("DroppedSlow", "because it was slow"),
        integer("DroppedError", "because it failed"),
        integer("DroppedDown", "because it was down"),
        integer("DroppedKilled", "because the pump was killed"),
        integer("DroppedRate", "because of its limit"),
        integer("TrimmedRecords", "records removed to save space"),
        integer("TrimmedBytes", "bytes of them"),
        integer("Waiting", "records that wait"),
        integer("SpoolBytes", "bytes that wait on the disk"),
        integer("LagMs", "age of the oldest that waits"),
        text("LastError", "its last error"),
        field("Metrics", Kind::Any, "figures of its own"),
    ]],
};

static MOUNT_POINT: Type = Type {
    name: "MountPoint",
    about: "A mount as a container has it.",
    fields: &[&[
        text("Type", "bind, volume, tmpfs or image"),
        text("Name", "the volume's"),
        text("Source", "where it lies on the host"),
        text("Destination", "where it appears"),
        text("Driver", "the volume's"),
        text("Mode", "as it was asked for"),
        switch("RW", "it can be written"),
        text("Propagation", "of a bind"),
    ]],
};

static NETWORK_SETTINGS: Type = Type {
    name: "NetworkSettings",
    about: "A container's networks. Addresses outside of Networks are those of the default one.",
    fields: &[&[
        text("Bridge", "empty"),
        text("SandboxID", "its network namespace"),
        text("SandboxKey", "the path to it"),
        field("Ports", Kind::Map(&Kind::List(&Kind::Any)), "published ports by PORT/PROTOCOL"),
        switch("HairpinMode", "not used"),
        text("LinkLocalIPv6Address", "empty"),
        integer("LinkLocalIPv6PrefixLen", "0"),
        field("SecondaryIPAddresses", Kind::List(&Kind::Any), "none"),
        field("SecondaryIPv6Addresses", Kind::List(&Kind::Any), "none"),
        text("EndpointID", "of the default network"),
        text("Gateway", "of the default network"),
        text("GlobalIPv6Address", "of the default network"),
        integer("GlobalIPv6PrefixLen", "of the default network"),
        text("IPAddress", "of the default network"),
        integer("IPPrefixLen", "of the default network"),
        text("IPv6Gateway", "of the default network"),
        text("MacAddress", "of the default network"),
        field("Networks", Kind::Named(&ENDPOINT), "by name"),
    ]],
};

pub static SUMMARY: Type = Type {
    name: "ContainerSummary",
    about: "A container in a list.",
    fields: &[&[
        text("Id", "64 hexadecimal digits"),
        texts("Names", "/NAME"),
        text("Image", "as it was asked for"),
        text("ImageID", "the image's id"),
        text("Command", "program and arguments"),
        integer("Created", "seconds since 1970"),
        field("Ports", Kind::Objects(&PORT), "published and exposed ports"),
        integer("SizeRw", "bytes it wrote; only when asked for"),
        integer("SizeRootFs", "bytes of its root; only when asked for"),
        pairs("Labels", "its labels"),
        text("State", "running, exited …"),
        text("Status", "Up 3 minutes …"),
        field("HostConfig", Kind::Object(&SUMMARY_HOST), "some of it"),
        field("NetworkSettings", Kind::Object(&SUMMARY_NETWORKS), "its networks"),
        field("Mounts", Kind::Objects(&MOUNT_POINT), "its mounts"),
    ]],
};

static PORT: Type = Type {
    name: "Port",
    about: "A port of a container.",
    fields: &[&[
        text("IP", "the host's address"),
        integer("PrivatePort", "the container's"),
        integer("PublicPort", "the host's"),
        text("Type", "tcp, udp or sctp"),
    ]],
};

static SUMMARY_HOST: Type = Type {
    name: "SummaryHostConfig",
    about: "What a list tells of HostConfig.",
    fields: &[&[text("NetworkMode", "as it was asked for"), pairs("Annotations", "its annotations").since(46)]],
};

static SUMMARY_NETWORKS: Type = Type {
    name: "SummaryNetworkSettings",
    about: "What a list tells of networks.",
    fields: &[&[field("Networks", Kind::Named(&ENDPOINT), "by name")]],
};

pub static TOP: Type = Type {
    name: "Processes",
    about: "Processes in a container.",
    fields: &[&[texts("Titles", "the columns"), field("Processes", Kind::List(&TEXTS), "the rows")]],
};

pub static CHANGE: Type = Type {
    name: "Change",
    about: "A file that differs from the image's.",
    fields: &[&[text("Path", "the file"), integer("Kind", "0: changed, 1: added, 2: deleted")]],
};

pub static PRUNED: Type = Type {
    name: "ContainersPruned",
    about: "Containers that were removed.",
    fields: &[&[texts("ContainersDeleted", "ids"), integer("SpaceReclaimed", "bytes")]],
};

pub static WAITED: Type = Type {
    name: "Waited",
    about: "How a container ended.",
    fields: &[&[
        integer("StatusCode", "its exit code"),
        field("Error", Kind::Maybe(&Kind::Any), "never set").since(34),
    ]],
};

const EXEC_COMMON: &[Field] = &[
    switch("Tty", "it has a terminal; at the start: output comes without frames"),
    field("ConsoleSize", INTEGERS, "rows and columns").since(42),
];

pub static EXEC_CREATE: Type = Type {
    name: "ExecCreate",
    about: "A process to be executed in a container.",
    fields: &[
        EXEC_COMMON,
        &[
            switch("AttachStdin", "it reads from the client"),
            switch("AttachStdout", "its output goes to the client"),
            switch("AttachStderr", "its errors go to the client"),
            text("DetachKeys", "keys to leave it"),
            texts("Env", "NAME=VALUE").since(25),
            texts("Cmd", "the command"),
            switch("Privileged", "with all capabilities"),
            text("User", "USER[:GROUP]"),
            text("WorkingDir", "where it starts").since(35),
        ],
    ],
};

pub static EXEC_START: Type = Type {
    name: "ExecStart",
    about: "How an executed process is started.",
    fields: &[EXEC_COMMON, &[switch("Detach", "nobody follows it")]],
};

pub static EXEC: Type = Type {
    name: "Exec",
    about: "An executed process.",
    fields: &[&[
        text("ID", "its id"),
        switch("Running", "it runs"),
        field("ExitCode", MAYBE_INTEGER, "how it ended"),
        field("ProcessConfig", Kind::Object(&PROCESS_CONFIG), "what it is"),
        switch("OpenStdin", "it reads from the client"),
        switch("OpenStderr", "its errors go to the client"),
        switch("OpenStdout", "its output goes to the client"),
        switch("CanRemove", "it has ended"),
        text("ContainerID", "its container"),
        text("DetachKeys", "keys to leave it"),
        integer("Pid", "its number on the host; 0: it does not run").since(25),
    ]],
};

static PROCESS_CONFIG: Type = Type {
    name: "ProcessConfig",
    about: "What an executed process is.",
    fields: &[&[
        switch("tty", "it has a terminal"),
        text("entrypoint", "the program"),
        texts("arguments", "its arguments"),
        switch("privileged", "with all capabilities"),
        text("user", "USER[:GROUP]"),
    ]],
};
