//! What a request may say inside its protocol: a set of items, of which only those matter that
//! some block tells apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::block::{Block, GitService, GraphqlBlock, McpBlock, NamePattern, Operation, RefPattern};
use crate::content::git::{Change, RefCommand};
use crate::content::graphql::Selection;
use crate::content::json_rpc::Call;
use crate::content::{Content, Inspection, Reading};

/// Suppositions about the content of one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Items {
    kind: Inspection,
    /// `None`: it cannot be read. Otherwise one item of every kind that the blocks tell apart, and
    /// whether the content has it, as far as that is supposed.
    items: Option<Vec<(Item, Option<bool>)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Item {
    Command(String, u8),
    Want(String),
    Selection(Operation, String),
    Call(String, Option<String>),
}

/// More than this many items that differ are not gone through one by one.
const ITEMS_MAX: usize = 4096;

/// The ways in which content of this kind can begin to be supposed.
pub(super) fn kinds(kind: Inspection, blocks: &[(&Block, bool)]) -> Vec<Items> {
    let all = match kind {
        Inspection::GitCommands => commands(blocks),
        Inspection::GitWants => {
            references(blocks, GitService::UploadPack).into_iter().map(Item::Want).collect()
        }
        Inspection::Graphql => selections(blocks),
        Inspection::JsonRpc => calls(blocks),
    };
    // Items that no block tells apart are one.
    let mut apart = BTreeMap::new();
    for item in all.into_iter().take(ITEMS_MAX) {
        let sign: Vec<bool> = blocks.iter().map(|(block, d)| item.is_inside(block, *d)).collect();
        apart.entry(sign).or_insert(item);
    }
    let items = apart.into_values().map(|item| (item, None)).collect();
    let mut ways = vec![Items { kind, items: Some(items) }, Items { kind, items: None }];
    if matches!(kind, Inspection::GitCommands | Inspection::GitWants) {
        // A push may ask for nothing yet, to see whether it may, and a fetch what there is.
        ways.push(Items { kind, items: Some(Vec::new()) });
    }
    ways
}

impl Items {
    /// `None` when nothing would be left in it.
    pub(super) fn with(&self, at: usize, held: bool) -> Option<Self> {
        let mut next = self.clone();
        let items = next.items.as_mut()?;
        items.get_mut(at)?.1 = Some(held);
        items.iter().any(|(_, held)| *held != Some(false)).then_some(next)
    }

    /// Whether a route with the block takes it, or the item on which that depends.
    pub(super) fn told(&self, block: &Block, denying: bool) -> Result<bool, usize> {
        let Some(items) = &self.items else { return Ok(denying) };
        let mut open = None;
        for (at, (item, held)) in items.iter().enumerate() {
            let decides = item.is_inside(block, denying) == denying;
            match held {
                Some(true) if decides => return Ok(denying),
                None if decides => open = open.or(Some(at)),
                Some(_) | None => {}
            }
        }
        open.map_or(Ok(!denying), Err)
    }

    pub(super) fn is_readable(&self) -> bool {
        self.items.is_some()
    }

    /// Writes into `content` what was read of this kind.
    pub(super) fn write(&self, content: &mut Content) {
        let Some(items) = &self.items else {
            match self.kind {
                Inspection::GitCommands => content.git = Reading::Unreadable,
                Inspection::GitWants => content.wants = Reading::Unreadable,
                Inspection::Graphql => content.graphql = Reading::Unreadable,
                Inspection::JsonRpc => content.json_rpc = Reading::Unreadable,
            }
            return;
        };
        let sure = |want: Option<bool>| items.iter().filter(move |(_, held)| *held == want);
        // When nothing is sure to be in it, whatever is open is.
        let mut held: Vec<&Item> = sure(Some(true)).map(|(item, _)| item).collect();
        if held.is_empty() {
            held.extend(sure(None).map(|(item, _)| item).next());
        }
        let (mut git, mut wants) = (Vec::new(), Vec::new());
        let (mut graphql, mut json_rpc) = (Vec::new(), Vec::new());
        for item in held {
            match item {
                Item::Command(..) => git.extend(item.command()),
                Item::Want(name) => wants.push(name.clone()),
                Item::Selection(..) => graphql.extend(item.selection()),
                Item::Call(..) => json_rpc.extend(item.call()),
            }
        }
        match self.kind {
            Inspection::GitCommands if git.is_empty() => content.git = Reading::Nothing,
            Inspection::GitCommands => content.git = Reading::of(Ok(git)),
            Inspection::GitWants if wants.is_empty() => content.wants = Reading::Nothing,
            Inspection::GitWants => content.wants = Reading::of(Ok(wants)),
            Inspection::Graphql => content.graphql = Reading::of(Ok(graphql)),
            Inspection::JsonRpc => content.json_rpc = Reading::of(Ok(json_rpc)),
        }
    }
}

