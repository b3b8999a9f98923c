//! What a plan decides, written from page 02 (§2 and §4) and nothing else: look at every route, keep
//! those that match, take the best. It shares no code with the table but the canonical form of
//! hosts and targets, the plan's own types, and the words for an outcome.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses a part of what is shared here"
)]

use std::cmp::Reverse;

use sallygate_compiler::block::{Block, GitBlock, GitService, GitUpdate, GrpcBlock, McpBlock};
use sallygate_compiler::canonical::{self, Host, Scheme};
use sallygate_compiler::content::git::{Change, RefCommand};
use sallygate_compiler::content::json_rpc::Call;
use sallygate_compiler::content::{Content, Reading};
use sallygate_compiler::key::{HeaderValue, Headers};
use sallygate_compiler::plan::{Action, Condition, Plan, Route, Unmatched};
use sallygate_compiler::table::{Miss, RouteIndex, Verdict};

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<String>)>,
    /// What was read of what it says inside its protocol.
    pub(crate) content: Content,
}

impl Request {
    fn named<'r>(&self, list: &'r [(String, Vec<String>)], name: &str) -> &'r [String] {
        list.iter().find(|(n, _)| n == name).map(|(_, values)| &values[..]).unwrap_or_default()
    }

    fn parameters(&self, name: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(n, _)| n.replace("%61", "a") == name).map(|(_, v)| v.to_owned()).collect()
    }
}

pub(crate) struct Fields<'r>(pub(crate) &'r [(String, Vec<String>)]);

impl Headers for Fields<'_> {
    fn value(&self, name: &str) -> HeaderValue<'_> {
        match self.0.iter().find(|(n, _)| n == name).map(|(_, values)| &values[..]) {
            None | Some([]) => HeaderValue::None,
            Some([value]) => HeaderValue::One(value.as_bytes()),
            Some(_) => HeaderValue::Many,
        }
    }
}

/// Lower is better.
pub(crate) type Rank = ((u8, Reverse<usize>), bool, Vec<u8>, bool, Reverse<usize>, String);

fn host_rank(pattern: &str, host: &Host) -> Option<(u8, Reverse<usize>)> {
    let labels: Vec<&str> = host.as_str().split('.').collect();
    let wildcard = |suffix: &str| {
        let suffix: Vec<&str> = suffix.split('.').collect();
        let more = labels.len().checked_sub(suffix.len())?;
        (host.ip().is_none() && labels[more..] == suffix[..] && more > 0).then_some(more)
    };
    if pattern == "*" {
        return Some((3, Reverse(0)));
    }
    if let Some(suffix) = pattern.strip_prefix("**.") {
        return wildcard(suffix).map(|_| (2, Reverse(suffix.len())));
    }
    if let Some(suffix) = pattern.strip_prefix("*.") {
        return wildcard(suffix).filter(|more| *more == 1).map(|_| (1, Reverse(suffix.len())));
    }
    (pattern == host.as_str()).then_some((0, Reverse(pattern.len())))
}

fn path_rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    const END: u8 = 0;
    const LITERAL: u8 = 1;
    const PARAMETER: u8 = 2;
    const TAIL: u8 = 3;
    let mut parts = path[1..].split('/');
    let mut rank = Vec::new();
    for wanted in pattern[1..].split('/') {
        if wanted == "**" {
            rank.push(TAIL);
            return Some(rank);
        }
        let part = parts.next()?;
        if wanted.starts_with('{') {
            if part.is_empty() {
                return None;
            }
            rank.push(PARAMETER);
        } else if wanted == part {
            rank.push(LITERAL);
        } else {
            return None;
        }
    }
    rank.push(END);
    parts.next().is_none().then_some(rank)
}

fn condition_holds(condition: &Condition, values: &[String], deny: bool) -> bool {
    match (&condition.equals, condition.present) {
        (Some(wanted), _) if deny => values.contains(wanted),
        (Some(wanted), _) => values == [wanted.clone()],
        (None, Some(true)) if deny => !values.is_empty(),
        (None, Some(true)) => values.len() == 1,
        (None, _) => values.is_empty(),
    }
}

