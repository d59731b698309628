//! Rights: capabilities, namespaces, seccomp and other labels, sysctls.

use super::ContainerArgs;
use crate::args::values::{add, push, put};
use crate::args::{Choices, Flag};

/// See the table.
#[derive(Debug, Default)]
pub struct SecurityArgs {
    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<String>,
    pub group_add: Vec<String>,
    pub cgroupns: Option<String>,
    pub ipc: Option<String>,
    pub pid: Option<String>,
    pub userns: Option<String>,
    pub uid_maps: Vec<String>,
    pub gid_maps: Vec<String>,
    pub map_user: Option<String>,
    pub sub_uid_name: Option<String>,
    pub sub_gid_name: Option<String>,
    pub uts: Option<String>,
    pub isolation: Option<String>,
    pub sysctls: Vec<(String, String)>,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("cap-add", "list", "Add a capability", |a, v| push(&mut a.security.cap_add, v)),
    Flag::<ContainerArgs>::value("cap-drop", "list", "Take a capability away", |a, v| {
        push(&mut a.security.cap_drop, v)
    }),
    Flag::<ContainerArgs>::value("cgroupns", "string", "Cgroup namespace (host|private)", |a, v| {
        put(&mut a.security.cgroupns, v)
    })
    .choices(Choices::Words(&["host", "private"])),
    Flag::<ContainerArgs>::value("group-add", "list", "Add a group to the process", |a, v| {
        push(&mut a.security.group_add, v)
    }),
    Flag::<ContainerArgs>::value("ipc", "string", "IPC namespace", |a, v| put(&mut a.security.ipc, v))
        .choices(Choices::Words(&["host", "none", "private", "shareable"])),
    Flag::<ContainerArgs>::value("isolation", "string", "Isolation technology", |a, v| {
        put(&mut a.security.isolation, v)
    }),
    Flag::<ContainerArgs>::value("pid", "string", "PID namespace", |a, v| put(&mut a.security.pid, v))
        .choices(Choices::Words(&["host"])),
    Flag::<ContainerArgs>::switch("privileged", "Give all rights to the container", |a, on| a.security.privileged = on),
    Flag::<ContainerArgs>::value(
        "security-opt",
        "list",
        "Security options (seccomp, no-new-privileges, …)",
        |a, v| push(&mut a.security.security_opt, v),
    ),
    Flag::<ContainerArgs>::value("sysctl", "map", "Set a sysctl of the container's namespaces", |a, v| {
        add(&mut a.security.sysctls, sysctl(v))
    })
    .default("map[]"),
    Flag::<ContainerArgs>::value("userns", "string", "User namespace", |a, v| put(&mut a.security.userns, v))
        .choices(Choices::Words(&["host", "auto", "keep-id"])),
    Flag::<ContainerArgs>::value(
        "map-user",
        "user",
        "Show a host user's files in binds as the container's (HOST[:CONTAINER])",
        |a, v| put(&mut a.security.map_user, v),
    )
    .hidden(),
    Flag::<ContainerArgs>::value("uidmap", "list", "Map users of the container (CONTAINER:HOST:COUNT)", |a, v| {
        push(&mut a.security.uid_maps, v)
    })
    .hidden(),
    Flag::<ContainerArgs>::value("gidmap", "list", "Map groups of the container (CONTAINER:HOST:COUNT)", |a, v| {
        push(&mut a.security.gid_maps, v)
    })
    .hidden(),
    Flag::<ContainerArgs>::value("subuidname", "string", "Map users to this user's ids in /etc/subuid", |a, v| {
        put(&mut a.security.sub_uid_name, v)
    })
    .hidden(),
    Flag::<ContainerArgs>::value("subgidname", "string", "Map groups to this name's ids in /etc/subgid", |a, v| {
        put(&mut a.security.sub_gid_name, v)
    })
    .hidden(),
    Flag::<ContainerArgs>::value("uts", "string", "UTS namespace", |a, v| put(&mut a.security.uts, v))
        .choices(Choices::Words(&["host"])),
];

/// Those that belong to a namespace.
fn sysctl(text: &str) -> Result<(String, String), String> {
    const NAMES: [&str; 9] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.domainname",
    ];
    let refused = || format!("sysctl '{text}' is not allowed");
    let (name, value) = text.split_once('=').ok_or_else(refused)?;
    let allowed = NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.");
    if allowed { Ok((name.to_owned(), value.to_owned())) } else { Err(refused()) }
}