impl Item {
    fn is_inside(&self, block: &Block, denying: bool) -> bool {
        match block {
            Block::Git(block) => match (block.service, self) {
                (GitService::UploadPack, Self::Want(name)) => block.names(name),
                (GitService::UploadPack, _) => false,
                (GitService::ReceivePack, _) => {
                    self.command().is_some_and(|c| block.holds(&c, denying))
                }
            },
            Block::Graphql(block) => self.selection().is_some_and(|s| block.holds(&s)),
            Block::Mcp(block) => self.call().is_some_and(|call| block.holds(&call)),
            Block::Grpc(_) => false,
        }
    }

    fn command(&self) -> Option<RefCommand> {
        let Self::Command(name, change) = self else { return None };
        let change = match change {
            0 => Change::Create,
            1 => Change::Move,
            _ => Change::Delete,
        };
        Some(RefCommand { name: name.clone(), change })
    }

    fn selection(&self) -> Option<Selection> {
        let Self::Selection(operation, field) = self else { return None };
        Some(Selection { operation: *operation, field: field.clone() })
    }

    fn call(&self) -> Option<Call> {
        let Self::Call(method, tool) = self else { return None };
        Some(Call { method: method.clone(), tool: tool.clone() })
    }
}

/// A text that is none of those, beginning with `from`.
fn other<'t>(from: &str, known: impl Iterator<Item = &'t str> + Clone) -> String {
    let mut text = format!("{from}x");
    while known.clone().any(|known| known == text) {
        text.push('x');
    }
    text
}

fn selections(blocks: &[(&Block, bool)]) -> Vec<Item> {
    let graphql = |block: &(&'_ Block, bool)| match block.0 {
        Block::Graphql(block) => Some(block.clone()),
        Block::Git(_) | Block::Mcp(_) | Block::Grpc(_) => None,
    };
    let blocks: Vec<GraphqlBlock> = blocks.iter().filter_map(graphql).collect();
    let fields: BTreeSet<&str> =
        blocks.iter().flat_map(|b| b.fields.iter().flatten()).map(String::as_str).collect();
    let free = other("", fields.iter().copied());
    let fields: Vec<&str> = fields.into_iter().chain([free.as_str()]).collect();
    let operations = [Operation::Query, Operation::Mutation, Operation::Subscription];
    let with =
        |operation| fields.iter().map(move |field| Item::Selection(operation, (*field).to_owned()));
    operations.into_iter().flat_map(with).collect()
}

/// For every pattern one name of its own: those in which it is the longest that matches.
fn names<'t>(patterns: impl Iterator<Item = &'t str>) -> BTreeSet<String> {
    let patterns: Vec<NamePattern<'_>> = patterns.filter_map(NamePattern::parse).collect();
    let texts = patterns.iter().map(|pattern| pattern.witness());
    let mut names: BTreeSet<String> = texts.clone().map(str::to_owned).collect();
    for pattern in &patterns {
        match pattern {
            NamePattern::Prefix(prefix) => {
                // A byte that continues no other pattern here.
                let free =
                    |c: &char| !texts.clone().any(|t| t.starts_with(&format!("{prefix}{c}")));
                let next = ('a'..='z').chain('\u{100}'..='\u{200}').find(free).unwrap_or('x');
                names.insert(format!("{prefix}{next}"));
            }
            NamePattern::Exact(_) => {}
        }
    }
    let free = |c: &char| !texts.clone().any(|text| text.starts_with(*c));
    let next = ('x'..='z').chain('a'..='w').chain('\u{100}'..='\u{200}').find(free);
    names.insert(String::from(next.unwrap_or('x')));
    names.insert(String::new());
    names
}

fn calls(blocks: &[(&Block, bool)]) -> Vec<Item> {
    let mcp = |block: &(&'_ Block, bool)| match block.0 {
        Block::Mcp(block) => Some(block.clone()),
        Block::Git(_) | Block::Graphql(_) | Block::Grpc(_) => None,
    };
    let blocks: Vec<McpBlock> = blocks.iter().filter_map(mcp).collect();
    let call = crate::block::TOOLS_CALL;
    let methods = blocks.iter().flat_map(|b| b.method.iter().flatten()).map(String::as_str);
    let tools = names(blocks.iter().flat_map(|b| b.tools.iter().flatten()).map(String::as_str));
    let mut items: Vec<Item> =
        names(methods).into_iter().filter(|m| m != call).map(|m| Item::Call(m, None)).collect();
    items.push(Item::Call(call.to_owned(), None));
    items.extend(tools.into_iter().map(|tool| Item::Call(call.to_owned(), Some(tool))));
    items
}

