//! A place in an upstream where it waits for the test, and the test for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::PATIENCE;

/// The upstream's side.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    reached: Sender<()>,
    opened: Arc<Mutex<Receiver<()>>>,
}

/// The test's side. Dropped, it lets everybody pass.
#[derive(Debug)]
pub(crate) struct Keeper {
    reached: Receiver<()>,
    open: Sender<()>,
}

pub(crate) fn gate() -> (Gate, Keeper) {
    let (reached, is_reached) = channel();
    let (open, opened) = channel();
    let gate = Gate { reached, opened: Arc::new(Mutex::new(opened)) };
    (gate, Keeper { reached: is_reached, open })
}

impl Gate {
    /// Tells the test that this is reached.
    pub(crate) fn knock(&self) {
        // A test that is over is no longer interested.
        self.reached.send(()).ok();
    }

    /// Tells the test that this is reached, and waits until it may go on.
    pub(crate) fn pass(&self) {
        self.knock();
        self.opened.lock().expect("no upstream panicked").recv().ok();
    }
}

impl Keeper {
    /// Waits until the upstream is at the gate.
    #[track_caller]
    pub(crate) fn wait(&self) {
        assert!(self.reached.recv_timeout(PATIENCE).is_ok(), "the upstream never came that far");
    }

    pub(crate) fn open(&self) {
        self.open.send(()).ok();
    }
}
