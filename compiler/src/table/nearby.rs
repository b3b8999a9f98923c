//! Routes that a refused request may have been meant for, as a hint. Bounded work: refusals are
//! what a hostile sandbox can cause at will.

use std::cmp::Reverse;

use super::index::{Entry, Item, Level};
use super::{RouteIndex, RouteTable};
use crate::canonical::Scheme;
use crate::key::MatchKey;

/// How many of a level's routes are looked at, around the place where the path would stand.
const WINDOW: usize = 64;

impl RouteTable {
    /// Routes on this host nearest to the key, nearest first: at most `n`, in an order that
    /// depends on plan and key only.
    pub fn nearby(&self, key: &MatchKey<'_>, n: usize) -> Vec<RouteIndex> {
        let mut near: Vec<_> = Vec::new();
        for level in self.levels_for(key) {
            let items = self.index.items.get(level.item_range()).unwrap_or_default();
            let path = key.target.path();
            let here = items.partition_point(|item| self.item_path(item) < path);
            let window = items.iter().skip(here.saturating_sub(WINDOW / 2)).take(WINDOW);
            // The head, too: `/**` and `/{…}` sort away from what they match.
            for item in items.iter().take(WINDOW / 2).chain(window) {
                near.push((Reverse(self.likeness(item, key)), RouteIndex(item.route)));
            }
        }
        near.sort_unstable();
        let mut routes: Vec<RouteIndex> = Vec::with_capacity(n.min(near.len()));
        for (_, route) in near {
            if routes.len() == n {
                break;
            }
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
        routes
    }

    /// Every route that names the key's host and port, most specific level first.
    pub(crate) fn candidates(&self, key: &MatchKey<'_>) -> Vec<RouteIndex> {
        let mut routes = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for level in self.levels_for(key) {
            for item in self.index.items.get(level.item_range()).unwrap_or_default() {
                if seen.insert(item.route) {
                    routes.push(RouteIndex(item.route));
                }
            }
        }
        routes
    }

    fn levels_for(&self, key: &MatchKey<'_>) -> impl Iterator<Item = &Level> {
        let entry = |scheme: Scheme| self.index.entry(scheme, key.host, key.port);
        let levels = |entry: &Entry| self.index.levels(entry).iter();
        entry(key.scheme).map(levels).into_iter().flatten()
    }

    fn item_path(&self, item: &Item) -> &str {
        let route = self.route(RouteIndex(item.route));
        let at = usize::try_from(item.path).unwrap_or(usize::MAX);
        route.and_then(|route| route.r#match.paths.get(at)).map_or("", String::as_str)
    }

    /// Leading segments in common, and whether the method fits.
    fn likeness(&self, item: &Item, key: &MatchKey<'_>) -> (usize, bool) {
        let pattern = self.item_path(item).split('/');
        let common = pattern
            .zip(key.target.path().split('/'))
            .take_while(|(wanted, part)| wanted == part || wanted.starts_with('{'))
            .count();
        let listed = |methods: &Vec<String>| methods.iter().any(|method| method == key.method);
        let route = self.route(RouteIndex(item.route));
        (common, route.is_some_and(|route| route.r#match.methods.as_ref().is_none_or(listed)))
    }
}
