//! Sha256 over the processor's own instructions, as the types of the model.

use gantry_model::digest::{ChainId, DiffId, Digest};
use sha2::Digest as _;

/// A running sha256.
#[derive(Default, Clone)]
pub(crate) struct Hasher(sha2::Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// The digest of bytes that are all here.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// The chain ids of a stack of layers, bottom first.
pub fn chain_ids(diffs: &[DiffId]) -> Vec<ChainId> {
    let mut chain: Vec<ChainId> = Vec::with_capacity(diffs.len());
    for diff in diffs {
        let next = match chain.last() {
            None => ChainId::base(*diff),
            Some(below) => ChainId(sha256(below.input(diff).as_bytes())),
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains() {
        let diff = DiffId(sha256(b""));
        let chain = chain_ids(&[diff, diff]);
        assert_eq!(chain[0].0, diff.0);
        assert_eq!(chain[1].0, sha256(format!("{diff} {diff}").as_bytes()));
    }
}
