//! Byte streams between a sandbox and the proxy.
//!
//! [`Wire`] is what Pingora reads from and writes to. It never lets a byte through that the
//! framing rules of [`head`] and [`framing`] have not accepted, so nothing behind it ever sees an
//! ambiguous message; it holds back what a client sends early, puts small writes together, and
//! enforces the deadlines that Pingora does not have.

pub(crate) mod answer;
pub(crate) mod framing;
mod h2_frames;
mod h2_path;
mod h2_session;
pub(crate) mod head;
pub(crate) mod lines;
mod message;
mod silence;
mod socket;
pub(crate) mod tls;
mod wire;
pub(crate) mod written;

pub(crate) use h2_frames::Signals;
pub(crate) use h2_session::H2Session;
pub(crate) use message::{Message, Sifted};
pub(crate) use silence::Silence;
pub(crate) use socket::{Replay, Socket};
pub(crate) use wire::{NextHead, Wire};
