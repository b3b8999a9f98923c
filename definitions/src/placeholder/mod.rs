//! Placeholders: what a sandbox is given for a credential, for clients that insist on one.
//!
//! A placeholder looks like a token of its provider ([`Shape`]) and opens nothing. It is made of a
//! key of the installation and of whose and for what it is ([`PlaceholderKey`]): so it is the same
//! one after every restart, nobody can make another sandbox's, and whoever has the key knows any of
//! them without a list ([`Recogniser`]). Nothing here knows a secret but [`Stream`], which puts one
//! in the place of a placeholder.
//!
//! Placeholders are made of characters that stand for themselves in a URL, a form, JSON, a header
//! and a cookie: `A-Z a-z 0-9 - . _ ~`. What shows one in another spelling did so on purpose.

mod key;
mod recognise;
mod shape;
mod stream;
mod view;

pub use key::{BadKey, CODE_BYTES, MARK, Owner, PlaceholderKey};
pub use recognise::{Found, Known, Recogniser, Whose, may_hold_code};
pub use shape::{DEFAULT_SHAPE, SHAPE_BYTES_MAX, Shape, ShapeError, is_variable};
pub use stream::{Misuse, Passed, Stream, Substitute};
pub use view::{Spelling, View, has_needless_escape};
