//! What this kernel has to confine containers with.

use crate::init::steps::label::Module;

/// Whether SELinux is there and on.
pub fn has_selinux() -> bool {
    Module::SeLinux.is_on()
}