pub(crate) fn outcome(route: &Route, request: &Request) -> Result<Vec<Rank>, Miss> {
    let wanted = &route.r#match;
    let deny = route.action == Action::Deny;
    let port = match &wanted.ports {
        Some(ports) => ports.contains(&request.port),
        None => request.port == wanted.scheme.default_port(),
    };
    let host = canonical::host(request.host.as_bytes()).unwrap();
    let hosts: Vec<_> = wanted.hosts.iter().filter_map(|p| host_rank(p, &host)).collect();
    if hosts.is_empty() || !port || wanted.scheme != request.scheme {
        return Err(Miss::Host);
    }
    let target = canonical::target(request.target.as_bytes()).unwrap();
    let paths: Vec<_> = wanted.paths.iter().filter_map(|p| path_rank(p, target.path())).collect();
    if paths.is_empty() {
        return Err(Miss::Path);
    }
    if wanted.methods.as_ref().is_some_and(|methods| !methods.contains(&request.method)) {
        return Err(Miss::Method);
    }
    let header = |c: &Condition| condition_holds(c, request.named(&request.headers, &c.name), deny);
    let query = |c: &Condition| condition_holds(c, &request.parameters(&c.name), deny);
    if !wanted.headers.iter().all(header) || !wanted.query.iter().all(query) {
        return Err(Miss::Condition);
    }
    if !deny && !wanted.allow_encoded_slash && target.has_encoded_slash() {
        return Err(Miss::EncodedSlash);
    }
    if !deny && !wanted.allow_empty_segments && target.has_empty_segment() {
        return Err(Miss::EmptySegment);
    }
    if wanted.block.as_ref().is_some_and(|block| !block_takes(block, request, deny)) {
        return Err(Miss::Content);
    }
    let block = usize::from(wanted.block.is_some());
    let conditions = Reverse(wanted.headers.len() + wanted.query.len() + block);
    let mut ranks = Vec::new();
    for host in hosts {
        for path in &paths {
            let (any_port, any_method) = (wanted.ports.is_none(), wanted.methods.is_none());
            let id = route.route_id.clone();
            ranks.push((host, any_port, path.clone(), any_method, conditions, id));
        }
    }
    Ok(ranks)
}

pub(crate) fn specification(plan: &Plan, request: &Request) -> Verdict {
    let (mut denies, mut allows, mut furthest) = (Vec::new(), Vec::new(), Miss::Host);
    for (index, route) in plan.egress_routes.iter().enumerate() {
        let index = RouteIndex(u32::try_from(index).unwrap());
        match outcome(route, request) {
            Ok(ranks) => {
                let list = if route.action == Action::Deny { &mut denies } else { &mut allows };
                list.extend(ranks.into_iter().map(|rank| (rank, index, route.action)));
            }
            Err(miss) if route.action != Action::Deny => furthest = furthest.max(miss),
            // A deny that does not match is no candidate for being let through.
            Err(miss) => furthest = furthest.max(miss.min(Miss::Path)),
        }
    }
    denies.sort_by(|a: &(Rank, RouteIndex, Action), b| a.0.cmp(&b.0));
    allows.sort_by(|a: &(Rank, RouteIndex, Action), b| a.0.cmp(&b.0));
    if let Some((_, index, _)) = denies.first() {
        return Verdict::Deny(*index);
    }
    match allows.first() {
        Some((_, index, Action::Hold)) => return Verdict::Hold(*index),
        Some((_, index, _)) => return Verdict::Allow(*index),
        None => {}
    }
    let host = canonical::host(request.host.as_bytes()).unwrap();
    let managed = plan.egress_routes.iter().any(|route| {
        let names = |pattern: &String| host_rank(pattern, &host).is_some();
        !route.inject.is_empty() && route.r#match.hosts.iter().any(names)
    });
    match plan.unmatched {
        Unmatched::Passthrough if !managed => Verdict::Passthrough,
        Unmatched::Passthrough | Unmatched::Deny => Verdict::NoRoute { managed, reason: furthest },
    }
}

// ---- protocol blocks -----------------------------------------------------------------------------
//
// For requests whose head tells clearly whether they are of a protocol. An allowing route takes one
// when all that it asks for is inside the block, a denying one when anything is, or when it cannot
// be told.

