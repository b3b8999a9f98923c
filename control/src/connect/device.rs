//! A person consents on another device.

use sallygate_definitions::contract::method::ConnectionMethod;

use super::consent::owner;
use super::{Connect, Site, Who};
use crate::domain::DomainError;
use crate::domain::connection::{Consented, Wish};
use crate::oauth::{Attempt, Begin, DeviceStarted, OAuthError};

const PURPOSE: &str = "device";

/// What a poll found.
#[derive(Debug)]
pub enum Polled {
    /// The person has not decided yet.
    Pending,
    Consented(Box<Consented>),
}

fn is_device(method: &ConnectionMethod) -> bool {
    matches!(method, ConnectionMethod::DeviceAuthorization { .. })
}

impl Connect<'_> {
    pub async fn begin_device(
        &self,
        who: Who<'_>,
        wish: Wish,
    ) -> Result<DeviceStarted, DomainError> {
        let Self(control) = self;
        let site = Site::find(control, &wish.target_key).await?;
        let method = site.method(wish.method(), is_device)?;
        let wish = self.checked(who, Wish { method: method.id().to_owned(), ..wish }).await?;
        let payload = wish.payload();
        let begin =
            Begin { owner: owner(who), purpose: PURPOSE, redirect_uri: "", payload: &payload };
        let with = (&control.store, &control.vault);
        Ok(site.client(method)?.start_device(with, begin, control.clock.now_ms()).await?)
    }

    /// Asks once whether the person has decided.
    pub async fn poll_device(
        &self,
        who: Who<'_>,
        (target_key, handle): (&str, &str),
    ) -> Result<Polled, DomainError> {
        let Self(control) = self;
        let (which, now_ms) = ((handle, who.session, PURPOSE), control.clock.now_ms());
        let (store, vault) = (&control.store, &control.vault);
        let attempt = Attempt::look(store, vault, which, now_ms).await?;
        let wish = Wish::from_payload(&attempt.payload)?;
        if attempt.owner != who.organisation || wish.target_key != target_key {
            return Err(OAuthError::UnknownState.into());
        }
        let site = Site::find(control, target_key).await?;
        let method = site.method(Some(&wish.method), is_device);
        let client = site.client(method.map_err(|_| OAuthError::UnknownState)?)?;
        match client.poll_device((store, vault), which, now_ms).await {
            Ok((_, tokens)) => {
                Ok(Polled::Consented(Box::new(Consented { wish, tokens, subject: None })))
            }
            Err(OAuthError::Pending { .. }) => Ok(Polled::Pending),
            Err(error) => Err(error.into()),
        }
    }
}
