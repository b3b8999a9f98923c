//! The protocol block of a route as an author writes it.

use crate::block::{
    Block, GitBlock, GitService, GitUpdate, GraphqlBlock, GrpcBlock, McpBlock, Operation,
};
use crate::plan::Action;
use crate::read::Table;

/// The keys of a route that look inside a protocol, of which it has at most one.
pub(super) const BLOCKS: [&str; 4] = ["git", "graphql", "mcp", "grpc"];

/// Reads the route's block. What is wrong with it is reported where it stands.
pub(super) fn read_block(table: &mut Table<'_>, action: Action) -> Option<Block> {
    let mut found = None;
    for key in BLOCKS {
        let Some(mut inner) = table.table(key) else { continue };
        let block = match key {
            "git" => git(&mut inner).map(Block::Git),
            "graphql" => Some(Block::Graphql(graphql(&mut inner))),
            "mcp" => Some(Block::Mcp(mcp(&mut inner))),
            _ => Some(Block::Grpc(grpc(&mut inner))),
        };
        for problem in block.iter().flat_map(|block| block.problems(action)) {
            inner.refuse(problem.field, "BAD_VALUE", problem.message);
        }
        inner.finish();
        if found.is_some() {
            let message = format!("a route has at most one of {}", BLOCKS.join(", "));
            table.refuse(key, "BAD_VALUE", message);
        }
        found = found.or(block);
    }
    found
}

fn git(table: &mut Table<'_>) -> Option<GitBlock> {
    let services = [GitService::UploadPack, GitService::ReceivePack]
        .map(|service| (service.as_str(), service));
    if !table.contains("service") {
        table.missing("service");
    }
    let service = table.choice("service", &services);
    let refs = names(table, "refs");
    let updates = [
        ("create", GitUpdate::Create),
        ("update", GitUpdate::Update),
        ("delete", GitUpdate::Delete),
        ("force", GitUpdate::Force),
    ];
    let update = words(table, "update", &updates);
    Some(GitBlock { service: service?, refs, update })
}

fn graphql(table: &mut Table<'_>) -> GraphqlBlock {
    let operations = [Operation::Query, Operation::Mutation, Operation::Subscription]
        .map(|operation| (operation.as_str(), operation));
    let operation = words(table, "operation", &operations);
    GraphqlBlock { operation, fields: names(table, "fields") }
}

fn mcp(table: &mut Table<'_>) -> McpBlock {
    McpBlock { method: names(table, "method"), tools: names(table, "tools") }
}

fn grpc(table: &mut Table<'_>) -> GrpcBlock {
    GrpcBlock { service: names(table, "service"), method: names(table, "method") }
}

fn names(table: &mut Table<'_>, key: &str) -> Option<Vec<String>> {
    let listed = table.string_or_strings(key)?;
    let mut names: Vec<String> = listed.into_iter().map(|text| text.value).collect();
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// One or more of a fixed set of words.
fn words<T: Copy + Ord>(table: &mut Table<'_>, key: &str, choices: &[(&str, T)]) -> Option<Vec<T>> {
    let listed = table.string_or_strings(key)?;
    let mut words = Vec::with_capacity(listed.len());
    for text in &listed {
        match choices.iter().find(|(name, _)| *name == text.value) {
            Some((_, word)) => words.push(*word),
            None => {
                let known: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                let message = format!("`{}` is not one of {}", text.value, known.join(", "));
                table.refuse_at(key, text.span.clone(), "BAD_VALUE", message);
            }
        }
    }
    words.sort_unstable();
    words.dedup();
    // Words that are wrong were reported; an empty list would be reported for what it is not.
    (listed.is_empty() || !words.is_empty()).then_some(words)
}
