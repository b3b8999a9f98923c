//! Who asks: the bearer of an API token, or a person with a session, in an organisation.
//!
//! A handler that takes a [`Reader`], [`Writer`] or [`Operator`] cannot run for anybody less.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};

use super::parameters::header_parameter;
use super::problem::{self, Problem};
use crate::change;
use crate::connect::Who;
use crate::domain::token::{self, ApiToken, Role};
use crate::domain::{Act, organisation};
use crate::login::{SESSION_COOKIE, Session, SessionToken, cookie_of, find_session};
use crate::service::Control;
use crate::store::{Access, StoreError};

/// What a page sends with its session's cookie.
const CSRF: &str = "x-csrf-token";
/// Where an operator says in which organisation something is meant.
const ORGANISATION: &str = "sallygate-organisation";

/// May look at what an organisation has.
#[derive(Debug)]
pub(super) struct Reader(Member);

/// May decide about what an organisation's sandboxes are held for.
#[derive(Debug)]
pub(super) struct Approver(Member);

/// May change what an organisation has.
#[derive(Debug)]
pub(super) struct Writer(Member);

/// An operator's program, in an organisation: it bears a token, and is no browser.
#[derive(Debug)]
pub(super) struct Importer(Member);

/// May change what belongs to all organisations.
#[derive(Debug)]
pub(super) struct Operator(ApiToken);

/// A caller in the organisation that the path names as its project.
#[derive(Debug)]
pub(super) struct InProject<C>(pub(super) C);

/// The part of a path that names an organisation.
const PROJECT: &str = "projectId";

/// Any caller at all.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) ApiToken);

#[derive(Debug)]
struct Member {
    token: ApiToken,
    /// What tells this token, or this session of a browser, from all others.
    session: String,
    organisation: String,
}

/// What every caller has.
pub(super) trait Caller {
    fn token(&self) -> &ApiToken;

    fn act(&self, control: &Control) -> Act {
        Act { actor: self.token().id.clone(), now_ms: control.clock.now_ms() }
    }
}

impl Reader {
    pub(super) fn organisation(&self) -> &str {
        &self.0.organisation
    }
}

impl Approver {
    pub(super) fn organisation(&self) -> &str {
        &self.0.organisation
    }
}

impl Writer {
    pub(super) fn organisation(&self) -> &str {
        &self.0.organisation
    }

    /// In whose name something is begun that nobody else may end.
    pub(super) fn who(&self) -> Who<'_> {
        Who { organisation: &self.0.organisation, session: &self.0.session }
    }
}

impl Importer {
    pub(super) fn organisation(&self) -> &str {
        &self.0.organisation
    }
}

impl Caller for Importer {
    fn token(&self) -> &ApiToken {
        &self.0.token
    }
}

impl Caller for Reader {
    fn token(&self) -> &ApiToken {
        &self.0.token
    }
}

impl Caller for Approver {
    fn token(&self) -> &ApiToken {
        &self.0.token
    }
}

impl Caller for Writer {
    fn token(&self) -> &ApiToken {
        &self.0.token
    }
}

impl Caller for Operator {
    fn token(&self) -> &ApiToken {
        &self.0
    }
}

/// A person with a session: what browsers have.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) session: Session,
    pub(super) token: SessionToken,
}

/// A browser whose person may be signed in.
#[derive(Debug)]
pub(super) struct Visitor(pub(super) Option<Signed>);

impl FromRequestParts<Control> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        match signed(parts, control).await {
            Ok(signed) => Ok(Self(Some(signed))),
            Err(problem) if problem.is_unauthorized() => Ok(Self(None)),
            Err(problem) => Err(problem),
        }
    }
}

impl OperationInput for Visitor {}

async fn identify(parts: &Parts, control: &Control) -> Result<ApiToken, Problem> {
    identified(parts, control).await.map(|(token, _)| token)
}

