//! What is supposed about one request at a place, one dimension after the other: its method, its
//! headers, its query and its content. Only what some route asks about is ever supposed.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{self, Items};
use super::witness::Witness;
use crate::block::{Block, GitBlock, GitService};
use crate::canonical::{self, Host, Scheme};
use crate::content::{Content, Inspection, Told, told};
use crate::key::{HeaderValue, Headers, MatchKey};
use crate::plan::{Action, Condition, Route};

/// Scheme, host, port and path: all that does not have to be supposed.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Canonical.
    pub(super) path: String,
}

/// Suppositions. What is not in here is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Facts {
    pub(super) method: Option<String>,
    pub(super) headers: BTreeMap<String, Named>,
    pub(super) query: BTreeMap<String, Named>,
    /// By the protocol that it is read as. What can be read as one cannot be as another.
    pub(super) content: BTreeMap<Inspection, Items>,
}

/// What stands under one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Named {
    None,
    One(String),
    /// Several, for each value whether it is one of them.
    Many(BTreeMap<String, bool>),
}

/// What has to be supposed next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Open {
    Method,
    Header(String),
    Query(String),
    /// Whether the value is one of several.
    Among(String, String),
    Content(Inspection),
    /// Whether the content holds the item with this number.
    Item(Inspection, usize),
}

/// Everything that the candidates at a spot ask about.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary<'p> {
    pub(super) methods: BTreeSet<&'p str>,
    headers: BTreeMap<&'p str, BTreeSet<&'p str>>,
    query: BTreeMap<&'p str, BTreeSet<&'p str>>,
    pub(super) blocks: Vec<(&'p Block, bool)>,
}

/// Where git says which version of its protocol it speaks.
const VERSION: &str = "git-protocol";

fn asks_for_version(block: &GitBlock) -> bool {
    block.service == GitService::UploadPack && block.looks_inside()
}

/// For a method that no route names, the first of these that none does.
const METHODS: [&str; 9] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "OTHER", "ANOTHER"];

impl<'p> Vocabulary<'p> {
    pub(super) fn of(routes: impl Iterator<Item = &'p Route>) -> Self {
        let mut words = Self::default();
        for route in routes {
            let wanted = &route.r#match;
            words.methods.extend(wanted.methods.iter().flatten().map(String::as_str));
            for condition in &wanted.headers {
                note(&mut words.headers, condition);
            }
            for condition in &wanted.query {
                note(&mut words.query, condition);
            }
            if let Some(block) = &wanted.block {
                words.block(block, route.action == Action::Deny);
            }
        }
        words
    }

    fn block(&mut self, block: &'p Block, denying: bool) {
        if !self.blocks.contains(&(block, denying)) {
            self.blocks.push((block, denying));
        }
        self.methods.extend(["GET", "POST", "OPTIONS"]);
        let types: &[&str] = match block {
            Block::Git(_) => {
                // An escape may hide any service.
                let services = ["git-receive-pack", "git-upload-pack", "%"];
                self.query.entry("service").or_default().extend(services);
                &[]
            }
            Block::Graphql(_) => {
                self.query.entry("query").or_default();
                &["application/graphql", "application/json"]
            }
            Block::Mcp(_) => &["application/json"],
            Block::Grpc(_) => &["application/grpc"],
        };
        if !types.is_empty() {
            self.headers.entry("content-type").or_default().extend(types);
        }
        if matches!(block, Block::Git(block) if asks_for_version(block)) {
            self.headers.entry(VERSION).or_default().insert("version=2");
        }
        if matches!(block, Block::Graphql(_) | Block::Mcp(_)) {
            // A request may ask for more than its method says, and this is one way to do so.
            self.headers.entry("upgrade").or_default();
            self.methods.insert("DELETE");
        }
    }

    /// A method that no candidate lists.
    pub(super) fn other_method(&self) -> String {
        let free = METHODS.into_iter().find(|method| !self.methods.contains(method));
        free.map_or_else(|| self.longest_method(), str::to_owned)
    }

    fn longest_method(&self) -> String {
        let longest = self.methods.iter().map(|method| method.len()).max().unwrap_or_default();
        "X".repeat(longest + 1)
    }

    /// Every way in which what is open may be settled; together they leave nothing out.
    pub(super) fn split(&self, facts: &Facts, open: &Open) -> Vec<Facts> {
        match open {
            Open::Method => {
                let listed = self.methods.iter().map(|method| (*method).to_owned());
                let with = |method| Facts { method: Some(method), ..facts.clone() };
                [self.other_method()].into_iter().chain(listed).map(with).collect()
            }
            Open::Header(name) => {
                let all = named(self.headers.get(name.as_str()));
                all.into_iter().map(|named| facts.with_header(name, named)).collect()
            }
            Open::Query(name) => {
                let all = named(self.query.get(name.as_str()));
                all.into_iter().map(|named| facts.with_query(name, named)).collect()
            }
            Open::Among(name, value) => {
                [false, true].map(|is| facts.with_among(name, value, is)).into()
            }
            Open::Content(kind) => content::kinds(*kind, &self.blocks)
                .into_iter()
                .map(|items| facts.with_content(*kind, items))
                .collect(),
            Open::Item(kind, at) => [true, false]
                .into_iter()
                .filter_map(|held| {
                    let items = facts.content.get(kind)?.with(*at, held)?;
                    Some(facts.with_content(*kind, items))
                })
                .collect(),
        }
    }
}

