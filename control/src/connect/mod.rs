//! Connections that are made at the provider: a person consents in a browser or on another device,
//! a program proves itself, an app is installed.
//!
//! A flow speaks to the provider first and holds no transaction while it does. What came of it is
//! kept by the domain, in one transaction: a process that dies in between leaves nothing.

mod consent;
mod device;
mod install;
mod program;
mod site;
mod subject;

pub use consent::{Begun, CameBack, Underway};
pub use device::Polled;
pub use install::Returned;
pub use site::Site;
pub(crate) use subject::bearer;

use crate::service::Control;

/// Who wants to connect.
#[derive(Clone, Copy, Debug)]
pub struct Who<'w> {
    pub organisation: &'w str,
    /// The token or session that asks: what it began, nobody else ends.
    pub session: &'w str,
}

/// The flows, over the service.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'c>(pub &'c Control);
