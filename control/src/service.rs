//! The control service: what its parts share.

use std::sync::Arc;

use sallygate_definitions::Registry;

use crate::change;
use crate::clock::Clock;
use crate::credentials::Vault;
use crate::domain::resolve::{self, Credential};
use crate::domain::{Act, DomainError, organisation, proxy, token};
use crate::feed::Feed;
use crate::login::Login;
use crate::resolver;
use crate::store::Store;
use crate::webhook::Webhooks;

/// The control service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    pub store: Store,
    pub vault: Vault,
    pub registry: Arc<Registry>,
    pub clock: Clock,
    pub feed: Feed,
    /// How people sign in, where that is configured.
    pub login: Option<Arc<Login>>,
    pub webhooks: Webhooks,
}

impl Control {
    /// Makes what a first start makes: an organisation, and the operator's token as one that is
    /// let in. Changes nothing when both are there.
    pub async fn prepare(&self, operator_token: &str) -> Result<(), DomainError> {
        let act = Act { actor: "installation".to_owned(), now_ms: self.clock.now_ms() };
        change!(self.store, |transaction| {
            let none = crate::domain::Page { after: String::new(), most: 1 };
            if organisation::list(transaction, &none).await?.items.is_empty() {
                organisation::create(transaction, &act, organisation::FIRST_NAME).await?;
            }
            proxy::name_installation(transaction).await?;
            token::admit_operator(transaction, operator_token, act.now_ms).await
        })
    }

    /// The credential that a sandbox's request needs, or why it does not get it.
    pub async fn resolve(&self, wanted: &resolve::Wanted) -> Result<Credential, DomainError> {
        resolver::resolve(self, wanted).await
    }
}
