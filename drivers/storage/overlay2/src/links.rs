//! Short names for layers: `l/<short>` leads to `../layers/<id>`.
//!
//! The short name follows from the id, so it is stored nowhere: the two halves of the 256 bits, exclusive-or'ed, in
//! base 32. Links are made before the commit and healed when one is missing; a dangling one is swept.

use crate::error::Error;
use gantry_driver_shared::layers::{Layers, LayersError, Sort, check_id};
use gantry_driver_shared::tree::TreeError;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

/// The folder of the links.
pub const FOLDER: &str = "l";

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The link of a layer, relative to the store.
pub fn relative(id: &str) -> Result<String, LayersError> {
    check_id(id)?;
    let half = |text: &str| u128::from_str_radix(text, 16).map_err(|_| LayersError::Id(id.to_owned()));
    let mut bits = half(&id[..32])? ^ half(&id[32..])?;
    let mut path = String::with_capacity(28);
    path.push_str("l/");
    for _ in 0..26 {
        path.push(ALPHABET[(bits & 31) as usize] as char);
        bits >>= 5;
    }
    Ok(path)
}

/// Makes the link of a layer.
pub fn make(layers: &Layers, id: &str) -> Result<(), Error> {
    let link = relative(id)?;
    match symlinkat(format!("../layers/{id}").as_str(), layers.dir(), link.as_str()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(TreeError::new("create", layers.root().join(link), error).into()),
    }
}

/// The link of a committed layer, made anew when a crash has swallowed it; `None` when the layer is not there.
pub fn find(layers: &Layers, id: &str) -> Result<Option<String>, Error> {
    let link = relative(id)?;
    match fstatat(layers.dir(), link.as_str(), AtFlags::empty()) {
        Ok(_) => Ok(Some(link)),
        Err(Errno::ENOENT) if layers.has(Sort::Image, id)? => {
            make(layers, id)?;
            Ok(Some(link))
        }
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(TreeError::new("look at", layers.root().join(link), error).into()),
    }
}

/// Deletes the link of a layer.
pub fn delete(layers: &Layers, id: &str) -> Result<(), Error> {
    let link = relative(id)?;
    match unlinkat(layers.dir(), link.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(TreeError::new("delete", layers.root().join(link), error).into()),
    }
}

/// Deletes links that lead nowhere. One of a layer that is committed at this moment is healed by [`find`].
pub fn sweep(layers: &Layers) -> Result<(), Error> {
    for name in layers.names(FOLDER)? {
        let link = format!("{FOLDER}/{}", name.to_string_lossy());
        if fstatat(layers.dir(), link.as_str(), AtFlags::empty()) == Err(Errno::ENOENT) {
            match unlinkat(layers.dir(), link.as_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => return Err(TreeError::new("delete", layers.root().join(link), error).into()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_differ_and_fit() {
        let names: std::collections::HashSet<String> =
            (0..1000).map(|n| relative(&format!("{n:064x}")).unwrap()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|n| n.len() == 28));
        assert!(relative("zz").is_err());
    }
}