fn note<'p>(names: &mut BTreeMap<&'p str, BTreeSet<&'p str>>, condition: &'p Condition) {
    let values = names.entry(condition.name.as_str()).or_default();
    values.extend(condition.equals.as_deref());
}

fn named(values: Option<&BTreeSet<&str>>) -> Vec<Named> {
    let values = values.into_iter().flatten().copied();
    let mut other = String::from("1");
    while values.clone().any(|value| value == other) {
        other.push('1');
    }
    let ones = values.map(|value| Named::One(value.to_owned()));
    let rest = [Named::None, Named::One(other), Named::Many(BTreeMap::new())];
    rest.into_iter().chain(ones).collect()
}

impl Facts {
    fn with_header(&self, name: &str, named: Named) -> Self {
        let mut facts = self.clone();
        facts.headers.insert(name.to_owned(), named);
        facts
    }

    fn with_query(&self, name: &str, named: Named) -> Self {
        let mut facts = self.clone();
        facts.query.insert(name.to_owned(), named);
        facts
    }

    fn with_content(&self, kind: Inspection, items: Items) -> Self {
        let mut facts = self.clone();
        facts.content.insert(kind, items);
        facts
    }

    fn with_among(&self, name: &str, value: &str, is: bool) -> Self {
        let mut facts = self.clone();
        if let Some(Named::Many(values)) = facts.query.get_mut(name) {
            values.insert(value.to_owned(), is);
        }
        facts
    }

    /// Whether the route takes every request of which this is true at a spot that it names, or
    /// none; otherwise what has to be supposed to know.
    pub(super) fn takes(&self, spot: &Spot, route: &Route) -> Result<bool, Open> {
        let wanted = &route.r#match;
        let denying = route.action == Action::Deny;
        let slash = wanted.allow_encoded_slash || !spot.path.contains("%2F");
        let empty = wanted.allow_empty_segments || !spot.path.contains("//");
        let written = denying || (slash && empty);
        if !written {
            return Ok(false);
        }
        let mut open = None;
        let mut all = true;
        let mut and = |told: Result<bool, Open>| match told {
            Ok(holds) => all &= holds,
            Err(dimension) => open = open.take().or(Some(dimension)),
        };
        if let Some(methods) = &wanted.methods {
            let method = self.method.as_ref().ok_or(Open::Method);
            and(method.map(|method| methods.contains(method)));
        }
        for condition in &wanted.headers {
            let open = || Open::Header(condition.name.clone());
            let named = self.headers.get(&condition.name).ok_or_else(open);
            and(named.map(|named| header_holds(condition, named, denying)));
        }
        for condition in &wanted.query {
            let open = || Open::Query(condition.name.clone());
            let named = self.query.get(&condition.name).ok_or_else(open);
            and(named.and_then(|named| query_holds(condition, named, denying)));
        }
        if !all {
            return Ok(false);
        }
        match (open, &wanted.block) {
            (Some(open), _) => Err(open),
            (None, None) => Ok(true),
            (None, Some(block)) => self.block_takes(spot, block, denying),
        }
    }

    fn block_takes(&self, spot: &Spot, block: &Block, denying: bool) -> Result<bool, Open> {
        let Some(method) = &self.method else { return Err(Open::Method) };
        // With POST it means the same as another content type: what is said cannot be told.
        let disguises = matches!(block, Block::Graphql(_) | Block::Mcp(_)) && method != "POST";
        if disguises && !self.headers.contains_key("upgrade") {
            return Err(Open::Header("upgrade".to_owned()));
        }
        let (header, query) = match block {
            Block::Git(block) => (asks_for_version(block).then_some(VERSION), Some("service")),
            Block::Graphql(_) => (Some("content-type"), Some("query")),
            Block::Mcp(_) | Block::Grpc(_) => (Some("content-type"), None),
        };
        if let Some(name) = header.filter(|name| !self.headers.contains_key(*name)) {
            return Err(Open::Header(name.to_owned()));
        }
        if let Some(name) = query.filter(|name| !self.query.contains_key(*name)) {
            return Err(Open::Query(name.to_owned()));
        }
        let told = self.head(spot).with_key(|key| told(block, key, &Content::UNREAD, denying));
        match told {
            Some(Told::Inside) => Ok(true),
            Some(Told::Outside) | None => Ok(false),
            Some(Told::Needs(kind)) => match self.content.get(&kind) {
                Some(items) => items.told(block, denying).map_err(|at| Open::Item(kind, at)),
                None if self.is_readable() => Ok(denying),
                None => Err(Open::Content(kind)),
            },
        }
    }

