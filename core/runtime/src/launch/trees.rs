//! Mounts that the parent makes for init: those whose owners are mapped, and in a user namespace all that show something of
//! the host's, which a root of that namespace may not be able to reach.

use crate::error::Error;
use crate::init::fault::Fault;
use crate::init::steps::mount::{Mount, Source};
use crate::init::steps::root::Root;
use crate::init::steps::{Perform, Step};
use crate::launch::layers::{self, Owners};
use crate::launch::report;
use crate::plan::Plan;
use crate::user_map::UserMap;
use std::os::fd::{AsFd, OwnedFd};

/// For each step the mount made for it; empty where none is.
pub(super) fn open(plan: &Plan) -> Result<Vec<Option<OwnedFd>>, Error> {
    if plan.user.is_none() && plan.idmaps.is_empty() {
        return Ok(Vec::new());
    }
    let map = |map: &UserMap| Ok(Owners { namespace: map.namespace()?, root: map.root() });
    let maps = plan.idmaps.iter().map(map).collect::<Result<Vec<_>, Error>>()?;
    let one = |(index, step): (usize, &Step)| {
        let made = tree(step, plan.user.is_some(), &maps);
        made.map_err(|fault| report::error(&plan.steps, &plan.program, index as u16, &fault))
    };
    plan.steps.iter().enumerate().map(one).collect()
}

fn tree(step: &Step, all: bool, maps: &[Owners]) -> Result<Option<OwnedFd>, Fault> {
    match step {
        Step::Root(root) if all => match root.idmap.and_then(|map| maps.get(usize::from(map))) {
            Some(owners) => mapped_root(root, owners).map(Some),
            None => root.detached().map(Some),
        },
        Step::Mount(mount) if mount.idmap.is_some() || all && matches!(mount.source, Source::Bind { .. }) => {
            bind(mount, maps).map(Some)
        }
        _ => Ok(None),
    }
}

fn mapped_root(root: &Root, owners: &Owners) -> Result<OwnedFd, Fault> {
    match &root.source {
        Source::New { fstype, options } if fstype.as_c_str() == c"overlay" => {
            layers::overlay(options, owners, || layers::made(root))
        }
        _ => {
            let tree = root.detached()?;
            layers::map(tree.as_fd(), false, owners, root.subject().as_bytes())?;
            Ok(tree)
        }
    }
}

fn bind(mount: &Mount, maps: &[Owners]) -> Result<OwnedFd, Fault> {
    let Some((owners, recursive)) = mount.idmap.and_then(|(map, deep)| Some((maps.get(usize::from(map))?, deep)))
    else {
        return mount.whole().map(|(tree, _)| tree);
    };
    if let Source::New { fstype, options } = &mount.source
        && fstype.as_c_str() == c"overlay"
    {
        return layers::overlay(options, owners, || mount.whole().map(|(tree, _)| tree));
    }
    let (tree, _) = mount.whole()?;
    layers::map(tree.as_fd(), recursive, owners, mount.source.subject().as_bytes())?;
    Ok(tree)
}
