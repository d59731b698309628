//! The engine from outside: the built binary and plugins, driven as a user drives them. Every test has a world of its
//! own, so they run beside each other and beside a Gantry or Docker in use.

mod adapters;
mod attach;
mod authors;
#[path = "../../../drivers/log/syslog/tests/driver/certificates.rs"]
mod certificates;
mod check;
mod cli;
mod completion;
mod corpus;
mod crash;
mod debian;
mod dhcp;
mod dockerapi;
mod dockerapi_doors;
mod dockerapi_more;
mod dockerapi_refusals;
mod dockerapi_shape;
mod dockerapi_waits;
mod errors;
mod events;
mod faults;
mod frozen;
mod full;
mod health;
mod hostile;
mod images;
mod init;
mod isolated;
mod journald;
mod keeping;
mod kills;
mod layer_disks;
mod lazy;
mod lifecycle;
mod limits;
mod local;
mod logs;
mod many;
mod misdeeds;
mod mounted_images;
mod names;
mod netfaults;
mod netmatrix;
mod network;
mod networks;
mod oci;
mod peers;
mod plugins;
mod ports;
mod registry;
mod remote;
mod resume;
mod rootless;
mod rootless_networks;
mod run;
mod runtimes;
mod secrets;
mod security;
mod sinks;
mod stats;
mod syslog;
mod torn;
mod transfer;
mod userns;
mod versions;
mod volume_files;
mod volumes;
mod volumes_more;
mod why;

/// Leaves a test that cannot be made here.
macro_rules! need {
    () => {
        if !gantry_tests::able() || !gantry_tests::image::have_busybox() {
            return;
        }
    };
}
pub(crate) use need;
