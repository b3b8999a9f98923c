//! Webhooks and contract entries: complete, and not about something else.

use super::invalid;
use crate::contract::Definition;
use crate::contract::webhook::Verifier;
use crate::schema::{Format, Path, Problem};

pub(super) fn check(definition: &Definition, found: &mut Vec<Problem>) {
    let handler = definition.webhook_handler.as_ref();
    let parts = [definition.webhook_source.is_some(), handler.is_some()];
    if parts.contains(&true) && parts.contains(&false) {
        let message = "and `webhookSource` belong together";
        invalid(found, &Path::of(&["webhookHandler"]), message);
    }
    if handler.is_none() && !definition.supported_webhook_events.is_empty() {
        invalid(found, &Path::of(&["supportedWebhookEvents"]), "need a `webhookHandler`");
    }
    if let Some(handler) = handler {
        verifier(&handler.verify, &Path::of(&["webhookHandler", "verify"]), found);
        let properties = &definition.connection_config_schema.properties;
        let names = properties.keys().map(String::as_str);
        if let Some(resolve) = &handler.resolve_connection {
            let path = Path::of(&["webhookHandler", "resolveConnection", "connectionField"]);
            super::names::known(&resolve.connection_field, names, &path, found);
        }
    }
    let source = definition.webhook_source.as_ref();
    if let Some(secret) = source.and_then(|source| source.target_secret.as_ref()) {
        let names = definition.target_secret_schema.properties.keys().map(String::as_str);
        super::names::known(secret, names, &Path::of(&["webhookSource", "targetSecret"]), found);
    }
    for (at, contract) in definition.contracts.iter().enumerate() {
        let path = Path::of(&["contracts"]).index(at);
        for (field, text) in [
            ("surface", &contract.surface),
            ("auth", &contract.auth),
            ("versioning", &contract.versioning),
            ("owner", &contract.owner),
        ] {
            if text.trim().is_empty() {
                invalid(found, &path.key(field), "is blank");
            }
        }
    }
}

fn verifier(verifier: &Verifier, path: &Path, found: &mut Vec<Problem>) {
    let headers: Vec<&String> = match verifier {
        Verifier::HmacSha256 { header, fallback_headers, timestamp, signed, .. } => {
            use crate::contract::webhook::SignedContent;
            if *signed == SignedContent::TimestampDotBody && timestamp.is_none() {
                invalid(
                    found,
                    &path.key("timestamp"),
                    "must be given: it is part of what is signed",
                );
            }
            if timestamp.as_ref().is_some_and(|t| t.header.is_some() == t.pointer.is_some()) {
                let message = "has exactly one of `header` and `pointer`";
                invalid(found, &path.key("timestamp"), message);
            }
            fallback_headers.iter().chain([header]).collect()
        }
        Verifier::StaticToken { headers, .. } if headers.is_empty() => {
            invalid(found, &path.key("headers"), "must name at least one header");
            Vec::new()
        }
        Verifier::StaticToken { headers, .. } => headers.iter().collect(),
        Verifier::FirstPresent { of } => {
            let path = path.key("of");
            if of.len() < 2 {
                invalid(found, &path, "must list at least two ways");
            }
            for (at, inner) in of.iter().enumerate() {
                self::verifier(inner, &path.index(at), found);
            }
            Vec::new()
        }
        Verifier::StandardWebhooks { .. } | Verifier::SlackV0 { .. } => Vec::new(),
    };
    if !headers.iter().all(|header| Format::HeaderName.admits(header)) {
        invalid(found, path, "names a header that cannot be one");
    }
}
