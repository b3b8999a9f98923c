//! Webhooks: what comes in from providers, and `/v1/integration/webhooks`.

mod deliveries;
mod endpoints;
mod events;
mod receive;
mod triggers;

use aide::axum::ApiRouter;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::service::Control;

const ALL: &str = "/v1/integration/webhooks";

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .merge(receive::routes())
        .merge(events::routes())
        .merge(deliveries::routes())
        .merge(endpoints::routes())
        .merge(triggers::routes())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhichEvent {
    event_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhichDelivery {
    delivery_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhichEndpoint {
    endpoint_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhichTrigger {
    trigger_id: String,
}
