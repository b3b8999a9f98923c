//! A plan made ready for requests: its table, and beside every route what the request path needs.

use std::sync::Arc;

use http::HeaderName;
use sallygate_compiler::plan::{Plan, Route};
use sallygate_compiler::table::{RouteIndex, RouteTable};

use super::placeholders::Covered;
use crate::credential::{Cell, ReadyInjection};
use crate::meter::Metered;
use crate::metrics::{Metrics, RouteSeries};
use crate::upstream::Destination;

/// A plan in force.
#[derive(Debug)]
pub(crate) struct ActivePlan {
    pub(crate) table: RouteTable,
    pub(crate) digest: Arc<str>,
    pub(crate) profile: Arc<str>,
    routes: Vec<ActiveRoute>,
    /// In the order of the plan's credential table.
    cells: Vec<Arc<Cell>>,
    /// In the order of the plan's placeholders.
    placeholders: Vec<Covered>,
}

/// What stands beside a route of the plan.
#[derive(Debug)]
pub(crate) struct ActiveRoute {
    pub(crate) id: Arc<str>,
    /// Path pattern of the route: what records show instead of the raw path.
    pub(crate) template: Arc<str>,
    pub(crate) destination: Destination,
    pub(crate) injections: Vec<ReadyInjection>,
    pub(crate) clear_headers: Vec<HeaderName>,
    pub(crate) clear_query: Vec<String>,
    pub(crate) clear_cookies: Vec<String>,
    /// What is counted of its requests; most routes count nothing.
    pub(crate) metered: Option<Metered>,
    pub(crate) series: RouteSeries,
}

impl ActivePlan {
    /// Indexes `plan`; `cells` are in the order of its credential table.
    pub(crate) fn new(
        plan: Arc<Plan>,
        table: RouteTable,
        cells: &[Arc<Cell>],
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let profile: Arc<str> = plan.sandbox_profile_id.as_str().into();
        let routes = plan.egress_routes.iter();
        let routes = routes.map(|route| active(route, (&plan, &profile), cells, metrics));
        Ok(Self {
            routes: routes.collect::<Result<_, _>>()?,
            digest: plan.digest.as_str().into(),
            placeholders: Covered::all(&plan),
            profile,
            table,
            cells: cells.to_vec(),
        })
    }

    /// Whether it is the plan with this digest, over these cells and no others.
    pub(super) fn is_made_of(&self, digest: &str, cells: &[Arc<Cell>]) -> bool {
        let same = |(own, other): (&Arc<Cell>, &Arc<Cell>)| Arc::ptr_eq(own, other);
        *self.digest == *digest
            && self.cells.len() == cells.len()
            && self.cells.iter().zip(cells).all(same)
    }

    /// The route with this index. Indexes come from this plan's own table.
    pub(crate) fn route(&self, index: RouteIndex) -> Option<&ActiveRoute> {
        self.routes.get(index.0 as usize)
    }

    /// Where a placeholder's credential goes.
    pub(crate) fn placeholder(&self, index: usize) -> Option<&Covered> {
        self.placeholders.get(index)
    }

    /// Whether its sandboxes have placeholders.
    pub(super) fn has_placeholders(&self) -> bool {
        !self.placeholders.is_empty()
    }

    /// The plan's own words about a route.
    pub(crate) fn words(&self, index: RouteIndex) -> Option<&Route> {
        self.table.plan().egress_routes.get(index.0 as usize)
    }
}

fn active(
    route: &Route,
    (plan, profile): (&Plan, &str),
    cells: &[Arc<Cell>],
    metrics: &Metrics,
) -> Result<ActiveRoute, String> {
    let injections = route.inject.iter().map(|injection| {
        let ready = ReadyInjection::new(injection, (plan, route), cells);
        ready.ok_or("an injection is incomplete")
    });
    let injections: Result<Vec<_>, _> = injections.collect();
    let clear = route.clear.headers.iter().filter_map(|h| HeaderName::try_from(h.as_str()).ok());
    Ok(ActiveRoute {
        id: route.route_id.as_str().into(),
        template: route.r#match.paths.join("|").into(),
        destination: Destination::new(&route.upstream, &route.timeouts)
            .map_err(|e| format!("route `{}`: {e}", route.route_id))?,
        injections: injections.map_err(|e| format!("route `{}`: {e}", route.route_id))?,
        clear_headers: clear.collect(),
        clear_query: route.clear.query.clone(),
        clear_cookies: route.clear.cookies.clone(),
        metered: Metered::new(route),
        series: metrics.route(&route.route_id, profile),
    })
}
