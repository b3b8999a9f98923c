//! What a control service puts in force, beside what files say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sallygate_compiler::plan::{CredentialReference, Plan};
use sallygate_compiler::snapshot::SandboxSpec;
use sallygate_definitions::placeholder::PlaceholderKey;

use super::PublishError;
use super::store::Store;
use crate::approval::Approver;
use crate::credential::{Cell, Resolver};
use crate::metrics::Metrics;

/// Everything that a control service wants in force. Its names never take the place of a file's.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// By the id of the profile.
    pub plans: BTreeMap<String, Plan>,
    pub sandboxes: Vec<SandboxSpec>,
    /// By connection: the key of its target, for metrics.
    pub targets: BTreeMap<String, String>,
    /// Who resolves the credentials of these plans.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Who decides about held requests of these sandboxes; `None`: the operator of this proxy.
    pub approver: Option<Arc<dyn Approver>>,
    /// What the placeholders of these sandboxes are made with.
    pub placeholder_key: Option<PlaceholderKey>,
}

/// What became of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub generation: u64,
    /// Profiles whose plans cannot be used, with the reason. Their sandboxes have no plan.
    pub refused: Vec<(String, String)>,
}

/// A way to put things in force while a proxy runs.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Store>);

impl Handle {
    /// Puts `layer` in the place of the one before.
    pub fn apply(&self, layer: Layer) -> Result<Applied, PublishError> {
        self.0.apply(layer)
    }

    /// Lets go of every credential of these connections, also of one that is being fetched.
    pub fn forget(&self, connections: &[String]) {
        self.0.forget(connections);
    }
}

/// The cells of a layer by what they are of.
pub(super) type LayerCells = HashMap<String, Arc<Cell>>;

/// What tells one credential of a layer from another.
fn key(reference: &CredentialReference) -> String {
    serde_json::to_string(reference).unwrap_or_default()
}

impl Layer {
    /// A cell for every credential of the layer's plans; those that were there before stay.
    pub(super) fn cells(&self, before: &LayerCells, metrics: &Arc<Metrics>) -> LayerCells {
        let Some(resolver) = &self.resolver else { return LayerCells::new() };
        let mut cells = LayerCells::new();
        for reference in self.plans.values().flat_map(|plan| &plan.credentials) {
            let key = key(reference);
            let made = || {
                let target = self.targets.get(&reference.connection_id).cloned();
                let names = (reference.clone(), target.unwrap_or_default());
                Arc::new(Cell::resolved(names, Arc::clone(resolver), Arc::clone(metrics)))
            };
            let cell = before.get(&key).cloned().unwrap_or_else(made);
            cells.insert(key, cell);
        }
        cells
    }

    /// The cells of a plan in the order of its credential table.
    pub(super) fn cells_of(plan: &Plan, cells: &LayerCells) -> Result<Vec<Arc<Cell>>, String> {
        let cell = |reference| {
            cells.get(&key(reference)).cloned().ok_or("nobody resolves its credentials")
        };
        let cells: Result<_, &str> = plan.credentials.iter().map(cell).collect();
        cells.map_err(str::to_owned)
    }
}
