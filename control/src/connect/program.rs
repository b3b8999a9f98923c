//! A program proves itself: nobody has to consent.

use sallygate_definitions::contract::method::ConnectionMethod;

use super::{Connect, Site, Who};
use crate::domain::DomainError;
use crate::domain::connection::{Consented, Wish};
use crate::oauth::Grant;

fn is_program(method: &ConnectionMethod) -> bool {
    matches!(method, ConnectionMethod::Oauth2ClientCredentials { .. })
}

impl Connect<'_> {
    /// Gets a first token: what cannot get one is no connection.
    pub async fn connect_program(
        &self,
        who: Who<'_>,
        wish: Wish,
    ) -> Result<Consented, DomainError> {
        let Self(control) = self;
        let site = Site::find(control, &wish.target_key).await?;
        let method = site.method(wish.method(), is_program)?;
        let wish = self.checked(who, Wish { method: method.id().to_owned(), ..wish }).await?;
        let client = site.client(method)?;
        let tokens = client.tokens(Grant::ClientCredentials, control.clock.now_ms()).await?;
        Ok(Consented { wish, tokens, subject: None })
    }
}
