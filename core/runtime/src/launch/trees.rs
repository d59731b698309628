//! Mounts that the parent makes for init: those whose owners are mapped, and in a user namespace all that show something of
//! the host's, which a root of that namespace may not be able to reach.

use crate::error::Error;
use crate::init::fault::Fault;
use crate::init::steps::Step;
use crate::init::steps::mount::{Mount, Source};
use crate::launch::report;
use crate::plan::Plan;
use gantry_sys::mount::{self, MOUNT_ATTR_IDMAP, MountAttr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// For each step the mount made for it; empty where none is.
pub(super) fn open(plan: &Plan) -> Result<Vec<Option<OwnedFd>>, Error> {
    if plan.user.is_none() && plan.idmaps.is_empty() {
        return Ok(Vec::new());
    }
    let maps = plan.idmaps.iter().map(|map| map.namespace()).collect::<Result<Vec<_>, _>>()?;
    let one = |(index, step): (usize, &Step)| {
        let made = tree(step, plan.user.is_some(), &maps);
        made.map_err(|fault| report::error(&plan.steps, &plan.program, index as u16, &fault))
    };
    plan.steps.iter().enumerate().map(one).collect()
}

fn tree(step: &Step, all: bool, maps: &[OwnedFd]) -> Result<Option<OwnedFd>, Fault> {
    match step {
        Step::Root(root) if all => root.detached().map(Some),
        Step::Mount(mount) if mount.idmap.is_some() || all && matches!(mount.source, Source::Bind { .. }) => {
            bind(mount, maps).map(Some)
        }
        _ => Ok(None),
    }
}

fn bind(mount: &Mount, maps: &[OwnedFd]) -> Result<OwnedFd, Fault> {
    use crate::init::fault::{Act, During};
    let (tree, _) = mount.whole()?;
    if let Some((map, recursive)) = mount.idmap
        && let Some(namespace) = maps.get(usize::from(map))
    {
        let userns_fd = namespace.as_fd().as_raw_fd() as u64;
        let attributes = MountAttr { set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() };
        mount::set_attributes(&tree, recursive, &attributes).during(Act::SetAttributes)?;
    }
    Ok(tree)
}
