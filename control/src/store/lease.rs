//! What only one process may do at a time, with a fence: a number that grows with every holder.
//! A holder that was away too long finds its number out of date and changes nothing.

use super::database::{Transaction, fetch_optional};
use super::{Store, StoreError};
use crate::{change, values};

/// How far apart the clocks of two processes may be, in milliseconds: for so long a lease that ran
/// out by our clock is left alone, as its holder's may say otherwise. One that ends later than
/// anybody could have asked for is of before a clock was set back, and nobody's.
pub const CLOCKS_APART_MS: i64 = 60_000;

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub holder: String,
    pub fence: i64,
    pub expires_ms: i64,
}

impl Store {
    /// Takes the lease, or holds it longer. `None`: another holder has it.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        (now_ms, expires_ms): (i64, i64),
    ) -> Result<Option<Lease>, StoreError> {
        change!(self, |transaction| {
            let current = current(transaction, name).await?;
            let fence = match current {
                None => 1,
                Some((ref same, fence, _)) if same == holder => fence,
                Some((_, fence, until)) if is_over(until, (now_ms, expires_ms)) => fence + 1,
                Some(_) => return Ok(None),
            };
            let write = "INSERT INTO leases (name, holder, fence, expires_at) \
                         VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE \
                         SET holder = $2, fence = $3, expires_at = $4";
            transaction.execute(write, values![name, holder, fence, expires_ms]).await?;
            let (name, holder) = (name.to_owned(), holder.to_owned());
            Ok(Some(Lease { name, holder, fence, expires_ms }))
        })
    }

    /// Gives the lease back, if it is still held.
    pub async fn drop_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        change!(self, |transaction| {
            let end = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND fence = $2";
            transaction.execute(end, values![&lease.name, lease.fence]).await?;
            Ok(())
        })
    }
}

impl Lease {
    /// Whether the lease is still this one. Asked inside of the transaction that relies on it.
    pub async fn is_held(&self, transaction: &mut dyn Transaction) -> Result<bool, StoreError> {
        let current = current(transaction, &self.name).await?;
        Ok(current.is_some_and(|(holder, fence, _)| holder == self.holder && fence == self.fence))
    }
}

/// Whether a lease of another one that ends at `until` is over for who asks for one now.
fn is_over(until: i64, (now_ms, expires_ms): (i64, i64)) -> bool {
    let ran_out = until.saturating_add(CLOCKS_APART_MS) <= now_ms;
    ran_out || until > expires_ms.saturating_add(CLOCKS_APART_MS)
}

async fn current(
    transaction: &mut dyn Transaction,
    name: &str,
) -> Result<Option<(String, i64, i64)>, StoreError> {
    let find = "SELECT holder, fence, expires_at FROM leases WHERE name = $1";
    let Some(mut row) = fetch_optional(transaction, find, values![name]).await? else {
        return Ok(None);
    };
    Ok(Some((row.text()?, row.integer()?, row.integer()?)))
}
