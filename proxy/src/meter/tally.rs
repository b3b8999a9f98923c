//! How many tokens were used since the process began, and what they cost: for people and for
//! sandboxes, enforced by nobody.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sallygate_compiler::plan::TokenKind;
use serde_json::{Map, Value, json};

use super::price::Counts;

/// Sandboxes and connections that have totals of their own at one time.
const TOTALS_MAX: usize = 100_000;

/// What one answer told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// `None`: nothing.
    pub(crate) tokens: Option<Counts>,
    /// What was charged, with a price table.
    pub(crate) micros: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    requests: u64,
    untold: u64,
    tokens: Counts,
    micros: u64,
}

impl Totals {
    fn add(&mut self, told: &Told) {
        self.requests = self.requests.saturating_add(1);
        self.micros = self.micros.saturating_add(told.micros);
        match &told.tokens {
            Some(tokens) => self.tokens.add(tokens),
            None => self.untold = self.untold.saturating_add(1),
        }
    }

    /// `entries`, and the totals after them.
    fn render(&self, entries: &[(&str, &str)]) -> Value {
        let mut object = Map::new();
        for (name, value) in entries {
            object.insert((*name).to_owned(), json!(value));
        }
        let tokens = TokenKind::ALL.into_iter().map(|kind| {
            (json!(kind).as_str().unwrap_or_default().to_owned(), json!(self.tokens.get(kind)))
        });
        object.insert("requests".to_owned(), json!(self.requests));
        object.insert("untold".to_owned(), json!(self.untold));
        object.insert("tokens".to_owned(), Value::Object(tokens.collect()));
        object.insert("spentMicros".to_owned(), json!(self.micros));
        Value::Object(object)
    }
}

/// By binding: the connection, and what was used of it.
type Bindings = BTreeMap<Arc<str>, (Arc<str>, Totals)>;

#[derive(Debug, Default)]
struct State {
    sandboxes: HashMap<Arc<str>, Bindings>,
    connections: BTreeMap<Arc<str>, Totals>,
}

/// Every total.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<State>);

impl Tally {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one answer.
    pub(super) fn add(
        &self,
        sandbox: &Arc<str>,
        (binding, connection): (&Arc<str>, &Arc<str>),
        told: &Told,
    ) {
        let mut state = self.state();
        let State { sandboxes, connections } = &mut *state;
        if connections.len() < TOTALS_MAX || connections.contains_key(connection) {
            connections.entry(Arc::clone(connection)).or_default().add(told);
        }
        if sandboxes.len() < TOTALS_MAX || sandboxes.contains_key(sandbox) {
            let bindings = sandboxes.entry(Arc::clone(sandbox)).or_default();
            // A plan has a bounded number of bindings; those of its past are few.
            let own = bindings
                .entry(Arc::clone(binding))
                .or_insert_with(|| (Arc::clone(connection), Totals::default()));
            own.0 = Arc::clone(connection);
            own.1.add(told);
        }
    }

    pub(super) fn forget(&self, is_gone: &dyn Fn(&str) -> bool) {
        self.state().sandboxes.retain(|sandbox, _| !is_gone(sandbox));
    }

    /// What one sandbox used, by binding: it has no business with the names of connections.
    pub(crate) fn of_sandbox(&self, sandbox: &str) -> Vec<Value> {
        let state = self.state();
        let bindings = state.sandboxes.get(sandbox).into_iter().flatten();
        bindings.map(|(binding, (_, totals))| totals.render(&[("binding", binding)])).collect()
    }

    /// Everything, for operators.
    pub(crate) fn render(&self) -> Value {
        let state = self.state();
        let connections: Vec<Value> = state
            .connections
            .iter()
            .map(|(connection, totals)| totals.render(&[("connection", connection)]))
            .collect();
        let mut names: Vec<&Arc<str>> = state.sandboxes.keys().collect();
        names.sort_unstable();
        let sandboxes: Vec<Value> = names
            .into_iter()
            .filter_map(|sandbox| Some((sandbox, state.sandboxes.get(sandbox)?)))
            .flat_map(|(sandbox, bindings)| {
                bindings.iter().map(move |(binding, (connection, totals))| {
                    totals.render(&[
                        ("sandbox", sandbox),
                        ("binding", binding),
                        ("connection", connection),
                    ])
                })
            })
            .collect();
        json!({ "connections": connections, "sandboxes": sandboxes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_sees_its_own_totals_and_a_connection_has_those_of_all() {
        let tally = Tally::default();
        let (a, b): (Arc<str>, Arc<str>) = ("sbx_a".into(), "sbx_b".into());
        let at: (Arc<str>, Arc<str>) = ("ibd".into(), "con".into());
        let told = Told { tokens: Some(Counts::default()), micros: 5 };
        tally.add(&a, (&at.0, &at.1), &told);
        tally.add(&a, (&at.0, &at.1), &Told { tokens: None, micros: u64::MAX });
        tally.add(&b, (&at.0, &at.1), &told);
        let own = tally.of_sandbox("sbx_b");
        assert_eq!(own.len(), 1);
        assert_eq!(own[0]["spentMicros"], 5);
        assert_eq!(own[0]["binding"], "ibd");
        assert!(own[0].get("connection").is_none(), "{own:?}");
        assert_eq!(tally.of_sandbox("sbx_c"), [Value::Null; 0]);
        let all = tally.render();
        assert_eq!(all["connections"][0]["requests"], 3);
        assert_eq!(all["connections"][0]["untold"], 1);
        assert_eq!(all["connections"][0]["spentMicros"], u64::MAX);
        assert_eq!(all["sandboxes"].as_array().unwrap().len(), 2);
        tally.forget(&|sandbox| sandbox == "sbx_a");
        assert_eq!(tally.of_sandbox("sbx_a"), [Value::Null; 0]);
        assert_eq!(tally.render()["connections"][0]["requests"], 3);
    }
}
