//! Segments that mean something to a protocol block, though no path pattern names them.

use crate::block::{Block, GrpcBlock};
use crate::plan::{Action, Route};

/// Names for a service or a method that no block lists.
const FREE_NAMES: [&str; 4] = ["Any", "AnyOne", "AnyOther", "AnyElse"];

pub(super) fn words<'p>(routes: impl Iterator<Item = &'p Route> + Clone) -> Vec<&'p str> {
    let mut words = Vec::from_iter(free_name(routes.clone()));
    for route in routes {
        match &route.r#match.block {
            Some(Block::Git(_)) => {
                words.extend(["git-receive-pack", "git-upload-pack", "info", "refs"]);
                if route.action == Action::Deny {
                    // Denied in whatever spelling a lenient server takes.
                    words.push("INFO");
                }
            }
            Some(Block::Grpc(block)) => {
                words.extend(block.service.iter().flatten().map(String::as_str));
                words.extend(block.method.iter().flatten().map(String::as_str));
            }
            Some(Block::Graphql(_) | Block::Mcp(_)) | None => {}
        }
    }
    words.sort_unstable();
    words.dedup();
    words
}

/// What stands for every name that no block and no path spells, where some block takes any: a call
/// has two segments, whatever they are, and no other path is one.
pub(super) fn free_name<'p>(
    routes: impl Iterator<Item = &'p Route> + Clone,
) -> Option<&'static str> {
    let takes_any = |route: &Route| match &route.r#match.block {
        Some(Block::Grpc(block)) => block.service.is_none() || block.method.is_none(),
        Some(Block::Git(_) | Block::Graphql(_) | Block::Mcp(_)) | None => false,
    };
    if !routes.clone().any(takes_any) {
        return None;
    }
    let spells = |route: &Route, name: &str| {
        let in_path = route.r#match.paths.iter().any(|path| path.split('/').any(|s| s == name));
        in_path
            || match &route.r#match.block {
                Some(Block::Grpc(GrpcBlock { service, method })) => {
                    service.iter().chain(method).flatten().any(|listed| listed == name)
                }
                Some(Block::Git(_) | Block::Graphql(_) | Block::Mcp(_)) | None => false,
            }
    };
    let mut names = FREE_NAMES.into_iter();
    names.find(|name| !routes.clone().any(|route| spells(route, name)))
}

/// Last segments in a spelling that a denying route takes for one of those.
pub(super) fn endings<'p>(routes: impl Iterator<Item = &'p Route>) -> &'static [&'static str] {
    let mut blocks = routes.filter_map(|route| route.r#match.block.as_ref());
    if blocks.any(|block| matches!(block, Block::Git(_))) {
        &["GIT-RECEIVE-PACK", "GIT-UPLOAD-PACK", "REFS"]
    } else {
        &[]
    }
}
