//! What is no longer in force, kept until nobody uses it.
//!
//! Freeing a table of 100 000 routes takes milliseconds, and without this the last request that was
//! admitted by it would pay them. Here everything that a swap takes out of force is held once more,
//! so that whoever lets go of it frees nothing; what only this holds is freed by [`Retired::sweep`],
//! which is never called on the data path.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ActivePlan;
use super::store::Generation;

/// Generations and plans that were in force.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<Out>);

#[derive(Debug, Default)]
struct Out {
    generations: Vec<Arc<Generation>>,
    plans: Vec<Arc<ActivePlan>>,
}

impl Retired {
    /// Takes what is out of force. INVARIANT: nothing of it can be found by looking at what is in
    /// force, so only whoever holds it already can go on holding it.
    pub(super) fn keep(&self, generation: Arc<Generation>, plans: Vec<Arc<ActivePlan>>) {
        let mut out = self.out();
        out.generations.push(generation);
        out.plans.extend(plans);
    }

    pub(super) fn is_empty(&self) -> bool {
        let out = self.out();
        out.generations.is_empty() && out.plans.is_empty()
    }

    /// Frees what nobody else holds any more.
    pub(super) fn sweep(&self) {
        // Generations first: they hold plans.
        let unused = take_unused(&mut self.out().generations);
        drop(unused);
        let unused = take_unused(&mut self.out().plans);
        drop(unused);
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is held only here. A count of one cannot rise again, by INVARIANT on [`Retired::keep`].
fn take_unused<T>(held: &mut Vec<Arc<T>>) -> Vec<Arc<T>> {
    held.extract_if(.., |one| Arc::strong_count(one) == 1).collect()
}
