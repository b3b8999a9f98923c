//! Holds the plans in force and the sandboxes that run them, and swaps both in one store.
//!
//! INVARIANT: a generation is whole. A request that took one sees one set of plans and sandboxes
//! from its first step to its last, whatever is published meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallygate_compiler::diagnostic::Diagnostics;
use sallygate_compiler::plan::{CredentialReference, Plan};
use sallygate_compiler::snapshot::{ConnectionSource, MoreTokens, SandboxSpec};
use sallygate_compiler::table::RouteTable;
use sallygate_definitions::placeholder::PlaceholderKey;
use tokio::sync::watch;

use super::layer::{Applied, Layer, LayerCells};
use super::placeholders::{Watch, has_key};
use super::retired::Retired;
use super::sandbox::{Parts, sha256};
use super::signed::Ends;
use super::{ActivePlan, Sandbox, Token};
use crate::clock;
use crate::credential::Cell;
use crate::metrics::Metrics;

/// Session sandboxes that may exist at one time, and revoked ids that are remembered.
const SESSIONS_MAX: usize = 10_000;

/// What is to be in force: compiled plans and who runs them.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// By profile.
    pub plans: BTreeMap<String, Plan>,
    /// Sandboxes of the policy file.
    pub sandboxes: Vec<SandboxSpec>,
    /// Where credentials come from.
    pub connections: Vec<ConnectionSource>,
    /// What the placeholders of these sandboxes are made with.
    pub placeholder_key: Option<PlaceholderKey>,
}

/// Why something could not be put in force. What was in force stays.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The plan itself is wrong.
    #[error("{0}")]
    Plan(Diagnostics),
    /// The plan asks for something that this process does not have.
    #[error("plan `{profile}`: {reason}")]
    Unusable {
        /// Profile of the plan.
        profile: String,
        /// What is missing.
        reason: String,
    },
}

/// Why a session sandbox was not made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// No such profile.
    #[error("no profile `{0}`")]
    UnknownProfile(String),
    /// Too many sessions exist.
    #[error("too many session sandboxes")]
    Full,
    /// The system has no randomness.
    #[error("no randomness")]
    Randomness,
}

/// A session sandbox, as it is shown once.
#[derive(Debug)]
pub struct Minted {
    /// Its id.
    pub id: String,
    /// Its token: shown now and never again.
    pub token: String,
    /// Seconds since the Unix epoch.
    pub expires_unix: i64,
}

/// One whole set of plans and sandboxes.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    plans: BTreeMap<String, Arc<ActivePlan>>,
    sandboxes: HashMap<Arc<str>, Arc<Sandbox>>,
    tokens: HashMap<Token, Arc<Sandbox>>,
    sources: Vec<Arc<Sandbox>>,
    revoked: HashSet<Arc<str>>,
}

impl Generation {
    pub(crate) fn sandbox(&self, id: &str) -> Option<&Arc<Sandbox>> {
        self.sandboxes.get(id)
    }

    /// The table is keyed by the hash of the token, so the look-up says nothing about the token.
    pub(crate) fn by_token(&self, token: &Token) -> Option<&Arc<Sandbox>> {
        self.tokens.get(token)
    }

    pub(crate) fn by_source(&self, address: IpAddr) -> Option<&Arc<Sandbox>> {
        self.sources.iter().find(|sandbox| sandbox.owns_source(address))
    }

    /// Whether this id was known once and is no more.
    pub(crate) fn was_revoked(&self, id: &str) -> bool {
        self.revoked.contains(id)
    }

    pub(crate) fn plans(&self) -> impl Iterator<Item = (&String, &Arc<ActivePlan>)> {
        self.plans.iter()
    }

    pub(crate) fn sandbox_count(&self) -> usize {
        self.sandboxes.len()
    }
}

#[derive(Default)]
struct Written {
    input: Input,
    layer: Layer,
    layer_cells: LayerCells,
    sessions: BTreeMap<String, SandboxSpec>,
    cells: Vec<Arc<Cell>>,
    counts: HashMap<String, Arc<AtomicU64>>,
    revoked: HashSet<Arc<str>>,
}

/// The plans in force.
pub struct Store {
    generation: ArcSwap<Generation>,
    changes: watch::Sender<u64>,
    written: Mutex<Written>,
    retired: Retired,
    ends: Arc<Ends>,
    /// Held from before files are read until they are in force.
    turn: Mutex<()>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("generation", &self.generation.load().number).finish()
    }
}

