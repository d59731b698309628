//! Labels of security modules: of the process, and of the file systems that are mounted for it.

use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::label::{Label, Module};
use crate::init::steps::mount::Source;
use crate::init::steps::root::Classic;
use crate::plan_text::c_string;
use oci_spec::runtime::{Process, Spec};
use std::ffi::{CStr, CString};

/// File systems whose labels are the kernel's own affair.
const OWN_LABELS: [&CStr; 5] = [c"proc", c"sysfs", c"selinuxfs", c"cgroup", c"cgroup2"];
/// This one takes no label when it is mounted, but its root does afterwards.
const LABELLED_LATER: &CStr = c"mqueue";

fn asked(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty() && *text != "unconfined")
}

/// A module that this kernel has not, or that is off, protects nobody.
fn demand(module: Module) -> Result<(), Error> {
    if module.is_on() {
        return Ok(());
    }
    Err(Error::invalid("spec", format!("it asks for {}, which is off on this host", module.name())))
}

/// Labels of the process itself.
pub(super) fn of_process(process: &Process) -> Result<Vec<Label>, Error> {
    let profile = asked(process.apparmor_profile()).map(|profile| (Module::AppArmor, format!("exec {profile}")));
    let context = asked(process.selinux_label()).map(|label| (Module::SeLinux, label.to_owned()));
    let label = |(module, value): (Module, String)| {
        demand(module)?;
        Ok(Label { module, value: c_string("security label", value)? })
    };
    profile.into_iter().chain(context).map(label).collect()
}

/// The label of everything that is mounted for the container. Where the kernel has no labels nothing is the less protected.
pub(super) fn of_mounts(spec: &Spec) -> Result<Option<CString>, Error> {
    let Some(label) = spec.linux().as_ref().and_then(|linux| asked(linux.mount_label())) else { return Ok(None) };
    if !Module::SeLinux.is_on() {
        return Ok(None);
    }
    if label.contains('"') {
        return Err(Error::invalid("mountLabel", "a quotation mark cannot stand in it"));
    }
    c_string("mountLabel", label).map(Some)
}

/// Has the file systems that `steps` make labelled.
pub(super) fn put_on(steps: &mut [Step], label: &CStr) {
    for step in steps {
        match step {
            Step::Root(root) => {
                put_on_source(&mut root.source, label);
                root.classic.iter_mut().for_each(|classic| put_on_classic(classic, label));
            }
            Step::Mount(mount) => match &mount.source {
                Source::New { fstype, .. } if fstype.as_c_str() == LABELLED_LATER => mount.label = Some(label.into()),
                _ => put_on_source(&mut mount.source, label),
            },
            Step::Mask(mask) => mask.options.push((c"context".into(), Some(label.into()))),
            _ => {}
        }
    }
}

fn put_on_source(source: &mut Source, label: &CStr) {
    if let Source::New { fstype, options } = source
        && !OWN_LABELS.contains(&fstype.as_c_str())
    {
        options.push((c"context".into(), Some(label.into())));
    }
}

/// In the text of `mount(2)` a comma ends an option unless it is quoted; levels have commas.
fn put_on_classic(classic: &mut Classic, label: &CStr) {
    let separator: &[u8] = if classic.data.is_empty() { b"" } else { b"," };
    let text = [classic.data.to_bytes(), separator, b"context=\"", label.to_bytes(), b"\""].concat();
    // Neither part has a NUL, so this cannot fail.
    classic.data = CString::new(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::steps::mask::Mask;
    use crate::init::steps::mount::Mount;

    const LABEL: &CStr = c"system_u:object_r:container_file_t:s0:c1,c2";

    fn new(fstype: &CStr) -> Step {
        let source = Source::New { fstype: fstype.into(), options: Vec::new() };
        Step::Mount(Mount { source, ..Mount::at(c"/x".into()) })
    }

    fn context(step: &Step) -> Option<&CStr> {
        let Step::Mount(mount) = step else { return None };
        let Source::New { options, .. } = &mount.source else { return None };
        options.iter().find(|(key, _)| key.as_c_str() == c"context").and_then(|(_, value)| value.as_deref())
    }

    #[test]
    fn file_systems_that_have_labels_get_them() {
        let mut steps = [c"tmpfs", c"devpts", c"overlay", c"proc", c"sysfs", c"cgroup2", c"mqueue"].map(new);
        put_on(&mut steps, LABEL);
        let labelled: Vec<bool> = steps.iter().map(|step| context(step) == Some(LABEL)).collect();
        assert_eq!(labelled, [true, true, true, false, false, false, false]);
        let later = |step: &Step| matches!(step, Step::Mount(mount) if mount.label.as_deref() == Some(LABEL));
        assert!(later(&steps[6]) && !later(&steps[0]));
    }

    #[test]
    fn binds_keep_their_labels_and_masks_get_one() {
        let source = Source::Bind { path: c"/here".into(), recursive: true, inside: None };
        let bind = Step::Mount(Mount { source, ..Mount::at(c"/x".into()) });
        let mut steps = [bind.clone(), Step::Mask(Mask { path: c"/x".into(), options: Vec::new() })];
        put_on(&mut steps, LABEL);
        assert_eq!(steps[0], bind);
        assert!(matches!(&steps[1], Step::Mask(mask) if mask.options.len() == 1));
    }

    #[test]
    fn the_label_is_quoted_in_text() {
        let classic = |data: &CStr| Classic { fstype: c"overlay".into(), flags: 0, data: data.into(), directory: None };
        let mut with = classic(c"lowerdir=/a:/b");
        put_on_classic(&mut with, LABEL);
        let wanted = c"lowerdir=/a:/b,context=\"system_u:object_r:container_file_t:s0:c1,c2\"";
        assert_eq!(with.data.as_c_str(), wanted);
        let mut alone = classic(c"");
        put_on_classic(&mut alone, c"x");
        assert_eq!(alone.data.as_c_str(), c"context=\"x\"");
    }
}
