//! The root file system of the plan.

use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::mount::{Attributes, Mount, MountOption, Source};
use crate::init::steps::root::{Classic, Root};
use crate::init::steps::seal::Seal;
use crate::plan_text::c_string;
use crate::request::RootMount;
use gantry_sys::mount as attr;
use nix::mount::MsFlags;
use oci_spec::runtime::Spec;

/// One page, less the NUL: what `mount(2)` takes as data.
const CLASSIC_DATA: usize = 4095;

/// `over_host`: whether the root lies on top of everything else; in a mount namespace of somebody else's it stays where it is.
pub(crate) fn steps(mounts: &[RootMount], over_host: bool) -> Result<Vec<Step>, Error> {
    let (first, rest) =
        mounts.split_first().ok_or_else(|| Error::invalid("root file system", "the storage driver gave no mount"))?;
    if !first.target.trim_matches('/').is_empty() {
        return Err(Error::invalid("root file system", "the first mount is not the root"));
    }
    let (source, classic) = (source(first)?, classic(first)?);
    let place = match &source {
        _ if over_host => None,
        Source::Bind { path, .. } => Some(path.clone()),
        Source::New { .. } => {
            return Err(Error::invalid("root file system", "only a directory can be shared with other mounts"));
        }
    };
    let root = Root { source, set: attributes(first.flags), classic, idmap: None, place };
    let mut steps = vec![Step::Root(root)];
    for mount in rest {
        steps.push(Step::Mount(below(mount)?));
    }
    Ok(steps)
}

/// The same, with the owners of all files seen through a map of the plan's.
pub(super) fn mapped(mut steps: Vec<Step>, map: u16) -> Vec<Step> {
    for step in &mut steps {
        match step {
            Step::Root(root) => root.idmap = Some(map),
            Step::Mount(mount) => mount.idmap = Some((map, false)),
            _ => {}
        }
    }
    steps
}

/// Seals the root at the very end, when every mount target in it has been made.
pub(super) fn read_only_step(spec: &Spec) -> Option<Step> {
    let wanted = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    let attributes = Attributes { set: attr::MOUNT_ATTR_RDONLY, ..Attributes::default() };
    wanted.then(|| Step::Seal(Seal { path: c"/".into(), attributes }))
}

fn is_bind(mount: &RootMount) -> bool {
    mount.fstype == "bind" || mount.flags & MsFlags::MS_BIND.bits() != 0
}

fn source(mount: &RootMount) -> Result<Source, Error> {
    if is_bind(mount) {
        let recursive = mount.flags & MsFlags::MS_REC.bits() != 0;
        return Ok(Source::Bind { path: text(&mount.source)?, recursive, inside: None });
    }
    let mut options = Vec::new();
    if !mount.source.is_empty() {
        options.push((c"source".into(), Some(text(&mount.source)?)));
    }
    for (key, value) in &mount.options {
        options.extend(expand(mount, key, value.as_deref())?);
    }
    Ok(Source::New { fstype: text(&mount.fstype)?, options })
}

/// A joined `lowerdir=a:b` becomes one `lowerdir+` each, which has no length limit.
fn expand(mount: &RootMount, key: &str, value: Option<&str>) -> Result<Vec<MountOption>, Error> {
    match value {
        Some(value)
            if mount.fstype == "overlay"
                && key == "lowerdir"
                && !value.contains(['\\', '\0'])
                && !value.contains("::") =>
        {
            value.split(':').map(|layer| Ok((c"lowerdir+".into(), Some(text(layer)?)))).collect()
        }
        Some(value) => Ok(vec![(text(key)?, Some(text(value)?))]),
        None => Ok(vec![(text(key)?, None)]),
    }
}

fn text(value: &str) -> Result<std::ffi::CString, Error> {
    c_string("root file system", value)
}

fn attributes(flags: u64) -> u64 {
    let table = [
        (MsFlags::MS_RDONLY, attr::MOUNT_ATTR_RDONLY),
        (MsFlags::MS_NOSUID, attr::MOUNT_ATTR_NOSUID),
        (MsFlags::MS_NODEV, attr::MOUNT_ATTR_NODEV),
        (MsFlags::MS_NOEXEC, attr::MOUNT_ATTR_NOEXEC),
        (MsFlags::MS_NOATIME, attr::MOUNT_ATTR_NOATIME),
        (MsFlags::MS_NODIRATIME, attr::MOUNT_ATTR_NODIRATIME),
    ];
    let wanted = table.iter().filter(|(flag, _)| flags & flag.bits() != 0);
    wanted.fold(0, |all, (_, bit)| all | bit)
}

