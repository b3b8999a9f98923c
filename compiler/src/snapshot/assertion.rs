//! An assertion as an author writes it.

use serde::{Deserialize, Serialize};

use super::route::read_match;
use crate::diagnostic::{Diagnostic, Place};
use crate::pattern::HostPattern;
use crate::plan::{Action, Assertion, CredentialOnly};
use crate::read::Table;

/// An assertion, and where it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssertionSource {
    pub assertion: Assertion,
    #[serde(skip)]
    pub place: Option<Place>,
}

const KINDS: [&str; 3] = ["never", "only", "credential_only"];

pub(super) fn read_assertion(mut table: Table<'_>) -> Option<AssertionSource> {
    let place = table.place();
    if KINDS.into_iter().filter(|kind| table.contains(kind)).count() != 1 {
        let message = "an assertion is one of `never`, `only` and `credential_only`";
        table.report(Diagnostic::error("BAD_VALUE", message).at(place.clone()));
    }
    let never = table.table("never").map(|t| Assertion::Never(read_match(t, Action::Deny)));
    let only = table.table("only").map(|t| Assertion::Only(read_match(t, Action::Allow)));
    let credential = table.table("credential_only").and_then(credential_only);
    table.finish();
    let assertion = never.or(only).or(credential)?;
    Some(AssertionSource { assertion, place: Some(place) })
}

fn credential_only(mut table: Table<'_>) -> Option<Assertion> {
    let credential = table.required_string("credential").map(|text| text.value);
    if !table.contains("hosts") {
        table.missing("hosts");
    }
    let mut hosts = Vec::new();
    for text in table.strings("hosts").unwrap_or_default() {
        match HostPattern::parse(&text.value) {
            Ok(host) => hosts.push(host.to_string()),
            Err(error) => {
                let message = format!("host `{}`: {error}", text.value);
                table.refuse_at("hosts", text.span, "HOST_NOT_CANONICAL", message);
            }
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    table.finish();
    Some(Assertion::CredentialOnly(CredentialOnly { credential: credential?, hosts }))
}
