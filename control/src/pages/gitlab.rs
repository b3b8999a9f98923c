//! GitLab's repository files and tree.
//!
//! <https://docs.gitlab.com/api/repository_files/> and <https://docs.gitlab.com/api/repositories/>.

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::host::{File, Held, Told};
use super::{ContentHash, Listed, PAGES_MAX, PagePath, Write};
use crate::outbound::Answer;
use crate::provider::{self, Account, ProviderError, segment};

/// A project at GitLab.
pub(super) struct GitLab<'c> {
    pub(super) account: Account<'c>,
    /// `group/name`, or with groups in groups.
    pub(super) name: String,
}

/// Pieces of a list, of a hundred each.
const PIECES_MAX: usize = 20;

#[derive(Deserialize)]
struct Node {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    path: String,
    mode: String,
}

impl GitLab<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/projects/{}{rest}", segment(&self.name))
    }

    pub(super) async fn project(&self) -> Result<Answer, ProviderError> {
        Ok(self.account.get(&self.path("")).await?.answer)
    }

    pub(super) async fn list(&self, branch: &str) -> Result<Told, ProviderError> {
        let (mut nodes, root_is_cut) = self.tree(branch, "").await?;
        nodes.retain(|node| node.path == PagePath::README);
        let (below, is_cut) = self.tree(branch, "&path=docs&recursive=true").await?;
        nodes.extend(below);
        // Symbolic links are blobs too: where they lead is nobody's page.
        let files = nodes.iter().filter(|node| node.kind == "blob" && node.mode != "120000");
        let listed = |node: &Node| {
            Some(Listed { path: PagePath::parse(&node.path)?, hash: ContentHash::parse(&node.id)? })
        };
        let pages = files.filter_map(listed).collect();
        Ok(Told { pages, is_cut: is_cut || root_is_cut })
    }

    /// The nodes of a tree, and whether there are more.
    async fn tree(&self, branch: &str, query: &str) -> Result<(Vec<Node>, bool), ProviderError> {
        let (mut nodes, branch) = (Vec::new(), segment(branch));
        let path = self.path(&format!("/repository/tree?ref={branch}{query}&per_page=100"));
        let mut reply = self.account.get(&path).await?;
        for _ in 0..PIECES_MAX {
            // So it answers where there is no such directory, or no commit yet.
            if reply.answer.status == StatusCode::NOT_FOUND {
                return Ok((nodes, false));
            }
            nodes.extend(provider::json::<Vec<Node>>(&reply.answer)?);
            let Some(next) = reply.next else { return Ok((nodes, false)) };
            if nodes.len() > 4 * PAGES_MAX {
                break;
            }
            reply = self.account.follow(&next).await?;
        }
        Ok((nodes, true))
    }

    fn file(&self, page: &PagePath) -> String {
        self.path(&format!("/repository/files/{}", segment(page.as_str())))
    }

    pub(super) async fn read(
        &self,
        branch: &str,
        page: &PagePath,
    ) -> Result<Option<File>, ProviderError> {
        #[derive(Deserialize)]
        struct Found {
            file_path: String,
            size: u64,
            encoding: String,
            content: String,
            blob_id: String,
            last_commit_id: String,
        }
        let path = format!("{}?ref={}", self.file(page), segment(branch));
        let answer = self.account.get(&path).await?.answer;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let told: Found = provider::json(&answer)?;
        if told.file_path != page.as_str() || told.encoding != "base64" {
            return Err(ProviderError::Malformed("what is there is not the file"));
        }
        let Found { content, size, blob_id: hash, last_commit_id, .. } = told;
        Ok(Some(File { content, size, hash, commit: Some(last_commit_id) }))
    }

    pub(super) async fn write(
        &self,
        branch: &str,
        wanted: Write<'_>,
        before: Option<&Held>,
    ) -> Result<(), ProviderError> {
        let message =
            wanted.message.map_or_else(|| format!("Write {}", wanted.path), str::to_owned);
        let mut body = json!({
            "branch": branch,
            "commit_message": message,
            "content": STANDARD.encode(wanted.content),
            "encoding": "base64",
        });
        let commit = before.and_then(|before| before.commit.as_ref());
        if let (Some(commit), Some(fields)) = (commit, body.as_object_mut()) {
            fields.insert("last_commit_id".to_owned(), json!(commit));
        }
        let method = if before.is_some() { Method::PUT } else { Method::POST };
        let answer = self.account.send(method, &self.file(wanted.path), Some(&body)).await?.answer;
        if answer.status == StatusCode::BAD_REQUEST {
            // So it answers to a commit that is not the file's last one any more, and to a file
            // that is there where none should be.
            return Err(ProviderError::Conflict);
        }
        if !answer.status.is_success() {
            return Err(ProviderError::of(&answer));
        }
        Ok(())
    }
}
