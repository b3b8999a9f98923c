//! The credentials of a plan: which there are, and how routes present them. Never their values.

use sallygate_definitions::contract::injection::{PlaceholderPlace, Presentation};
use sallygate_definitions::contract::method::ConnectionMethod;
use sallygate_definitions::expand::{ExpandedInjection, ExpandedOrigin};

use super::Compiler;
use super::draft::{Bound, Drafted};
use crate::plan::{
    Clear, CredentialReference, Injection, InjectionKind, PresignedUrls, Route, Signing,
};
use crate::snapshot::{Connection, Target};

/// A credential and how it is presented, before it has its index.
pub(super) struct Presented {
    secret: CredentialReference,
    /// The user name, where that is a secret too.
    username: Option<CredentialReference>,
    injection: Injection,
}

impl Presented {
    fn references(&self) -> impl Iterator<Item = &CredentialReference> {
        std::iter::once(&self.secret).chain(&self.username)
    }
}

impl Compiler<'_> {
    /// What a route at `origin` presents.
    pub(super) fn injections(
        &mut self,
        bound: &Bound<'_>,
        origin: &ExpandedOrigin,
    ) -> Vec<Presented> {
        let mut presented = Vec::with_capacity(origin.inject.len());
        for inject in origin.inject.iter().filter(|inject| is_there(bound, inject)) {
            match injection(&inject.present) {
                Ok(injection) => {
                    self.placeholder(bound, inject);
                    let connection = &bound.binding.connection;
                    presented.push(Presented {
                        secret: reference(connection, inject),
                        username: username(connection, inject),
                        injection,
                    });
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
        let presented = self.routes.iter().flat_map(|drafted| &drafted.inject);
        let mut table: Vec<&CredentialReference> =
            presented.flat_map(Presented::references).collect();
        table.sort_by(|a, b| order(a).cmp(&order(b)));
        table.dedup();
        let index = |wanted: &CredentialReference| {
            table.binary_search_by(|known| order(known).cmp(&order(wanted))).ok()
        };
        let route = |drafted: &Drafted<'_>| {
            let inject = drafted.inject.iter().filter_map(|presented| {
                Some(Injection {
                    credential: index(&presented.secret)?,
                    username_credential: presented.username.as_ref().and_then(index),
                    ..presented.injection.clone()
                })
            });
            Route { inject: inject.collect(), ..drafted.route.clone() }
        };
        let routes = self.routes.iter().map(route).collect();
        (routes, table.into_iter().cloned().collect())
    }
}

/// Whether the connection has the secret, or has to have it. One that a form does not insist on,
/// and that was not given, is not presented; whoever has to have one and has not was told so.
fn is_there(bound: &Bound<'_>, inject: &ExpandedInjection) -> bool {
    let Connection { method, credentials, .. } = bound.connection;
    let method = method.as_deref().and_then(|id| bound.definition.method(id));
    let Some(ConnectionMethod::Form { fields, .. }) = method else { return true };
    let field = fields
        .iter()
        .find(|field| field.secret_type == inject.secret_type && field.slot_key == inject.slot_key);
    let Some(field) = field.filter(|field| field.optional) else { return true };
    credentials.as_ref().is_none_or(|present| present.contains(&field.name))
}

/// Two references are one only when nothing tells them apart: a token that is narrowed to one
/// binding's repositories is not that of another.
fn order(reference: &CredentialReference) -> (&str, &str, Option<&str>, Option<&str>, String) {
    let CredentialReference { connection_id, secret_type, slot_key, resolver_key, scope } =
        reference;
    let scope = serde_json::to_string(scope).unwrap_or_default();
    (connection_id, secret_type, slot_key.as_deref(), resolver_key.as_deref(), scope)
}

fn reference(connection: &str, inject: &ExpandedInjection) -> CredentialReference {
    CredentialReference {
        connection_id: connection.to_owned(),
        secret_type: inject.secret_type.as_str().to_owned(),
        slot_key: inject.slot_key.clone(),
        resolver_key: inject.resolver_key.clone(),
        scope: inject.scope.clone(),
    }
}

fn username(connection: &str, inject: &ExpandedInjection) -> Option<CredentialReference> {
    let Presentation::Basic { username_from: Some(from), .. } = &inject.present else {
        return None;
    };
    let secret = ExpandedInjection {
        secret_type: from.secret_type,
        slot_key: from.slot_key.clone(),
        ..inject.clone()
    };
    Some(reference(connection, &secret))
}

/// How the plan says it, without the index; `Err` names a kind that the proxy does not carry out.
fn injection(present: &Presentation) -> Result<Injection, &'static str> {
    let plain = |kind| Injection { kind, ..Injection::default() };
    let authorization = Some("authorization".to_owned());
    Ok(match present {
        Presentation::Bearer {} => {
            Injection { header: authorization, ..plain(InjectionKind::Bearer) }
        }
        Presentation::Basic { username, .. } => Injection {
            header: authorization,
            username: username.clone(),
            ..plain(InjectionKind::Basic)
        },
        Presentation::Header { header, template } => Injection {
            header: Some(header.to_ascii_lowercase()),
            template: template.clone(),
            ..plain(InjectionKind::Header)
        },
        Presentation::Query { parameter } => {
            Injection { parameter: Some(parameter.clone()), ..plain(InjectionKind::Query) }
        }
        Presentation::Cookie { name } => {
            Injection { cookie: Some(name.clone()), ..plain(InjectionKind::Cookie) }
        }
        Presentation::Path {} => plain(InjectionKind::Path),
        Presentation::Placeholder { places } => {
            Injection { places: everywhere_or(places), ..plain(InjectionKind::Placeholder) }
        }
        Presentation::AwsSigv4 { service, region, presigned } => {
            let presigned = match presigned.as_deref() {
                None | Some("refuse") => PresignedUrls::Refuse,
                Some("resign") => PresignedUrls::Resign,
                Some(_) => return Err("aws_sigv4 with neither `refuse` nor `resign`"),
            };
            let (service, region) = (service.clone(), region.clone());
            let signing = Some(Signing { service, region, presigned });
            Injection { signing, ..plain(InjectionKind::AwsSigv4) }
        }
        Presentation::ClientCertificate {} => plain(InjectionKind::ClientCertificate),
    })
}

