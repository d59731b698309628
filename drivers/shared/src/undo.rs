//! Inverses of what was done, undone in reverse.

type Act<'a, E> = Box<dyn FnOnce() -> Result<(), E> + 'a>;

/// The inverses of an act in several steps.
pub struct Undo<'a, E> {
    acts: Vec<Act<'a, E>>,
}

impl<E> Default for Undo<'_, E> {
    fn default() -> Self {
        Undo { acts: Vec::new() }
    }
}

impl<'a, E> Undo<'a, E> {
    /// Adds an inverse.
    pub fn push(&mut self, act: impl FnOnce() -> Result<(), E> + 'a) {
        self.acts.push(Box::new(act));
    }

    /// Undoes everything; goes on after a failure and tells of each.
    pub fn run(&mut self, mut tell: impl FnMut(E)) {
        while let Some(act) = self.acts.pop() {
            if let Err(error) = act() {
                tell(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn backwards_and_to_the_end() {
        let done = RefCell::new(Vec::new());
        let mut undo = Undo::default();
        for number in 1..=3 {
            let done = &done;
            undo.push(move || {
                done.borrow_mut().push(number);
                if number == 2 { Err("two") } else { Ok(()) }
            });
        }
        let mut failed = Vec::new();
        undo.run(|error| failed.push(error));
        assert_eq!((done.take(), failed), (vec![3, 2, 1], vec!["two"]));
    }
}
