//! What the API gives: JSON of a known type, with the revision as ETag where there is one.

use std::marker::PhantomData;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{PageOf, PriorAnswer};

/// JSON of a `T`, with the status `STATUS`.
#[derive(Debug)]
pub(super) struct Answer<const STATUS: u16, T> {
    body: String,
    /// Without its quotes.
    etag: Option<String>,
    of: PhantomData<fn() -> T>,
}

pub(super) type Found<T> = Answer<200, T>;
pub(super) type Created<T> = Answer<201, T>;

impl<const STATUS: u16, T: Serialize> Answer<STATUS, T> {
    pub(super) fn of(value: &T) -> Self {
        let body = serde_json::to_string(value).unwrap_or_default();
        Self { body, etag: None, of: PhantomData }
    }

    pub(super) fn at(value: &T, revision: i64) -> Self {
        Self::tagged(value, revision.to_string())
    }

    /// With an entity tag that is no revision.
    pub(super) fn tagged(value: &T, etag: String) -> Self {
        Self { etag: Some(etag), ..Self::of(value) }
    }

    /// What was answered, now or the first time.
    pub(super) fn again(prior: PriorAnswer) -> Self {
        Self { body: prior.body, etag: None, of: PhantomData }
    }
}

impl<const STATUS: u16, T> IntoResponse for Answer<STATUS, T> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK);
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (status, kind, self.body).into_response();
        let etag = self.etag.map(|etag| HeaderValue::try_from(format!("\"{etag}\"")));
        if let Some(Ok(etag)) = etag {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

impl<const STATUS: u16, T: JsonSchema> OperationOutput for Answer<STATUS, T> {
    type Inner = T;

    fn operation_response(ctx: &mut GenContext, operation: &mut Operation) -> Option<Described> {
        Json::<T>::operation_response(ctx, operation)
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        let response = Self::operation_response(ctx, operation);
        response.into_iter().map(|response| (Some(STATUS), response)).collect()
    }
}

/// A piece of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// Give it as `cursor` for what follows; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

impl<T> List<T> {
    pub(super) fn of<D>(page: PageOf<D>, view: impl Fn(D) -> T) -> Self {
        let next_cursor = page.more_after.map(|key| URL_SAFE_NO_PAD.encode(key));
        Self { items: page.items.into_iter().map(view).collect(), next_cursor }
    }
}
