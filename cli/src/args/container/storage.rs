//! Volumes, mounts, the root file system, logs.

use super::ContainerArgs;
use crate::args::values::{add, push, put};
use crate::args::{Choices, Flag};
use gantry_engine::model::container::Mount;
use gantry_engine::model::mount;
use gantry_engine::model::secret::{self, SecretUse};

/// See the table.
#[derive(Debug, Default)]
pub struct StorageArgs {
    pub volumes: Vec<String>,
    pub mounts: Vec<Mount>,
    pub tmpfs: Vec<String>,
    pub volumes_from: Vec<String>,
    pub volume_driver: Option<String>,
    pub read_only: bool,
    pub log_drivers: Vec<String>,
    pub log_opts: Vec<String>,
    pub storage_opts: Vec<String>,
    pub secrets: Vec<SecretUse>,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("log-driver", "string", "Log driver; repeat for several", |a, v| {
        push(&mut a.storage.log_drivers, v)
    })
    .choices(Choices::Drivers("log")),
    Flag::<ContainerArgs>::value("log-opt", "list", "Option of the log driver ([driver.]key=value)", |a, v| {
        push(&mut a.storage.log_opts, v)
    }),
    Flag::<ContainerArgs>::value(
        "mount",
        "mount",
        "Mount a volume, a path of the host or a tmpfs (type=…,src=…,dst=…)",
        |a, v| add(&mut a.storage.mounts, mount::parse(v)),
    ),
    Flag::<ContainerArgs>::switch("read-only", "Mount the root file system read-only", |a, on| {
        a.storage.read_only = on
    }),
    Flag::<ContainerArgs>::value(
        "secret",
        "list",
        "Give a secret to the container (name[,type=mount|env,target=…,uid=…,gid=…,mode=…])",
        |a, v| add(&mut a.storage.secrets, secret::parse(v)),
    ),
    Flag::<ContainerArgs>::value("storage-opt", "list", "Option of the storage driver (size=10g)", |a, v| {
        push(&mut a.storage.storage_opts, v)
    }),
    Flag::<ContainerArgs>::value("tmpfs", "list", "Mount a tmpfs (path[:options])", |a, v| {
        push(&mut a.storage.tmpfs, v)
    }),
    Flag::<ContainerArgs>::value(
        "volume",
        "list",
        "Mount a volume or a path of the host ([source:]target[:options])",
        |a, v| push(&mut a.storage.volumes, v),
    )
    .short('v')
    .choices(Choices::Files),
    Flag::<ContainerArgs>::value("volume-driver", "string", "Driver of volumes made here", |a, v| {
        put(&mut a.storage.volume_driver, v)
    })
    .choices(Choices::Drivers("volume")),
    Flag::<ContainerArgs>::value("volumes-from", "list", "Mount what another container mounts", |a, v| {
        push(&mut a.storage.volumes_from, v)
    })
    .choices(Choices::Containers),
];