fn below(mount: &RootMount) -> Result<Mount, Error> {
    Ok(Mount {
        source: source(mount)?,
        own: Attributes { set: attributes(mount.flags), ..Attributes::default() },
        below: Attributes { propagation: MsFlags::MS_PRIVATE.bits(), ..Attributes::default() },
        ..Mount::at(text(&format!("/{}", mount.target.trim_start_matches('/')))?)
    })
}

/// The overlay in the words of `mount(2)`, if it fits a page: else with the layers' names relative to their directory.
fn classic(mount: &RootMount) -> Result<Option<Classic>, Error> {
    if is_bind(mount) || mount.fstype != "overlay" {
        return Ok(None);
    }
    let of_layer = |(key, value): &(String, Option<String>)| (key == "lowerdir+").then(|| value.clone()).flatten();
    let lowers: Vec<String> = mount.options.iter().filter_map(of_layer).collect();
    let mut directory = None;
    let mut data = classic_data(mount, &lowers);
    if data.len() > CLASSIC_DATA
        && let Some((common, names)) = common_directory(&lowers)
    {
        data = classic_data(mount, &names);
        directory = Some(text(common)?);
    }
    if data.len() > CLASSIC_DATA {
        return Ok(None);
    }
    Ok(Some(Classic { fstype: text(&mount.fstype)?, flags: mount.flags, data: text(&data)?, directory }))
}

fn classic_data(mount: &RootMount, lowers: &[String]) -> String {
    let lowers: Vec<_> = lowers.iter().map(|layer| escape(layer, true)).collect();
    let mut words = Vec::new();
    if !lowers.is_empty() {
        words.push(format!("lowerdir={}", lowers.join(":")));
    }
    let others = mount.options.iter().filter(|(key, _)| key != "lowerdir+");
    words.extend(others.map(|(key, value)| match value {
        Some(value) => format!("{key}={}", escape(value, false)),
        None => key.clone(),
    }));
    words.join(",")
}

/// The directory that most layers lie in, and the layers as seen from there.
fn common_directory(lowers: &[String]) -> Option<(&str, Vec<String>)> {
    let (directory, _) = lowers.last()?.rsplit_once('/')?;
    let shorten = |layer: &String| match layer.rsplit_once('/') {
        Some((parent, name)) if parent == directory => name.to_owned(),
        _ => layer.clone(),
    };
    Some((directory, lowers.iter().map(shorten).collect()))
}

/// Commas separate options, colons separate layers; overlay takes a backslash before either.
fn escape(path: &str, layer: bool) -> String {
    let special = |c: char| c == ',' || (layer && (c == ':' || c == '\\'));
    let mut escaped = String::new();
    for c in path.chars() {
        if special(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(options: &[(&str, &str)]) -> RootMount {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect();
        RootMount { fstype: "overlay".into(), options, ..RootMount::default() }
    }

    #[test]
    fn joined_layers_are_added_one_by_one() {
        let Source::New { options, .. } = source(&overlay(&[("lowerdir", "/a:/b"), ("upperdir", "/u")])).unwrap()
        else {
            panic!("not a file system")
        };
        let keys: Vec<_> = options.iter().map(|(key, _)| key.to_str().unwrap()).collect();
        assert_eq!(keys, ["lowerdir+", "lowerdir+", "upperdir"]);
    }

    #[test]
    fn the_classic_form_joins_and_escapes() {
        let mount = overlay(&[("lowerdir+", "/a:1"), ("lowerdir+", "/b,2"), ("upperdir", "/u")]);
        let data = classic(&mount).unwrap().unwrap().data;
        assert_eq!(data.to_str().unwrap(), r"lowerdir=/a\:1:/b\,2,upperdir=/u");
        let long = "x".repeat(5000);
        assert_eq!(classic(&overlay(&[("lowerdir+", &long)])).unwrap(), None);
    }

    #[test]
    fn the_classic_form_of_many_layers_is_relative() {
        let layers: Vec<String> =
            (10..90).map(|n| format!("/a/rather/long/way/to/the/directory/of/all/layers/{n}")).collect();
        let options: Vec<_> = layers.iter().map(|layer| ("lowerdir+", layer.as_str())).collect();
        let made = classic(&overlay(&options)).unwrap().unwrap();
        assert_eq!(made.directory.unwrap().to_str().unwrap(), "/a/rather/long/way/to/the/directory/of/all/layers");
        assert!(made.data.to_str().unwrap().starts_with("lowerdir=10:11:12:"));
    }

    #[test]
    fn a_root_must_be_there_and_first() {
        assert!(steps(&[], true).is_err());
        assert!(steps(&[RootMount { target: "a".into(), ..overlay(&[]) }], true).is_err());
    }
}