/// The caller, and what tells its token or session from all others.
async fn identified(parts: &Parts, control: &Control) -> Result<(ApiToken, String), Problem> {
    let Some(given) = parts.headers.get(header::AUTHORIZATION) else {
        let Signed { session, .. } = signed(parts, control).await?;
        let id = session.id.clone();
        return Ok((person(session), id));
    };
    let text = given.to_str().ok().and_then(bearer).ok_or_else(Problem::unauthorized)?;
    let mut transaction = control.store.begin(Access::Read).await.map_err(domain)?;
    let found = token::identify(&mut *transaction, text, control.clock.now_ms()).await?;
    let found = found.ok_or_else(Problem::unauthorized)?;
    let id = found.id.clone();
    Ok((found, id))
}

/// The session of the browser that asks. Browsers send cookies wherever a page of another site
/// sends them, so a request that changes something must come with what only our pages can read.
async fn signed(parts: &Parts, control: &Control) -> Result<Signed, Problem> {
    let text = cookie_of(&parts.headers, SESSION_COOKIE).ok_or_else(Problem::unauthorized)?;
    let (token, now_ms) = (SessionToken::received(text), control.clock.now_ms());
    let mut transaction = control.store.begin(Access::Read).await.map_err(domain)?;
    let found = find_session(&mut *transaction, &token, now_ms).await.map_err(domain)?;
    drop(transaction);
    let session = found.ok_or_else(Problem::unauthorized)?;
    let given = parts.headers.get(CSRF).and_then(|value| value.to_str().ok());
    if !parts.method.is_safe() && !given.is_some_and(|given| token.is_csrf(given)) {
        let detail = "a browser that changes something sends `X-CSRF-Token`";
        return Err(Problem::new(StatusCode::FORBIDDEN, "csrf_token_invalid", detail));
    }
    if session.is_stale(now_ms) {
        let noted: Result<(), StoreError> =
            change!(control.store, |transaction| { session.seen(transaction, now_ms).await });
        noted.map_err(domain)?;
    }
    Ok(Signed { session, token })
}

/// A person as a caller: what they may do is what a token of theirs might.
fn person(session: Session) -> ApiToken {
    ApiToken {
        id: session.person.id,
        organisation: session.organisation,
        name: session.person.name,
        role: session.role,
        created_ms: session.created_ms,
        expires_ms: Some(session.expires_ms),
        revoked_ms: None,
        last_used_ms: None,
    }
}

pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn domain(error: crate::store::StoreError) -> Problem {
    crate::domain::DomainError::from(error).into()
}

fn allow(token: &ApiToken, least: Role) -> Result<(), Problem> {
    if token.role >= least {
        return Ok(());
    }
    let detail = format!("this needs the role `{}`", least.as_str());
    Err(Problem::new(StatusCode::FORBIDDEN, "insufficient_role", detail))
}

/// The caller with the organisation that is meant: its own, or the one that an operator names.
async fn member(parts: &Parts, control: &Control, least: Role) -> Result<Member, Problem> {
    let wanted = parts.headers.get(ORGANISATION).map(HeaderValue::to_str);
    let wanted = wanted.transpose().map_err(|_| Problem::absent());
    member_in((parts, control), least, wanted).await
}

/// The caller, in the organisation of the path.
async fn project_member(
    parts: &mut Parts,
    control: &Control,
    least: Role,
) -> Result<Member, Problem> {
    let named = RawPathParams::from_request_parts(parts, &()).await;
    let named = named.map_err(|_| Problem::absent());
    let find = |named: &RawPathParams| {
        let found = named.iter().find(|(name, _)| *name == PROJECT);
        // Nothing has a NUL in its name, and PostgreSQL does not even look for it.
        found.map(|(_, value)| value.to_owned()).filter(|value| !value.contains('\0'))
    };
    let project = named.and_then(|named| find(&named).ok_or_else(Problem::absent));
    let wanted =
        project.as_ref().map(|project| Some(project.as_str())).map_err(|_| Problem::absent());
    member_in((parts, control), least, wanted).await
}