/// In order, each once.
fn everywhere_or(places: &[PlaceholderPlace]) -> Vec<PlaceholderPlace> {
    let all = [PlaceholderPlace::Header, PlaceholderPlace::Query, PlaceholderPlace::Body];
    all.into_iter().filter(|place| places.is_empty() || places.contains(place)).collect()
}

/// What of the sandbox's own is removed at `origin`: what the definition and the operator say,
/// what is injected, and where there is a credential, the header that every client fills by
/// itself.
pub(super) fn cleared(target: &Target, origin: &ExpandedOrigin) -> Clear {
    let mut clear = Clear::default();
    for said in [&target.clear, &origin.clear] {
        clear.headers.extend(said.headers.iter().map(|name| name.to_ascii_lowercase()));
        clear.query.extend(said.query.iter().cloned());
        clear.cookies.extend(said.cookies.iter().cloned());
    }
    for injection in origin.inject.iter().filter_map(|inject| injection(&inject.present).ok()) {
        clear.headers.push("authorization".to_owned());
        clear.headers.extend(injection.header);
        clear.query.extend(injection.parameter);
        clear.cookies.extend(injection.cookie);
        if injection.kind == InjectionKind::AwsSigv4 {
            clear.headers.extend(["x-amz-date", "x-amz-security-token"].map(str::to_owned));
        }
    }
    for list in [&mut clear.headers, &mut clear.query, &mut clear.cookies] {
        list.sort_unstable();
        list.dedup();
    }
    clear
}
