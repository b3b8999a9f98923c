//! One version of a profile: bindings, and what is allowed besides.

use sallygate_definitions::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::target::nothing;
use super::{AssertionSource, Places, RouteSource};
use crate::diagnostic::Place;
use crate::plan::{Image, Limits, Unmatched};

/// A named set of bindings and routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub id: String,
    pub version: u64,
    #[serde(default)]
    pub unmatched: Unmatched,
    #[serde(default)]
    pub bindings: Vec<Binding>,
    /// Routes without a credential.
    #[serde(default)]
    pub routes: Vec<RouteSource>,
    /// What must be true of all that it allows.
    #[serde(default)]
    pub assertions: Vec<AssertionSource>,
    /// What every route that lets requests out has, where it says nothing itself.
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub image: Option<Image>,
    /// Something in it could not be read, and was reported. There is no plan of such a profile:
    /// what could not be read may have been a deny.
    #[serde(skip)]
    pub broken: bool,
}

/// A profile's use of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Binding {
    pub id: String,
    pub connection: String,
    /// Must be that of the definition, where it is said.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// As the definition's `bindingConfigSchema` asks for.
    #[serde(default = "nothing")]
    pub config: Value,
    /// `None`: all that the definition gives.
    #[serde(default)]
    pub routes: Option<Vec<BoundRoute>>,
    #[serde(skip)]
    pub places: Places,
}

impl Binding {
    /// A binding of everything that the definition gives for `config`.
    pub fn new(id: impl Into<String>, connection: impl Into<String>, config: Value) -> Self {
        Self {
            id: id.into(),
            connection: connection.into(),
            kind: None,
            config,
            routes: None,
            places: Places::default(),
        }
    }

    /// Where it is written; `None` for one that was read from no file.
    pub fn place(&self) -> Option<&Place> {
        self.places.find("")
    }
}

/// A route of a binding: one of the definition's, by name, or one written out. The scheme and the
/// hosts of the latter are those of its origin, and its paths are below the base URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BoundRoute {
    Named(RouteName),
    Inline(Box<RouteSource>),
}

/// The name of a route that the definition gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouteName {
    pub name: String,
    #[serde(skip)]
    pub place: Option<Place>,
}
