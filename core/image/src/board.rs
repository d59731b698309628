//! Who of several threads has unpacked which layer of a stack, for those that need the layers below theirs.
//!
//! Layers are begun from the bottom, and a layer waits for lower ones only: nobody waits in a circle.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug)]
enum Stage {
    /// Not yet unpacked.
    Open,
    /// In this directory, or in the storage driver's care.
    There(Option<PathBuf>),
    Failed,
}

/// The stages of all layers, from the bottom.
pub(crate) struct Board {
    stages: Mutex<Vec<Stage>>,
    changed: Condvar,
}

/// A layer's turn; dropped before its end, the layer has failed.
pub(crate) struct Turn<'b> {
    board: &'b Board,
    index: usize,
}

impl Board {
    /// Which layers the driver has already.
    pub(crate) fn new(known: impl Iterator<Item = bool>) -> Self {
        let stages = known.map(|known| if known { Stage::There(None) } else { Stage::Open });
        Self { stages: Mutex::new(stages.collect()), changed: Condvar::new() }
    }

    /// Begins a layer.
    pub(crate) fn turn(&self, index: usize) -> Turn<'_> {
        Turn { board: self, index }
    }

    /// Waits for all layers below one; answers the directories of those unpacked just now. `None` if one failed.
    pub(crate) fn wait_below(&self, index: usize) -> Option<Vec<Option<PathBuf>>> {
        let open = |stages: &mut Vec<Stage>| {
            let below = &stages[..index];
            let failed = below.iter().any(|stage| matches!(stage, Stage::Failed));
            !failed && below.iter().any(|stage| matches!(stage, Stage::Open))
        };
        let stages = self.changed.wait_while(self.lock(), open).unwrap_or_else(PoisonError::into_inner);
        let there = stages[..index].iter().map(|stage| match stage {
            Stage::There(path) => Some(path.clone()),
            _ => None,
        });
        there.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stage>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, index: usize, stage: Stage) {
        self.lock()[index] = stage;
        self.changed.notify_all();
    }
}

impl Turn<'_> {
    /// The layer is in this directory; without one it failed.
    pub(crate) fn end(self, path: Option<&Path>) {
        if let Some(path) = path {
            self.board.set(self.index, Stage::There(Some(path.to_owned())));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if matches!(self.board.lock()[self.index], Stage::Open) {
            self.board.set(self.index, Stage::Failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_what_is_below_and_hears_of_failure() {
        let board = Board::new([true, false, false, false].into_iter());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| board.wait_below(2));
            board.turn(1).end(Some(Path::new("/one")));
            assert_eq!(waiting.join().unwrap(), Some(vec![None, Some("/one".into())]));
            let waiting = scope.spawn(|| board.wait_below(3));
            drop(board.turn(2));
            assert_eq!(waiting.join().unwrap(), None);
        });
    }
}
