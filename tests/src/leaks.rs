//! What a test may have left on the host: processes, mounts, links, addresses, cgroups, firewall elements, directories.
//! Only the world's own things count, so that tests may run beside each other.

use crate::{World, process, within};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What is left once what is on its way out has had time to go.
pub fn settle(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    within(Duration::from_secs(10), || {
        found = all(world);
        found.is_empty()
    });
    found
}

/// Everything that is left of a world without containers.
pub fn all(world: &World) -> Vec<String> {
    [processes(world), mounts(world.dir()), links(world), cgroups(world), firewall(world), directories(world)].concat()
}

fn processes(world: &World) -> Vec<String> {
    let pids = process::naming(world.dir());
    pids.into_iter().map(|pid| format!("process {pid}: {}", process::command_line(pid))).collect()
}

fn mounts(dir: &Path) -> Vec<String> {
    mount_points(dir).into_iter().map(|point| format!("mount {point}")).collect()
}

fn mount_points(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| Path::new(point).starts_with(dir)).map(str::to_owned).collect()
}

/// Unmounts whatever is mounted below a directory, the latest first.
pub fn unmount_below(dir: &Path) {
    for point in mount_points(dir).iter().rev() {
        let _ = nix::mount::umount2(point.as_str(), nix::mount::MntFlags::MNT_DETACH);
    }
}

fn links(world: &World) -> Vec<String> {
    let ports = fs::read_dir(format!("/sys/class/net/{}/brif", world.bridge())).into_iter().flatten().flatten();
    ports.map(|port| format!("link {}", port.file_name().to_string_lossy())).collect()
}

fn cgroups(world: &World) -> Vec<String> {
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let roots: Vec<_> = roots.chain(["/sys/fs/cgroup".into()]).collect();
    let of = |id: &String| roots.iter().map(|root| root.join("gantry").join(id)).collect::<Vec<_>>();
    let left = world.ids().iter().flat_map(of).filter(|dir| dir.exists()).collect::<Vec<_>>();
    left.iter().map(|dir| format!("cgroup {}", dir.display())).collect()
}

/// Elements with an address of a container; the bridge's own elements live as long as the network.
fn firewall(world: &World) -> Vec<String> {
    let listed = Command::new("nft").args(["list", "table", "inet", "gantry"]).output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let prefix = format!("{}.", world.subnet);
    let own = format!("{}.0/24", world.subnet);
    let words = text.split([' ', ',', '\n', '\t']);
    words.filter(|w| w.starts_with(&prefix) && *w != own).map(|w| format!("firewall element {w}")).collect()
}

fn directories(world: &World) -> Vec<String> {
    let places = ["root/containers", "root/names", "root/creating", "state/containers"];
    let entries = places.iter().flat_map(|place| fs::read_dir(world.path(place)).into_iter().flatten().flatten());
    entries.map(|entry| format!("file {}", entry.path().display())).collect()
}
