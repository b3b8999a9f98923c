//! `/internal/approvals`: what a proxy asks about the requests that it holds. It decides nothing:
//! whether a request may pass is said here, and a yes for one request is used up here.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{Answer, Found};
use super::body::Body;
use super::internal::AsProxy;
use super::parameters::{InPath, InQuery};
use super::problem::Problem;
use crate::domain::approval::{Approval, Wanted};
use crate::fleet::{ApprovalTold, AskBody, ClaimBody, Claimed, Ruled};
use crate::service::Control;

pub(super) fn routes() -> ApiRouter<Control> {
    const ALL: &str = "/internal/approvals";
    ApiRouter::new()
        .api_route(
            ALL,
            post_with(ask, |o| o.id("askApproval").summary("Whether a held request may pass")),
        )
        .api_route(
            &format!("{ALL}/claim"),
            post_with(claim, |o| o.id("claimApproval").summary("Use up a yes for one request")),
        )
        .api_route(
            &format!("{ALL}/{{approvalId}}"),
            get_with(find, |o| {
                o.id("getApprovalOfSandbox").summary("How an approval of a sandbox stands")
            }),
        )
}

/// A hash is 32 bytes.
fn hash(text: &str) -> Result<[u8; 32], Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Problem::bad_request("`requestSha256` is not 32 bytes in base64url"))
}

async fn ask(
    State(control): State<Control>,
    _: AsProxy,
    body: Body<AskBody>,
) -> Result<Found<Ruled>, Problem> {
    let AskBody { sandbox_id, route, method, url, request_sha256 } = body.value;
    let request_sha256 = hash(&request_sha256)?;
    let wanted = Wanted { sandbox: sandbox_id, route, method, url, request_sha256 };
    let stands = control.ask_approval(&wanted).await?;
    Ok(Answer::of(&Ruled::from(stands)))
}

async fn claim(
    State(control): State<Control>,
    _: AsProxy,
    body: Body<ClaimBody>,
) -> Result<Found<Claimed>, Problem> {
    let ClaimBody { sandbox_id, approval_id } = &body.value;
    let claimed = control.claim_approval((sandbox_id, approval_id)).await?;
    Ok(Answer::of(&Claimed { claimed }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    approval_id: String,
}

/// Whose it is: another sandbox's is absent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ApprovalOf")]
struct Of {
    #[schemars(length(max = 100))]
    sandbox_id: String,
}

async fn find(
    State(control): State<Control>,
    _: AsProxy,
    InPath(which): InPath<Which>,
    InQuery(of): InQuery<Of>,
) -> Result<Found<ApprovalTold>, Problem> {
    let found: Approval = control.sandbox_approval((&of.sandbox_id, &which.approval_id)).await?;
    Ok(Answer::of(&ApprovalTold::from(found)))
}
