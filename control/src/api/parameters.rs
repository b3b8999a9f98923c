//! What stands in paths, queries and headers.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::{self, Problem};
use crate::domain::Page;

/// Parts of the path.
#[derive(Debug)]
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Nothing has a NUL in its name, and PostgreSQL does not even look for it.
        if parts.uri.path().contains("%00") {
            return Err(Problem::absent());
        }
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|_| Problem::absent())
    }
}

impl<T: JsonSchema> OperationInput for InPath<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        Path::<T>::operation_input(ctx, operation);
    }
}

/// The query. `T` refuses what it does not know.
#[derive(Debug)]
pub(super) struct InQuery<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection| {
            // What is wrong may be a secret in the wrong place: it is not repeated.
            let unknown = rejection.body_text().contains("unknown field");
            let what =
                if unknown { "an unknown parameter" } else { "a parameter that means nothing" };
            Problem::bad_request(format!("the query has {what}"))
        })
    }
}

impl<T: JsonSchema> OperationInput for InQuery<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        Query::<T>::operation_input(ctx, operation);
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        problem::responses(ctx, operation, &[400])
    }
}

/// Which piece of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Paging {
    /// How many at most [default: 50].
    #[schemars(range(min = 1, max = 200))]
    pub(super) limit: Option<i64>,
    /// `nextCursor` of the piece before.
    #[schemars(length(max = 400))]
    pub(super) cursor: Option<String>,
}

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 200;

impl Paging {
    pub(super) fn page(&self) -> Result<Page, Problem> {
        let most = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&most) {
            return Err(Problem::bad_request(format!("`limit` is within 1 and {LIMIT_MAX}")));
        }
        let cursor = self.cursor.as_deref().unwrap_or_default();
        let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|b| String::from_utf8(b).ok());
        // PostgreSQL takes no NUL in a text.
        let key = key.filter(|key| key.len() <= 200 && !key.contains('\0'));
        let after = key.ok_or_else(|| Problem::bad_request("`cursor` is none that was given"))?;
        Ok(Page { after, most })
    }
}

/// The revision that the caller looked at: `If-Match: "3"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct IfMatch(pub(super) Option<i64>);

/// No revision is ever this one.
const NEVER: i64 = -1;

impl IfMatch {
    fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::IF_MATCH) else { return Self(None) };
        let value = value.to_str().unwrap_or_default().trim();
        if value == "*" {
            return Self(None);
        }
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let revision = inner.and_then(|text| text.parse().ok()).filter(|r: &i64| *r >= 0);
        Self(Some(revision.unwrap_or(NEVER)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

impl OperationInput for IfMatch {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let text = "The ETag of the last answer: refused with 412 when it has changed since.";
        header_parameter(ctx, operation, ("if-match", text));
    }
}

/// What the caller has seen of something that is recognised by its content: `If-Match` with its
/// entity tag, or `If-None-Match: *` where nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// It says nothing.
    None,
    Absent,
    Present,
    /// Without its quotes; empty: one that nothing ever has.
    Tag(String),
}

impl Precondition {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
        match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
            (None, None) => Self::None,
            (None, Some("*")) => Self::Absent,
            (Some("*"), None) => Self::Present,
            (Some(tag), None) => {
                let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                Self::Tag(inner.unwrap_or_default().to_owned())
            }
            (_, Some(_)) => Self::Tag(String::new()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

impl OperationInput for Precondition {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let text = "The ETag of the last answer: refused with 412 when it has changed since.";
        header_parameter(ctx, operation, ("if-match", text));
        let text = "`*`: refused with 412 when there is something already.";
        header_parameter(ctx, operation, ("if-none-match", text));
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        problem::responses(ctx, operation, &[428])
    }
}

/// Describes an optional header.
pub(super) fn header_parameter(
    ctx: &mut GenContext,
    operation: &mut Operation,
    (name, description): (&str, &str),
) {
    use aide::openapi::{
        HeaderStyle, Parameter, ParameterData, ParameterSchemaOrContent, SchemaObject,
    };
    let json_schema = ctx.schema.subschema_for::<String>();
    let parameter_data = ParameterData {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: None,
        format: ParameterSchemaOrContent::Schema(SchemaObject {
            json_schema,
            external_docs: None,
            example: None,
        }),
        example: None,
        examples: Default::default(),
        explode: None,
        extensions: Default::default(),
    };
    let parameter = Parameter::Header { parameter_data, style: HeaderStyle::Simple };
    aide::operation::add_parameters(ctx, operation, [parameter]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_revision_that_was_given_matches() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, text.parse().unwrap())]);
            IfMatch::of(&headers).0
        };
        assert_eq!(IfMatch::of(&HeaderMap::new()).0, None);
        assert_eq!(read("\"3\""), Some(3));
        assert_eq!(read("*"), None);
        for never in ["3", "\"\"", "W/\"3\"", "\"3\", \"4\"", "\"-1\"", "\"x\"", ""] {
            assert_eq!(read(never), Some(NEVER), "{never}");
        }
    }

    #[test]
    fn a_precondition_says_one_thing_or_what_never_holds() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (header::HeaderName::from_static(name), value.parse().unwrap())
            };
            Precondition::of(&pairs.iter().map(pair).collect())
        };
        assert_eq!(read(&[]), Precondition::None);
        assert_eq!(read(&[("if-none-match", "*")]), Precondition::Absent);
        assert_eq!(read(&[("if-match", "*")]), Precondition::Present);
        assert_eq!(read(&[("if-match", "\"ab\"")]), Precondition::Tag("ab".to_owned()));
        let never = Precondition::Tag(String::new());
        assert_eq!(read(&[("if-match", "ab")]), never);
        assert_eq!(read(&[("if-none-match", "\"ab\"")]), never);
        assert_eq!(read(&[("if-match", "\"ab\""), ("if-none-match", "*")]), never);
    }

    #[test]
    fn a_cursor_or_limit_that_was_never_given_is_refused() {
        let page = |limit, cursor: Option<&str>| {
            Paging { limit, cursor: cursor.map(str::to_owned) }.page()
        };
        assert_eq!(page(None, None).unwrap(), Page { after: String::new(), most: 50 });
        assert_eq!(page(Some(200), Some("YQ")).unwrap().after, "a");
        for limit in [0, -1, 201, i64::MAX] {
            assert!(page(Some(limit), None).is_err(), "{limit}");
        }
        for cursor in ["%", "YQ==", "_w", "AA"] {
            assert!(page(None, Some(cursor)).is_err(), "{cursor}");
        }
    }
}
