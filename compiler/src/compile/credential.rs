//! The credentials of a plan: which there are, and how routes present them. Never their values.

use sallygate_definitions::contract::injection::Presentation;
use sallygate_definitions::expand::{ExpandedInjection, ExpandedOrigin};

use super::Compiler;
use super::draft::{Bound, Drafted};
use crate::plan::{Clear, CredentialReference, Injection, InjectionKind, Route};
use crate::snapshot::Target;

/// A credential and how it is presented, before it has its index.
pub(super) type Presented = (CredentialReference, Injection);

impl Compiler<'_> {
    /// What a route at `origin` presents.
    pub(super) fn injections(
        &mut self,
        bound: &Bound<'_>,
        origin: &ExpandedOrigin,
    ) -> Vec<Presented> {
        let mut presented = Vec::with_capacity(origin.inject.len());
        for inject in &origin.inject {
            match injection(&inject.present) {
                Ok(injection) => {
                    presented.push((reference(&bound.binding.connection, inject), injection));
                }
                Err(kind) => {
                    let message = format!(
                        "`{}` presents its credential as `{kind}`, which is not carried out",
                        bound.target.definition
                    );
                    self.refuse(bound.binding, "", "UNSUPPORTED_INJECTION", message);
                }
            }
        }
        presented
    }

    /// The routes with their injections, and the credential table that these refer to.
    pub(super) fn credentials(&self) -> (Vec<Route>, Vec<CredentialReference>) {
        let references = self.routes.iter().flat_map(|drafted| &drafted.inject);
        let mut table: Vec<&CredentialReference> = references.map(|(r, _)| r).collect();
        table.sort_by(|a, b| order(a).cmp(&order(b)));
        table.dedup();
        let index = |wanted: &CredentialReference| {
            table.binary_search_by(|known| order(known).cmp(&order(wanted))).ok()
        };
        let route = |drafted: &Drafted<'_>| {
            let inject = drafted.inject.iter().filter_map(|(reference, injection)| {
                Some(Injection { credential: index(reference)?, ..injection.clone() })
            });
            Route { inject: inject.collect(), ..drafted.route.clone() }
        };
        let routes = self.routes.iter().map(route).collect();
        (routes, table.into_iter().cloned().collect())
    }
}

fn order(reference: &CredentialReference) -> (&str, &str, Option<&str>, Option<&str>) {
    let CredentialReference { connection_id, secret_type, slot_key, resolver_key, .. } = reference;
    (connection_id, secret_type, slot_key.as_deref(), resolver_key.as_deref())
}

fn reference(connection: &str, inject: &ExpandedInjection) -> CredentialReference {
    CredentialReference {
        connection_id: connection.to_owned(),
        secret_type: inject.secret_type.as_str().to_owned(),
        slot_key: inject.slot_key.clone(),
        resolver_key: inject.resolver_key.clone(),
        scope: serde_json::Map::new(),
    }
}

/// How the plan says it, without the index; `Err` names a kind that the proxy does not carry out.
fn injection(present: &Presentation) -> Result<Injection, &'static str> {
    let (kind, credential) = (InjectionKind::Bearer, 0);
    let (header, template, parameter, username) = (None, None, None, None);
    let plain = Injection { kind, header, template, parameter, username, credential };
    let authorization = Some("authorization".to_owned());
    Ok(match present {
        Presentation::Bearer {} => Injection { header: authorization, ..plain },
        Presentation::Basic { username } => Injection {
            kind: InjectionKind::Basic,
            header: authorization,
            username: username.clone(),
            ..plain
        },
        Presentation::Header { header, template } => Injection {
            kind: InjectionKind::Header,
            header: Some(header.to_ascii_lowercase()),
            template: template.clone(),
            ..plain
        },
        Presentation::Query { parameter } => {
            Injection { kind: InjectionKind::Query, parameter: Some(parameter.clone()), ..plain }
        }
        Presentation::Cookie { .. } => return Err("cookie"),
        Presentation::Path {} => return Err("path"),
        Presentation::Placeholder {} => return Err("placeholder"),
        Presentation::AwsSigv4 { .. } => return Err("aws_sigv4"),
        Presentation::ClientCertificate {} => return Err("client_certificate"),
    })
}

/// What of the sandbox's own is removed at `origin`: what the definition and the operator say,
/// what is injected, and where there is a credential, the header that every client fills by
/// itself.
pub(super) fn cleared(target: &Target, origin: &ExpandedOrigin) -> Clear {
    let mut clear = Clear::default();
    for said in [&target.clear, &origin.clear] {
        clear.headers.extend(said.headers.iter().map(|name| name.to_ascii_lowercase()));
        clear.query.extend(said.query.iter().cloned());
    }
    for injection in origin.inject.iter().filter_map(|inject| injection(&inject.present).ok()) {
        clear.headers.push("authorization".to_owned());
        clear.headers.extend(injection.header);
        clear.query.extend(injection.parameter);
    }
    for list in [&mut clear.headers, &mut clear.query] {
        list.sort_unstable();
        list.dedup();
    }
    clear
}