    /// Whether the content is readable as that of some protocol, and so not as another's.
    fn is_readable(&self) -> bool {
        self.content.values().any(Items::is_readable)
    }

    /// A request at the spot of which all this is true.
    pub(super) fn witness(&self, spot: &Spot) -> Witness {
        Witness { content: self.read(), ..self.head(spot) }
    }

    fn head(&self, spot: &Spot) -> Witness {
        let usual = if self.content.is_empty() { "GET" } else { "POST" };
        Witness {
            scheme: spot.scheme,
            host: spot.host.clone(),
            port: spot.port,
            path: spot.path.clone(),
            method: self.method.clone().unwrap_or_else(|| usual.to_owned()),
            headers: pairs(&self.headers),
            query: pairs(&self.query),
            content: Content::UNREAD,
        }
    }
}

impl Facts {
    fn read(&self) -> Content {
        let mut content = if self.is_readable() { Content::UNREADABLE } else { Content::UNREAD };
        self.content.values().for_each(|items| items.write(&mut content));
        content
    }
}

fn pairs(names: &BTreeMap<String, Named>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, named) in names {
        let mut push = |value: &str| pairs.push((name.clone(), value.to_owned()));
        match named {
            Named::None => {}
            Named::One(value) => push(value),
            Named::Many(values) => {
                let mut other = String::from("1");
                while values.contains_key(&other) {
                    other.push('1');
                }
                let listed = values.iter().filter(|(_, is)| **is).map(|(value, _)| value.as_str());
                let listed: Vec<&str> = listed.collect();
                listed.iter().for_each(|value| push(value));
                (listed.len()..2).for_each(|_| push(&other));
            }
        }
    }
    pairs
}

/// A repeated header fails an allowing route, and meets whatever a denying one asks for.
fn header_holds(condition: &Condition, named: &Named, denying: bool) -> bool {
    match (named, &condition.equals, condition.present) {
        (Named::None, Some(_), _) => false,
        (Named::None, None, present) => present == Some(false),
        (Named::One(value), Some(wanted), _) => value == wanted,
        (Named::One(_), None, present) => present != Some(false),
        (Named::Many(_), None, Some(false)) => false,
        (Named::Many(_), _, _) => denying,
    }
}

fn query_holds(condition: &Condition, named: &Named, denying: bool) -> Result<bool, Open> {
    match (named, &condition.equals) {
        (Named::Many(values), Some(wanted)) if denying => {
            let open = || Open::Among(condition.name.clone(), wanted.clone());
            values.get(wanted).copied().ok_or_else(open)
        }
        _ => Ok(header_holds(condition, named, denying)),
    }
}

/// The headers of a supposed request.
#[derive(Debug)]
pub(super) struct Pairs<'w>(pub(super) &'w [(String, String)]);

impl Headers for Pairs<'_> {
    fn value(&self, name: &str) -> HeaderValue<'_> {
        let mut values = self.0.iter().filter(|(named, _)| named == name);
        match (values.next(), values.next()) {
            (None, _) => HeaderValue::None,
            (Some((_, value)), None) => HeaderValue::One(value.as_bytes()),
            (Some(_), Some(_)) => HeaderValue::Many,
        }
    }
}

/// Runs `ask` with the key of a request, when it has a canonical form.
pub(super) fn with_key<T>(witness: &Witness, ask: impl FnOnce(&MatchKey<'_>) -> T) -> Option<T> {
    let target = witness.target();
    let target = canonical::target(target.as_bytes()).ok()?;
    Some(ask(&MatchKey {
        scheme: witness.scheme,
        host: &witness.host,
        port: witness.port,
        method: &witness.method,
        target: &target,
        headers: &Pairs(&witness.headers),
    }))
}

impl Facts {
    /// In words, without the method.
    pub(super) fn conditions(&self, words: &Vocabulary<'_>) -> Vec<String> {
        let text = |name: &str, named: &Named, known: Option<&BTreeSet<&str>>| match named {
            Named::None => format!("no {name}"),
            Named::One(value) if known.is_some_and(|known| known.contains(value.as_str())) => {
                format!("{name}={value}")
            }
            Named::One(_) => format!("{name}=(another)"),
            Named::Many(values) => {
                let is = |(value, is): (&String, &bool)| is.then(|| format!(" {value}"));
                let listed: String = values.iter().filter_map(is).collect();
                format!("{name} repeated{listed}")
            }
        };
        let headers = self.headers.iter().map(|(name, named)| {
            format!("header {}", text(name, named, words.headers.get(name.as_str())))
        });
        let query = self.query.iter().map(|(name, named)| {
            format!("query {}", text(name, named, words.query.get(name.as_str())))
        });
        let content = self.content.values().map(ToString::to_string);
        headers.chain(query).chain(content).collect()
    }
}
