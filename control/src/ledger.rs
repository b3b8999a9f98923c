//! ClawLedger, where decisions about held requests are made elsewhere: who is calling. A call
//! carries the secret of a connection to an enabled target of the family `clawledger`.

use std::collections::BTreeMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::credentials::{Place, Plaintext, Sealed};
use crate::domain::DomainError;
use crate::domain::approval::Ledger;
use crate::service::Control;
use crate::store::Access;
use crate::values;

/// The header that carries the secret.
pub const TOKEN_HEADER: &str = "x-clawledger-token";
/// Connections with one fingerprint: more are not tried.
const CANDIDATES_MAX: i64 = 16;

/// Everybody whose secret this is, one for each organisation. None: nobody's.
pub async fn identify(control: &Control, token: &[u8]) -> Result<Vec<Ledger>, DomainError> {
    let given = Plaintext::new(token.to_vec());
    // The fingerprint finds who may be meant, however many organisations there are. It is made of
    // a hash, so how long the look-up takes says nothing about secrets.
    let sql = "SELECT cr.id, cr.organisation_id, cr.connection_id, cr.key_version, cr.ciphertext \
               FROM credentials cr JOIN connections c ON c.id = cr.connection_id \
               JOIN targets t ON t.target_key = c.target_key \
               WHERE cr.fingerprint = $1 AND cr.secret_type = 'webhook_secret' \
               AND c.deleted_at IS NULL AND c.status <> 'revoked' AND t.enabled = 1 \
               AND t.definition LIKE 'clawledger::%' ORDER BY c.id LIMIT $2";
    let mut transaction = control.store.begin(Access::Read).await?;
    let rows = transaction.fetch(sql, values![given.fingerprint(), CANDIDATES_MAX]).await?;
    let mut found = BTreeMap::new();
    for mut row in rows {
        let (id, organisation, connection) = (row.text()?, row.text()?, row.text()?);
        let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let secret = control.vault.open(&mut *transaction, &organisation, place, &sealed).await?;
        if verify_slices_are_equal(secret.expose(), given.expose()).is_ok() {
            found.entry(organisation).or_insert(connection);
        }
    }
    let ledger = |(organisation, connection)| Ledger { organisation, connection };
    Ok(found.into_iter().map(ledger).collect())
}
