//! The control service: what its parts share.

use std::sync::Arc;

use sallygate_definitions::Registry;

use crate::change;
use crate::clock::Clock;
use crate::credentials::Vault;
use crate::domain::approval::{self, Approval, Standing};
use crate::domain::resolve::{self, Credential};
use crate::domain::{Act, DomainError, organisation, proxy, token};
use crate::feed::Feed;
use crate::login::Login;
use crate::placeholders;
use crate::resolver;
use crate::secret_files::SecretFiles;
use crate::store::{Access, Store};
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
    /// Where the secrets are that setups name.
    pub setup_secrets: SecretFiles,
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
            placeholders::prepare(transaction, &self.vault, act.now_ms).await?;
            token::admit_operator(transaction, operator_token, act.now_ms).await
        })
    }

    /// The credential that a sandbox's request needs, or why it does not get it.
    pub async fn resolve(&self, wanted: &resolve::Wanted) -> Result<Credential, DomainError> {
        resolver::resolve(self, wanted).await
    }

    /// What stands about a request that a proxy holds. Asks for a decision where nothing does.
    pub async fn ask_approval(&self, wanted: &approval::Wanted) -> Result<Standing, DomainError> {
        let act = Act { actor: wanted.sandbox.clone(), now_ms: self.clock.now_ms() };
        // Most of the time something stands, and looking needs no turn of a writer.
        let mut transaction = self.store.begin(Access::Read).await?;
        let stands = approval::standing(&mut *transaction, wanted, act.now_ms).await?;
        drop(transaction);
        match stands {
            Some(stands) => Ok(stands),
            None => change!(self.store, |transaction| {
                approval::ask(transaction, &act, wanted).await
            }),
        }
    }

    /// Uses up a sandbox's yes for one request. `false`: it is not there any more.
    pub async fn claim_approval(&self, of: (&str, &str)) -> Result<bool, DomainError> {
        let now_ms = self.clock.now_ms();
        change!(self.store, |transaction| { approval::claim(transaction, of, now_ms).await })
    }

    /// An approval of this sandbox: another's is as absent as one that never was.
    pub async fn sandbox_approval(
        &self,
        (sandbox, id): (&str, &str),
    ) -> Result<Approval, DomainError> {
        let mut transaction = self.store.begin(Access::Read).await?;
        approval::of_sandbox(&mut *transaction, (sandbox, id), self.clock.now_ms()).await
    }
}
