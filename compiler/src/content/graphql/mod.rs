//! GraphQL requests: which top-level fields an operation asks for.
//!
//! Requests come as JSON or as a document in the body, or in the query of a GET (GraphQL over
//! HTTP). Persisted queries have no text to read and are not read.

mod document;
mod lexer;

use super::Unreadable;
use super::json::{Fields, Json};
use crate::block::Operation;

/// One top-level field of an operation that would be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub operation: Operation,
    /// By its own name, not by its alias.
    pub field: String,
}

/// Whether `bytes` are a name of the GraphQL language.
pub fn is_name(bytes: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.iter().all(inner) && bytes.first().is_some_and(|first| !first.is_ascii_digit())
}

/// The parameters of a request; others are extensions that may mean anything.
const PARAMETERS: [&str; 4] = ["query", "operationName", "variables", "extensions"];

/// Reads a JSON body: one request, or a batch of at least one.
pub fn read_json(body: &[u8]) -> Result<Vec<Selection>, Unreadable> {
    match Json::read(body)? {
        Json::Object(request) => one(&request),
        Json::List(batch) if !batch.is_empty() => {
            let mut all = Vec::new();
            for request in &batch {
                let Json::Object(request) = request else {
                    return Err(Unreadable("a member of the batch is not a GraphQL request"));
                };
                all.append(&mut one(request)?);
            }
            Ok(all)
        }
        Json::List(_) | Json::Null | Json::Scalar | Json::Text(_) => {
            Err(Unreadable("the body is not a GraphQL request"))
        }
    }
}

/// Reads a body that is a document by itself.
pub fn read_document(body: &[u8]) -> Result<Vec<Selection>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable("the body is not UTF-8"))?;
    document::selections(text, None)
}

/// Reads the query of a GET.
pub fn read_query(query: &str) -> Result<Vec<Selection>, Unreadable> {
    let (mut text, mut operation, mut known) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = super::form_decoded(name)?;
        if !PARAMETERS.contains(&name.as_str()) || known.contains(&name) {
            return Err(Unreadable("a parameter is there twice, or is not one of GraphQL's"));
        }
        let value = super::form_decoded(value)?;
        match name.as_str() {
            "query" => text = Some(value),
            "operationName" => operation = Some(value).filter(|name| !name.is_empty()),
            "extensions" => check_extensions(&Json::read(value.as_bytes())?)?,
            _ => {}
        }
        known.push(name);
    }
    let text = text.ok_or(Unreadable("there is no query to read"))?;
    document::selections(&text, operation.as_deref())
}

/// Whether the URL of a request with a body has parameters that a server may prefer to the body's.
pub fn is_shadowed(query: Option<&str>) -> bool {
    let shadows = |pair: &str| {
        let name = super::form_decoded(pair.split('=').next().unwrap_or_default());
        let known = |name: &str| PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name));
        name.map_or(true, |name| !name.is_ascii() || known(&name))
    };
    query.unwrap_or_default().split('&').any(shadows)
}

fn one(request: &Fields) -> Result<Vec<Selection>, Unreadable> {
    if request.names().any(|name| !PARAMETERS.contains(&name)) {
        return Err(Unreadable("a field of the request is not one of GraphQL's"));
    }
    let Some(Json::Text(text)) = request.field("query")? else {
        return Err(Unreadable("there is no query to read"));
    };
    let operation = match request.field("operationName")? {
        Some(Json::Text(name)) => Some(name.as_str()).filter(|name| !name.is_empty()),
        None | Some(Json::Null) => None,
        Some(_) => return Err(Unreadable("the name of the operation is not a string")),
    };
    if let Some(extensions) = request.field("extensions")? {
        check_extensions(extensions)?;
    }
    document::selections(text, operation)
}

fn check_extensions(extensions: &Json) -> Result<(), Unreadable> {
    let persisted = match extensions {
        Json::Null => false,
        Json::Object(fields) => fields.names().any(|name| {
            let lower = name.to_ascii_lowercase();
            !name.is_ascii() || lower.contains("persist") || lower.contains("hash")
        }),
        Json::Scalar | Json::Text(_) | Json::List(_) => true,
    };
    if persisted { Err(Unreadable("persisted queries are not read")) } else { Ok(()) }
}
