//! Questions about all requests at once, decided and not sampled: which routes contradict each
//! other, which can never win, what two plans decide differently, whether an assertion holds.
//!
//! Every claim comes with a request that shows it, which can be put to the table. Nothing here
//! depends on how the table is laid out.

mod assertion;
mod conflict;
mod content;
mod decide;
mod diff;
mod explore;
mod facts;
mod findings;
mod outcome;
mod place;
mod product;
mod region;
mod replay;
mod tree;
mod tunnel;
mod unreachable;
mod witness;
mod words;

pub use diff::{Diff, diff};
pub use outcome::Outcome;
pub use region::{Methods, Region, Side};
pub use replay::{By, Change, How, Recorded, replay};
pub use witness::Witness;

pub(crate) use findings::findings;