fn block_takes(block: &Block, request: &Request, deny: bool) -> bool {
    let path = request.target.split('?').next().unwrap();
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let kind = request.named(&request.headers, "content-type").first().map_or("", String::as_str);
    let last = path.rsplit('/').next().unwrap();
    let (get, post) = (request.method == "GET", request.method == "POST");
    match block {
        Block::Git(block) => {
            let program = match block.service {
                GitService::UploadPack => "git-upload-pack",
                GitService::ReceivePack => "git-receive-pack",
            };
            let discovers = get && path.ends_with("/info/refs");
            let version_2 = request.named(&request.headers, "git-protocol") == ["version=2"];
            if block.service == GitService::UploadPack && block.refs.is_some() {
                // Only version 2 lists references where they can be told apart.
                let asked = query == format!("service={program}");
                let fetches = post && last == program;
                return match (discovers && asked, fetches) {
                    (false, false) => false,
                    _ if !version_2 => deny,
                    (true, _) => !deny,
                    (_, true) => inside(&request.content.wants, deny, |name| {
                        let named = |pattern: &String| ref_matches(pattern, name);
                        block.refs.as_ref().is_some_and(|refs| refs.iter().any(named))
                    }),
                };
            }
            if discovers && query == format!("service={program}") {
                // A push that may change some references begins by asking for all.
                return !deny || (block.refs.is_none() && block.update.is_none());
            }
            post && last == program && commands_inside(block, &request.content.git, deny)
        }
        Block::Graphql(block) => {
            let listed = |selection: &_| graphql_holds(block, selection);
            let json = kind == "application/json";
            match (get && !query.is_empty(), post) {
                (true, _) => inside(&request.content.graphql, deny, listed),
                (_, true) if json => inside(&request.content.graphql, deny, listed),
                (_, true) => deny,
                (false, false) => false,
            }
        }
        Block::Mcp(block) => match (post, kind == "application/json") {
            (true, true) => inside(&request.content.json_rpc, deny, |call| mcp_holds(block, call)),
            (true, false) => deny,
            (false, _) => false,
        },
        Block::Grpc(block) => {
            let grpc = kind == "application/grpc" || kind.starts_with("application/grpc+");
            post && (grpc || deny) && grpc_holds(block, path)
        }
    }
}

fn inside<T>(reading: &Reading<T>, deny: bool, holds: impl Fn(&T) -> bool) -> bool {
    match reading {
        Reading::Unread => unreachable!("everything was read here"),
        Reading::Unreadable => deny,
        // It asks for nothing yet.
        Reading::Nothing => !deny,
        Reading::Items(items) if deny => items.iter().any(holds),
        Reading::Items(items) => items.iter().all(holds),
    }
}

fn commands_inside(block: &GitBlock, read: &Reading<RefCommand>, deny: bool) -> bool {
    if block.refs.is_none() && block.update.is_none() {
        return true;
    }
    inside(read, deny, |command| {
        let named = |pattern: &String| ref_matches(pattern, &command.name);
        let lists = |update| block.update.as_ref().is_none_or(|listed| listed.contains(&update));
        let permitted = match command.change {
            Change::Create => lists(GitUpdate::Create),
            Change::Delete => lists(GitUpdate::Delete),
            // Whether it is a fast-forward cannot be told.
            Change::Move if deny => lists(GitUpdate::Update) || lists(GitUpdate::Force),
            Change::Move => lists(GitUpdate::Update) && lists(GitUpdate::Force),
        };
        block.refs.as_ref().is_none_or(|refs| refs.iter().any(named)) && permitted
    })
}

fn ref_matches(pattern: &str, name: &str) -> bool {
    let (front, below) = pattern.strip_suffix("/**").map_or((pattern, false), |f| (f, true));
    let (wanted, parts): (Vec<&str>, Vec<&str>) =
        (front.split('/').collect(), name.split('/').collect());
    let long = if below { parts.len() > wanted.len() } else { parts.len() == wanted.len() };
    long && wanted.iter().zip(&parts).all(|(wanted, part)| *wanted == "*" || wanted == part)
}

fn graphql_holds(
    block: &sallygate_compiler::block::GraphqlBlock,
    selection: &sallygate_compiler::content::graphql::Selection,
) -> bool {
    block.operation.as_ref().is_none_or(|listed| listed.contains(&selection.operation))
        && block.fields.as_ref().is_none_or(|listed| listed.contains(&selection.field))
}

fn mcp_holds(block: &McpBlock, call: &Call) -> bool {
    let named = |patterns: &[String], name: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        })
    };
    let method = match (&block.method, &block.tools) {
        (Some(methods), _) => named(methods, &call.method),
        (None, Some(_)) => call.method == "tools/call",
        (None, None) => true,
    };
    let tool = match (&block.tools, call.method.as_str()) {
        (Some(tools), "tools/call") => call.tool.as_ref().is_some_and(|tool| named(tools, tool)),
        _ => true,
    };
    method && tool
}

fn grpc_holds(block: &GrpcBlock, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let ["", service, method] = parts[..] else { return false };
    let lists = |listed: &Option<Vec<String>>, name: &str| {
        listed.as_ref().is_none_or(|listed| listed.iter().any(|one| one == name))
    };
    lists(&block.service, service) && lists(&block.method, method)
}
