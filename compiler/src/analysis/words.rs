//! Segments that mean something to a protocol block, though no path pattern names them.

use crate::block::Block;
use crate::plan::{Action, Route};

pub(super) fn words<'p>(routes: impl Iterator<Item = &'p Route>) -> Vec<&'p str> {
    let mut words = Vec::new();
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

/// Last segments in a spelling that a denying route takes for one of those.
pub(super) fn endings<'p>(routes: impl Iterator<Item = &'p Route>) -> &'static [&'static str] {
    let mut blocks = routes.filter_map(|route| route.r#match.block.as_ref());
    if blocks.any(|block| matches!(block, Block::Git(_))) {
        &["GIT-RECEIVE-PACK", "GIT-UPLOAD-PACK", "REFS"]
    } else {
        &[]
    }
}