fn commands(blocks: &[(&Block, bool)]) -> Vec<Item> {
    let names = references(blocks, GitService::ReceivePack);
    names.iter().flat_map(|name| (0..3).map(|change| Item::Command(name.clone(), change))).collect()
}

/// For everything that patterns of the service's blocks have in common, one name of its own.
fn references(blocks: &[(&Block, bool)], service: GitService) -> BTreeSet<String> {
    let mut texts: BTreeSet<String> = BTreeSet::new();
    for (block, _) in blocks {
        match block {
            Block::Git(block) if block.service == service => {
                texts.extend(block.refs.iter().flatten().cloned());
            }
            Block::Git(_) | Block::Graphql(_) | Block::Mcp(_) | Block::Grpc(_) => {}
        }
    }
    texts.insert("refs/**".to_owned());
    // Closed under intersection: what several patterns share has a name of its own.
    let mut all: Vec<String> = texts.into_iter().collect();
    let mut at = 0;
    while at < all.len() && all.len() < ITEMS_MAX / 3 {
        let shared: Vec<String> = all
            .iter()
            .take(at)
            .filter_map(|other| shared(other, all.get(at).map_or("", String::as_str)))
            .collect();
        for text in shared {
            if !all.contains(&text) {
                all.push(text);
            }
        }
        at += 1;
    }
    let known: Vec<&str> = all.iter().flat_map(|text| text.split('/')).collect();
    let free = other("", known.iter().copied());
    let name = |text: &String| {
        let (name, below) = text.strip_suffix("/**").map_or((text.as_str(), false), |n| (n, true));
        let parts = name.split('/').map(|part| if part == "*" { free.as_str() } else { part });
        let mut parts: Vec<&str> = parts.collect();
        if below {
            parts.push(&free);
        }
        parts.join("/")
    };
    all.iter().filter(|text| RefPattern::parse(text).is_some()).map(name).collect()
}

/// The references that both patterns match, as a pattern.
fn shared(a: &str, b: &str) -> Option<String> {
    let split = |text: &str| {
        let (name, below) = text.strip_suffix("/**").map_or((text, false), |name| (name, true));
        (name.split('/').map(str::to_owned).collect::<Vec<_>>(), below)
    };
    let ((x, x_below), (y, y_below)) = (split(a), split(b));
    let overlap = match (x_below, y_below) {
        (true, true) => true,
        (true, false) => y.len() > x.len(),
        (false, true) => x.len() > y.len(),
        (false, false) => x.len() == y.len(),
    };
    if !overlap {
        return None;
    }
    let both = x.iter().zip(&y).map(|(a, b)| match (a.as_str(), b.as_str()) {
        ("*", other) | (other, "*") => Some(other.to_owned()),
        (a, b) => (a == b).then(|| a.to_owned()),
    });
    let mut parts = both.collect::<Option<Vec<_>>>()?;
    let longer = if x.len() > y.len() { &x } else { &y };
    parts.extend(longer.iter().skip(parts.len()).cloned());
    let below = x_below && y_below;
    Some(format!("{}{}", parts.join("/"), if below { "/**" } else { "" }))
}

impl fmt::Display for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(items) = &self.items else {
            return write!(f, "{} not readable", self.kind.as_str());
        };
        let text = |item: &Item| match item {
            Item::Command(name, 0) => format!("create {name}"),
            Item::Command(name, 1) => format!("update {name}"),
            Item::Command(name, _) => format!("delete {name}"),
            Item::Want(name) => format!("want {name}"),
            Item::Selection(operation, field) => format!("{} {field}", operation.as_str()),
            Item::Call(method, Some(tool)) => format!("{method} {tool}"),
            Item::Call(method, None) => method.clone(),
        };
        let list = |wanted: bool| {
            let held = items.iter().filter(move |(_, held)| *held == Some(wanted));
            held.map(|(item, _)| text(item)).collect::<Vec<_>>().join(", ")
        };
        write!(f, "{} with {{{}}} without {{{}}}", self.kind.as_str(), list(true), list(false))
    }
}
