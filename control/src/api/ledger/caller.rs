//! Who calls: whoever has the secret of a connection.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};

use super::super::problem::{self, Problem};
use crate::domain::approval::Ledger;
use crate::domain::{DomainError, Fault};
use crate::ledger::{TOKEN_HEADER, identify};
use crate::service::Control;

/// A caller that proved itself: for one organisation, or for several that have the same secret.
#[derive(Debug)]
pub(super) struct FromLedger(Vec<Ledger>);

impl FromLedger {
    /// The one organisation that is meant.
    pub(super) fn one(&self) -> Result<&Ledger, Problem> {
        match self.0.as_slice() {
            [one] => Ok(one),
            _ => {
                let message = "several organisations have this secret: name the project";
                Err(DomainError::new(Fault::Conflict, "ledger_ambiguous", message).into())
            }
        }
    }

    /// Another organisation is as absent as one that never was.
    pub(super) fn of(&self, organisation: &str) -> Result<&Ledger, Problem> {
        let mut all = self.0.iter();
        all.find(|ledger| ledger.organisation == organisation).ok_or_else(Problem::absent)
    }
}

fn unproven() -> Problem {
    let detail = "the call is not proven to be ClawLedger's";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

impl FromRequestParts<Control> for FromLedger {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(TOKEN_HEADER).iter().map(HeaderValue::as_bytes);
        let token = given.next().filter(|token| !token.is_empty()).ok_or_else(unproven)?;
        if given.next().is_some() {
            return Err(unproven());
        }
        let found = identify(control, token).await?;
        if found.is_empty() { Err(unproven()) } else { Ok(Self(found)) }
    }
}

impl OperationInput for FromLedger {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        let requirement = [("ledger".to_owned(), Vec::new())].into_iter().collect();
        operation.security = vec![requirement];
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        problem::responses(ctx, operation, &[401, 403, 500, 503])
    }
}
