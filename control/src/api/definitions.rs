//! `/v1/integration/definitions`: what can be deployed, and how it is asked for.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use sallygate_definitions::Definition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Found, List};
use super::caller::Reader;
use super::parameters::{InPath, InQuery, Paging};
use super::problem::Problem;
use crate::domain::{DomainError, PageOf};
use crate::service::Control;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .api_route(
            "/v1/integration/definitions",
            get_with(list, |o| o.id("listDefinitions").summary("List definitions")),
        )
        .api_route(
            "/v1/integration/definitions/{definitionKey}",
            get_with(find, |o| o.id("getDefinition").summary("Look at a definition")),
        )
}

/// What an integration is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DefinitionSummary")]
struct Summary {
    /// `family::variant`
    key: String,
    kind: String,
    display_name: String,
    description: String,
    /// The ids of the ways to connect.
    connection_methods: Vec<String>,
}

/// A definition with its schemas and forms.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Definition")]
struct View {
    #[serde(flatten)]
    summary: Summary,
    /// JSON Schemas (2020-12) by what they are of.
    schemas: Map<String, Json>,
    /// How each configuration is asked for.
    forms: Map<String, Json>,
    /// The ways to connect, with the fields of their forms.
    methods: Vec<Json>,
    webhook_events: Vec<Json>,
    contracts: Vec<Json>,
}

fn summary(definition: &Definition) -> Summary {
    let methods = &definition.connection_methods;
    Summary {
        key: definition.key(),
        kind: definition.kind.as_str().to_owned(),
        display_name: definition.display_name.clone(),
        description: definition.description.clone(),
        connection_methods: methods.iter().map(|method| method.id().to_owned()).collect(),
    }
}

fn view(it: &Definition) -> View {
    let schemas = [
        ("targetConfig", &it.target_config_schema),
        ("targetSecret", &it.target_secret_schema),
        ("connectionConfig", &it.connection_config_schema),
        ("bindingConfig", &it.binding_config_schema),
    ];
    View {
        summary: summary(it),
        schemas: schemas
            .map(|(name, schema)| (name.to_owned(), schema.to_json()))
            .into_iter()
            .collect(),
        forms: forms(it),
        methods: json_of(&it.connection_methods),
        webhook_events: json_of(&it.supported_webhook_events),
        contracts: json_of(&it.contracts),
    }
}

/// Every form of a definition, by what is asked for.
pub(super) fn forms(it: &Definition) -> Map<String, Json> {
    let forms = [
        ("targetConfig", &it.target_config_form),
        ("targetSecret", &it.target_secret_form),
        ("connectionConfig", &it.connection_config_form),
        ("bindingConfig", &it.binding_config_form),
    ];
    let form = |(name, form)| (str::to_owned(name), serde_json::to_value(form).unwrap_or_default());
    forms.into_iter().map(form).collect()
}

fn json_of<T: Serialize>(items: &[T]) -> Vec<Json> {
    items.iter().map(|item| serde_json::to_value(item).unwrap_or_default()).collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    definition_key: String,
}

async fn list(
    State(control): State<Control>,
    _: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<Summary>>, Problem> {
    let page = paging.page()?;
    let most = usize::try_from(page.most).unwrap_or(usize::MAX);
    let mut items: Vec<Summary> = control
        .registry
        .iter()
        .map(summary)
        .filter(|summary| summary.key > page.after)
        .take(most.saturating_add(1))
        .collect();
    let more = items.len() > most;
    items.truncate(most);
    let more_after = items.last().filter(|_| more).map(|last| last.key.clone());
    Ok(Answer::of(&List::of(PageOf { items, more_after }, |summary| summary)))
}

async fn find(
    State(control): State<Control>,
    _: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let found = control.registry.find(&which.definition_key);
    let found = found.ok_or_else(|| DomainError::not_found("definition"))?;
    Ok(Answer::of(&view(found)))
}
