//! What a sandbox's placeholders are, and where they may be seen.

use std::sync::{Arc, OnceLock};

use sallygate_compiler::canonical::Authority;
use sallygate_compiler::pattern::HostPattern;
use sallygate_compiler::plan::{Placeholder, Plan, Route};
use sallygate_definitions::placeholder::{PlaceholderKey, Recogniser};

use super::ActivePlan;

/// How the placeholders in a sandbox's requests are known: its own, and that others are somebody's.
/// Its own are made when they are first asked for.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Of everybody whose sandboxes run here.
    pub(super) keys: Vec<PlaceholderKey>,
    /// Of whoever made this sandbox.
    pub(super) own: Option<PlaceholderKey>,
    pub(super) made: OnceLock<Arc<Recogniser>>,
}

impl Watch {
    pub(super) fn new(keys: Vec<PlaceholderKey>, own: Option<PlaceholderKey>) -> Self {
        Self { keys, own, made: OnceLock::new() }
    }

    pub(super) fn recogniser(&self, plan: &ActivePlan, sandbox: &str) -> &Arc<Recogniser> {
        self.made.get_or_init(|| {
            let plan = plan.table.plan();
            let own = self.own.as_ref().map(|key| plan.known_placeholders(key, sandbox));
            Arc::new(Recogniser::new(self.keys.clone(), own.unwrap_or_default()))
        })
    }
}

/// The hosts that the credential of a placeholder goes to.
#[derive(Debug)]
pub(crate) struct Covered {
    pub(crate) connection: Arc<str>,
    places: Vec<(HostPattern, Vec<u16>)>,
}

impl Covered {
    /// In the order of the plan's placeholders.
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        plan.placeholders.iter().map(|placeholder| Self::of(plan, placeholder)).collect()
    }

    fn of(plan: &Plan, placeholder: &Placeholder) -> Self {
        let mut places = Vec::new();
        for route in plan.egress_routes.iter().filter(|r| presents(plan, r, placeholder)) {
            let wanted = &route.r#match;
            let ports = wanted.ports.clone();
            let ports = ports.unwrap_or_else(|| vec![wanted.scheme.default_port()]);
            let hosts = wanted.hosts.iter().filter_map(|host| HostPattern::parse(host).ok());
            places.extend(hosts.map(|host| (host, ports.clone())));
        }
        places.sort_unstable();
        places.dedup();
        Self { connection: placeholder.connection_id.as_str().into(), places }
    }

    pub(crate) fn covers(&self, authority: &Authority) -> bool {
        self.places
            .iter()
            .any(|(host, ports)| host.matches(&authority.host) && ports.contains(&authority.port))
    }
}

/// Whether a route presents the credential that the placeholder stands for.
fn presents(plan: &Plan, route: &Route, placeholder: &Placeholder) -> bool {
    let mut indexes = route.inject.iter().flat_map(|injection| injection.credentials());
    indexes.any(|index| plan.credentials.get(index).is_some_and(|c| placeholder.stands_for(c)))
}

/// Without the key a sandbox's placeholders would not be known, and pass.
pub(super) fn has_key(plan: &Plan, key: Option<&PlaceholderKey>) -> Result<(), String> {
    match plan.placeholders.is_empty() || key.is_some() {
        true => Ok(()),
        false => Err("it has placeholders, and there is no key for them".to_owned()),
    }
}
