//! `Idempotency-Key`: a request that creates something may be sent again.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;

use super::parameters::header_parameter;
use super::problem::Problem;
use crate::credentials::Vault;
use crate::domain::{Act, DomainError, Once, PriorAnswer};
use crate::store::Transaction;
use crate::token::sha256_hex;

const HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 128;

/// The key of a request, if it has one.
#[derive(Debug)]
pub(super) struct IdempotencyKey {
    key: Option<String>,
    request: String,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let key = parts.headers.get(HEADER).map(|value| value.to_str().unwrap_or_default());
        let fine = |key: &str| {
            !key.is_empty()
                && key.len() <= KEY_BYTES_MAX
                && key.bytes().all(|b| b.is_ascii_graphic())
        };
        if key.is_some_and(|key| !fine(key)) {
            let detail = format!("`Idempotency-Key` is 1 to {KEY_BYTES_MAX} printable characters");
            return Err(Problem::bad_request(detail));
        }
        let request = format!("{} {}", parts.method, parts.uri);
        Ok(Self { key: key.map(str::to_owned), request })
    }
}

impl OperationInput for IdempotencyKey {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let text = "A request that is sent again with its key gets the first one's answer, \
                    for a day.";
        header_parameter(ctx, operation, (HEADER, text));
    }
}

/// A request that may have been answered before.
#[derive(Debug)]
pub(super) struct Repeatable(Option<Once>);

impl IdempotencyKey {
    pub(super) fn of(self, act: &Act, organisation: &str, body: &[u8]) -> Repeatable {
        let Self { key, request } = self;
        Repeatable(key.map(|key| {
            let body = sha256_hex(&String::from_utf8_lossy(body));
            let request_sha256 = sha256_hex(&format!("{organisation} {request} {body}"));
            Once { owner: act.actor.clone(), key, request_sha256, now_ms: act.now_ms }
        }))
    }
}

impl Repeatable {
    pub(super) async fn prior(
        &self,
        transaction: &mut dyn Transaction,
        vault: &Vault,
    ) -> Result<Option<PriorAnswer>, DomainError> {
        match &self.0 {
            Some(once) => once.prior(transaction, vault).await,
            None => Ok(None),
        }
    }

    /// The answer with this view, remembered where the request has a key.
    pub(super) async fn answer(
        &self,
        transaction: &mut dyn Transaction,
        vault: &Vault,
        view: &(impl Serialize + Sync),
    ) -> Result<PriorAnswer, DomainError> {
        let body = serde_json::to_string(view).unwrap_or_default();
        let answer = PriorAnswer { status: 201, body };
        if let Some(once) = &self.0 {
            once.remember(transaction, vault, &answer).await?;
        }
        Ok(answer)
    }
}