impl Store {
    /// A store with nothing in force: every request is refused.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            generation: ArcSwap::default(),
            changes: watch::channel(0).0,
            written: Mutex::default(),
            retired: Retired::default(),
            ends: Arc::default(),
            turn: Mutex::default(),
            metrics,
        }
    }

    /// The turn of whoever reads files to publish them. Without it a reader that began early and
    /// ended late would put an old file in the place of a new one.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn load(&self) -> Guard<Arc<Generation>> {
        self.generation.load()
    }

    /// Tells when something else is in force.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether anything was ever put in force.
    pub fn is_ready(&self) -> bool {
        self.generation.load().number > 0
    }

    /// Puts `input` in force, whole or not at all.
    pub fn publish(&self, input: Input) -> Result<u64, PublishError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut written.input, input);
        match self.rebuild(&mut written) {
            Ok(number) => Ok(number),
            Err(error) => {
                written.input = before;
                Err(error)
            }
        }
    }

    /// Puts a control service's layer in force. A plan of it that cannot be used is left out, and
    /// what was wrong with it comes back: it must not keep the others from being in force.
    pub(crate) fn apply(&self, layer: Layer) -> Result<Applied, PublishError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut written.layer, layer);
        match self.rebuild_saying(&mut written) {
            Ok(applied) => Ok(applied),
            Err(error) => {
                written.layer = before;
                Err(error)
            }
        }
    }

    /// Lets go of the credentials of these connections.
    pub(crate) fn forget(&self, connections: &[String]) {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = written.cells.iter().chain(written.layer_cells.values());
        let named = |cell: &&Arc<Cell>| connections.iter().any(|id| id == cell.connection());
        cells.filter(named).for_each(|cell| cell.forget());
    }

    /// Makes a sandbox that lives in this process until it expires.
    pub fn mint(&self, profile: &str, ttl_seconds: u64) -> Result<Minted, MintError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::wall_seconds();
        written.sessions.retain(|_, s| s.expires_unix.is_none_or(|at| at > now));
        if !written.input.plans.contains_key(profile) {
            return Err(MintError::UnknownProfile(profile.into()));
        }
        if written.sessions.len() >= SESSIONS_MAX {
            return Err(MintError::Full);
        }
        let token = format!("sgt_{}", random::<24>()?);
        let id = format!("sbx_{}", random::<12>()?);
        let expires_unix = now.saturating_add(i64::try_from(ttl_seconds).unwrap_or(i64::MAX));
        let spec = SandboxSpec {
            id: id.clone(),
            profile: profile.into(),
            token_sha256: Some(sha256(token.as_bytes())),
            sources: Vec::new(),
            expires_unix: Some(expires_unix),
            more: MoreTokens::default(),
        };
        written.sessions.insert(id.clone(), spec);
        // Nothing about the plans changed, so this cannot fail for a plan that is in force.
        self.rebuild(&mut written).map_err(|_| MintError::UnknownProfile(profile.into()))?;
        Ok(Minted { id, token, expires_unix })
    }

    /// Ends a session sandbox; what it has in flight ends within a second. `false`: no such one.
    pub fn revoke(&self, id: &str) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.sessions.remove(id).is_some() && self.rebuild(&mut written).is_ok()
    }

    /// Tells everybody to look again when some sandbox expired after `before` and up to `now`.
    pub(crate) fn expire(&self, before_unix: i64, now_unix: i64) {
        let generation = self.generation.load();
        let expired = |at: i64| at > before_unix && at <= now_unix;
        let signed = self.ends.take_until(now_unix);
        if signed || generation.sandboxes.values().any(|s| s.ends().any(expired)) {
            self.changes.send_replace(generation.number);
        }
    }

    fn rebuild(&self, written: &mut Written) -> Result<u64, PublishError> {
        self.rebuild_saying(written).map(|applied| applied.generation)
    }

    fn rebuild_saying(&self, written: &mut Written) -> Result<Applied, PublishError> {
        let began = clock::now();
        let old = self.generation.load_full();
        let cells = self.cells(written);
        let layer_cells = written.layer.cells(&written.layer_cells, &self.metrics);
        let mut next = Generation { number: old.number + 1, ..Generation::default() };
        for (profile, plan) in &written.input.plans {
            let unusable = |reason| PublishError::Unusable { profile: profile.into(), reason };
            let ordered = file_cells(plan, &cells).map_err(unusable)?;
            has_key(plan, written.input.placeholder_key.as_ref()).map_err(unusable)?;
            next.plans.insert(profile.clone(), self.reuse(&old, (profile, plan), &ordered)?);
        }
        let mut applied = Applied { generation: next.number, refused: Vec::new() };
        for (profile, plan) in &written.layer.plans {
            if next.plans.contains_key(profile) {
                let reason = "a file has a profile of this name".to_owned();
                applied.refused.push((profile.clone(), reason));
                continue;
            }
            let active = Layer::cells_of(plan, &layer_cells)
                .and_then(|o| has_key(plan, written.layer.placeholder_key.as_ref()).map(|()| o))
                .and_then(|o| self.reuse(&old, (profile, plan), &o).map_err(|e| e.to_string()));
            match active {
                Ok(active) => drop(next.plans.insert(profile.clone(), active)),
                Err(reason) => applied.refused.push((profile.clone(), reason)),
            }
        }
        self.admit(written, &mut next);
        for id in old.sandboxes.keys().filter(|id| !next.sandboxes.contains_key(*id)) {
            if written.revoked.len() < SESSIONS_MAX {
                written.revoked.insert(Arc::clone(id));
            }
        }
        written.revoked.retain(|id| !next.sandboxes.contains_key(id));
        next.revoked.clone_from(&written.revoked);
        written.cells = cells;
        written.layer_cells = layer_cells;
        self.announce(&next, began);
        let next = Arc::new(next);
        self.generation.store(Arc::clone(&next));
        self.changes.send_replace(applied.generation);
        self.retire(old, &next);
        Ok(applied)
    }

    /// The plan as it is in force already, or made ready.
    fn reuse(
        &self,
        old: &Generation,
        (profile, plan): (&str, &Plan),
        cells: &[Arc<Cell>],
    ) -> Result<Arc<ActivePlan>, PublishError> {
        match old.plans.get(profile) {
            Some(same) if same.is_made_of(&plan.digest, cells) => Ok(Arc::clone(same)),
            Some(_) | None => self.activate(profile, plan, cells).map(Arc::new),
        }
    }

    fn retire(&self, old: Arc<Generation>, next: &Generation) {
        let is_gone = |plan: &&Arc<ActivePlan>| !next.plans.values().any(|p| Arc::ptr_eq(p, plan));
        let plans = old.plans.values().filter(is_gone).cloned().collect();
        self.retired.keep(old, plans);
    }

    /// Whether there is something for [`Self::sweep`].
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Frees what is out of force and not used any more. That may take milliseconds: never call
    /// this on the data path.
    pub(crate) fn sweep(&self) {
        self.retired.sweep();
    }

    /// One cell per secret of a connection; a cell whose source is unchanged keeps what it holds.
    fn cells(&self, written: &Written) -> Vec<Arc<Cell>> {
        let keep = |c: &ConnectionSource| written.cells.iter().find(|cell| cell.serves(c)).cloned();
        let connections = written.input.connections.iter();
        connections
            .map(|c| keep(c).unwrap_or_else(|| Arc::new(Cell::new(c, Arc::clone(&self.metrics)))))
            .collect()
    }

    fn activate(
        &self,
        profile: &str,
        plan: &Plan,
        cells: &[Arc<Cell>],
    ) -> Result<ActivePlan, PublishError> {
        let unusable = |reason| PublishError::Unusable { profile: profile.into(), reason };
        let table = RouteTable::build(Arc::new(plan.clone())).map_err(PublishError::Plan)?;
        let plan = Arc::clone(table.plan());
        ActivePlan::new(plan, table, cells, &self.metrics).map_err(unusable)
    }

    fn admit(&self, written: &mut Written, next: &mut Generation) {
        // A file's sandbox keeps its name, whoever else uses it.
        let own = written.input.sandboxes.iter().chain(written.sessions.values());
        let own_key = written.input.placeholder_key.as_ref();
        let own = own.map(|spec| (spec, None, own_key));
        let approver = written.layer.approver.as_ref();
        let layer_key = written.layer.placeholder_key.as_ref();
        let layer = written.layer.sandboxes.iter().map(|spec| (spec, approver, layer_key));
        let there = next.plans.values().any(|plan| plan.has_placeholders());
        let keys: Vec<PlaceholderKey> = own_key.into_iter().chain(layer_key).cloned().collect();
        for (spec, approver, key) in own.chain(layer) {
            let Some(plan) = next.plans.get(&spec.profile) else { continue };
            if next.sandboxes.contains_key(spec.id.as_str()) {
                continue;
            }
            let connections = Arc::clone(written.counts.entry(spec.id.clone()).or_default());
            let placeholders = there.then(|| Arc::new(Watch::new(keys.clone(), key.cloned())));
            let parts = Parts { plan, connections, approver, ends: &self.ends, placeholders };
            let sandbox = Arc::new(Sandbox::new(spec, parts));
            for one in std::iter::once(&sandbox).chain(&sandbox.former) {
                next.tokens.extend(one.token.map(|token| (token, Arc::clone(one))));
            }
            if !sandbox.sources.is_empty() {
                next.sources.push(Arc::clone(&sandbox));
            }
            next.sandboxes.insert(Arc::clone(&sandbox.id), sandbox);
        }
        // The narrowest source wins, and the order of the file never matters.
        next.sources.sort_by_key(|s| {
            (
                std::cmp::Reverse(s.sources.iter().map(ipnet::IpNet::prefix_len).max()),
                Arc::clone(&s.id),
            )
        });
        written.counts.retain(|id, _| next.sandboxes.contains_key(id.as_str()));
    }

    fn announce(&self, next: &Generation, began: std::time::Instant) {
        self.metrics.plan_info.reset();
        for (profile, plan) in &next.plans {
            self.metrics.plan_info.with_label_values(&[profile.as_str(), &plan.digest]).set(1);
        }
        self.metrics.plan_loaded.set(clock::wall_seconds());
        self.metrics.plan_compile.observe(clock::now().duration_since(began).as_secs_f64());
    }
}

