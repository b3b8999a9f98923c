//! What an exchange tells its HTTP/1 upstream stream, and learns from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderName;
use sallygate_definitions::placeholder::Recogniser;

use crate::request::{Reader, Slot};
use crate::stream::answer::Asked;

/// One attempt to have an exchange answered over HTTP/1.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) slot: Arc<Slot>,
    pub(crate) asked: Asked,
    /// How the sandbox takes trailers.
    pub(crate) reader: Reader,
    /// The stream is to become something else.
    pub(crate) is_upgrade: bool,
    /// A request body is coming.
    pub(crate) has_body: bool,
    /// The fields that the provider takes credentials from.
    pub(crate) credentials: Vec<HeaderName>,
    /// What placeholders are known by: none follows a body.
    pub(crate) recogniser: Option<Arc<Recogniser>>,
    pub(crate) reused: AtomicBool,
}

impl Journey {
    /// Whether the stream has served another exchange before.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused.load(Ordering::Relaxed)
    }
}