async fn member_in(
    (parts, control): (&Parts, &Control),
    least: Role,
    wanted: Result<Option<&str>, Problem>,
) -> Result<Member, Problem> {
    let (token, session) = identified(parts, control).await?;
    allow(&token, least)?;
    let (own, wanted) = (token.organisation.clone(), wanted?);
    let organisation = match (own, wanted) {
        (Some(own), None) => own,
        (Some(own), Some(wanted)) if own == wanted => own,
        // Whether there is such an organisation is nobody else's business.
        (Some(_), Some(_)) => {
            return Err(crate::domain::DomainError::not_found("organisation").into());
        }
        (None, wanted) => {
            let mut transaction = control.store.begin(Access::Read).await.map_err(domain)?;
            let found = match wanted {
                Some(id) => organisation::find(&mut *transaction, id).await?,
                None => organisation::first(&mut *transaction).await?,
            };
            found.id
        }
    };
    Ok(Member { token, session, organisation })
}

impl FromRequestParts<Control> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        member(parts, control, Role::ReadOnly).await.map(Self)
    }
}

impl FromRequestParts<Control> for Approver {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        member(parts, control, Role::Approver).await.map(Self)
    }
}

impl FromRequestParts<Control> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        member(parts, control, Role::Member).await.map(Self)
    }
}

impl FromRequestParts<Control> for InProject<Reader> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let member = project_member(parts, control, Role::ReadOnly).await?;
        Ok(Self(Reader(member)))
    }
}

impl FromRequestParts<Control> for InProject<Writer> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let member = project_member(parts, control, Role::Member).await?;
        Ok(Self(Writer(member)))
    }
}

impl FromRequestParts<Control> for Importer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Err(Problem::unauthorized());
        }
        member(parts, control, Role::Operator).await.map(Self)
    }
}

impl FromRequestParts<Control> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let token = identify(parts, control).await?;
        allow(&token, Role::Operator)?;
        Ok(Self(token))
    }
}

impl FromRequestParts<Control> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        signed(parts, control).await
    }
}

impl FromRequestParts<Control> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        identify(parts, control).await.map(Self)
    }
}

fn describe(operation: &mut Operation) {
    let requirement = [("token".to_owned(), Vec::new())].into_iter().collect();
    operation.security = vec![requirement];
}

fn describe_session(operation: &mut Operation) {
    let requirement = [("session".to_owned(), Vec::new())].into_iter().collect();
    operation.security = vec![requirement];
}

fn describe_organisation(ctx: &mut GenContext, operation: &mut Operation) {
    describe(operation);
    let text = "The organisation that an operator means [default: the first one].";
    header_parameter(ctx, operation, (ORGANISATION, text));
}

/// Says of each caller what the document must say of the operation.
macro_rules! described {
    ($($caller:ty: $describe:expr;)*) => {$(
        impl OperationInput for $caller {
            fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
                let describe: fn(&mut GenContext, &mut Operation) = $describe;
                describe(ctx, operation);
            }

            fn inferred_early_responses(
                ctx: &mut GenContext,
                operation: &mut Operation,
            ) -> Vec<(Option<u16>, Described)> {
                problem::responses(ctx, operation, &[401, 403, 500, 503])
            }
        }
    )*};
}

described! {
    Reader: describe_organisation;
    Approver: describe_organisation;
    Writer: describe_organisation;
    Importer: describe_organisation;
    Operator: |_, operation| describe(operation);
    InProject<Reader>: |_, operation| describe(operation);
    InProject<Writer>: |_, operation| describe(operation);
    Anybody: |_, operation| describe(operation);
    Signed: |_, operation| describe_session(operation);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_is_heard() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        for wrong in ["", "abc", "Basic abc", "Bearerabc"] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
    }
}