/// The cells of a file's plan, in the order of its credential table.
fn file_cells(plan: &Plan, cells: &[Arc<Cell>]) -> Result<Vec<Arc<Cell>>, String> {
    let ordered = plan.credentials.iter().map(|reference| {
        let cell = cells.iter().find(|cell| cell.provides(reference)).cloned();
        cell.ok_or_else(|| {
            let CredentialReference { connection_id, secret_type, .. } = reference;
            format!("no connection `{connection_id}` with a `{secret_type}` is configured")
        })
    });
    ordered.collect()
}

fn random<const N: usize>() -> Result<String, MintError> {
    let mut bytes = [0u8; N];
    rand::fill(&mut bytes).map_err(|_| MintError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    /// A store, and what is in force for the profile `p` of a sandbox with one route to `host`.
    fn publish(store: &Store, host: &str) -> (Arc<Sandbox>, Weak<ActivePlan>) {
        let route = serde_json::json!({
            "routeId": "b/r", "bindingId": "b", "match": { "hosts": [host], "paths": ["/**"] },
        });
        let plan = serde_json::json!({
            "schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p", "version": 1,
            "egressRoutes": [route],
        });
        let plan = Plan::from_json("p", plan.to_string().as_bytes()).unwrap();
        let spec = SandboxSpec {
            id: "s".into(),
            profile: "p".into(),
            token_sha256: None,
            sources: Vec::new(),
            expires_unix: None,
            more: MoreTokens::default(),
        };
        let plans = BTreeMap::from([("p".to_owned(), plan)]);
        let input = Input { plans, sandboxes: vec![spec], ..Input::default() };
        store.publish(input).unwrap();
        let sandbox = Arc::clone(store.load().sandbox("s").unwrap());
        let plan = Arc::downgrade(&sandbox.plan);
        (sandbox, plan)
    }

    fn store() -> Store {
        Store::new(Arc::new(Metrics::new().unwrap()))
    }

    #[test]
    fn whoever_lets_go_of_a_plan_that_is_out_of_force_does_not_free_it() {
        let store = store();
        let (in_flight, old) = publish(&store, "old.test");
        let guard = store.load();
        publish(&store, "new.test");
        store.sweep();
        assert!(old.upgrade().is_some(), "a request still has it");
        drop((in_flight, guard));
        assert!(old.upgrade().is_some(), "only a sweep frees");
        store.sweep();
        assert!(old.upgrade().is_none());
        assert!(!store.has_retired());
    }

    #[test]
    fn a_generation_that_is_still_looked_at_outlives_a_sweep() {
        let store = store();
        let (in_flight, old) = publish(&store, "old.test");
        let guard = store.load();
        publish(&store, "new.test");
        drop(in_flight);
        store.sweep();
        assert!(guard.sandbox("s").is_some_and(|s| Arc::ptr_eq(&s.plan, &old.upgrade().unwrap())));
        drop(guard);
        store.sweep();
        assert!(old.upgrade().is_none());
    }

    #[test]
    fn a_plan_that_stays_in_force_is_never_retired() {
        let store = store();
        let (_, plan) = publish(&store, "same.test");
        for _ in 0..3 {
            let (_, again) = publish(&store, "same.test");
            assert!(Weak::ptr_eq(&plan, &again));
            store.sweep();
        }
        assert!(plan.upgrade().is_some());
        assert!(!store.has_retired());
    }
}
