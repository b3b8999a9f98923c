//! The contents API of GitHub, and that of Gitea and Forgejo, which is alike.
//!
//! GitHub: <https://docs.github.com/en/rest/repos/contents> and
//! <https://docs.github.com/en/rest/git/trees>. Gitea: `/api/swagger` of every server, operations
//! `repoGetContents`, `repoCreateFile`, `repoUpdateFile` and `GetTree`.

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::host::{File, Held, Told};
use super::{ContentHash, Listed, PAGES_MAX, PagePath, Write};
use crate::outbound::Answer;
use crate::provider::{self, Account, ProviderError, segment};

/// A repository with a contents API.
pub(super) struct Contents<'c> {
    pub(super) account: Account<'c>,
    /// `owner/name`
    pub(super) name: String,
    pub(super) dialect: Dialect,
}

/// Whose API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    GitHub,
    Gitea,
}

/// Pieces of one tree that are asked for: GitHub gives a tree whole, or says that it is cut.
const PIECES_MAX: usize = 10;

#[derive(Deserialize)]
struct Tree {
    #[serde(default)]
    tree: Vec<Node>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Clone, Deserialize)]
struct Node {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    mode: String,
    sha: String,
}

impl Node {
    /// Symbolic links are blobs too: where they lead is nobody's page.
    fn is_file(&self) -> bool {
        self.kind == "blob" && self.mode != "120000"
    }
}

impl Contents<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", provider::path(&self.name))
    }

    pub(super) async fn repository(&self) -> Result<Answer, ProviderError> {
        let path = format!("/repos/{}", provider::path(&self.name));
        Ok(self.account.get(&path).await?.answer)
    }

    /// The root says whether there is a `README.md`, and which tree `docs` is: only that one is
    /// asked for whole, however large the repository is.
    pub(super) async fn list(&self, branch: &str) -> Result<Told, ProviderError> {
        let (root, mut is_cut) = self.tree((branch, "")).await?;
        let readme = root.iter().find(|node| node.path == PagePath::README && node.is_file());
        let mut pages: Vec<Listed> =
            readme.and_then(|node| listed(&node.path, node)).into_iter().collect();
        let docs = root.iter().find(|node| node.path == "docs" && node.kind == "tree");
        if let Some(docs) = docs {
            let (below, below_is_cut) = self.tree((&docs.sha, "recursive=1&")).await?;
            is_cut |= below_is_cut;
            let files = below.iter().filter(|node| node.is_file());
            pages.extend(files.filter_map(|node| listed(&format!("docs/{}", node.path), node)));
        }
        Ok(Told { pages, is_cut })
    }

    /// The nodes of a tree, and whether there are more.
    async fn tree(&self, (name, query): (&str, &str)) -> Result<(Vec<Node>, bool), ProviderError> {
        let (mut nodes, mut is_cut) = (Vec::new(), false);
        for piece in 1..=PIECES_MAX {
            let path = format!("git/trees/{}?{query}page={piece}&per_page=1000", segment(name));
            let answer = self.account.get(&self.path(&path)).await?.answer;
            // A repository without a commit has no tree.
            if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT) {
                break;
            }
            let Tree { tree, truncated } = provider::json(&answer)?;
            let is_last = !truncated || tree.is_empty() || self.dialect == Dialect::GitHub;
            (is_cut, nodes) = (truncated, [nodes, tree].concat());
            if is_last || nodes.len() > 4 * PAGES_MAX {
                break;
            }
        }
        Ok((nodes, is_cut))
    }

    pub(super) async fn read(
        &self,
        branch: &str,
        page: &PagePath,
    ) -> Result<Option<File>, ProviderError> {
        let at = format!("{}?ref={}", provider::path(page.as_str()), segment(branch));
        let answer = self.account.get(&self.path(&format!("contents/{at}"))).await?.answer;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Found {
            One(Entry),
            /// A directory that is called like a page.
            Many(#[expect(dead_code, reason = "that it is a list says enough")] Vec<IgnoredAny>),
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "type")]
            kind: String,
            path: String,
            sha: String,
            size: u64,
            #[serde(default)]
            content: Option<String>,
        }
        match provider::json(&answer)? {
            Found::One(entry) if entry.kind == "file" && entry.path == page.as_str() => {
                let (content, hash) = (entry.content.unwrap_or_default(), entry.sha);
                Ok(Some(File { content, size: entry.size, hash, commit: None }))
            }
            Found::One(_) => Err(ProviderError::Malformed("what is there is not a file")),
            Found::Many(_) => Ok(None),
        }
    }

    pub(super) async fn write(
        &self,
        branch: &str,
        wanted: Write<'_>,
        before: Option<&Held>,
    ) -> Result<ContentHash, ProviderError> {
        #[derive(Deserialize)]
        struct Answered {
            content: Written,
        }
        #[derive(Deserialize)]
        struct Written {
            sha: String,
        }
        let message =
            wanted.message.map_or_else(|| format!("Write {}", wanted.path), str::to_owned);
        let content = STANDARD.encode(wanted.content);
        let mut body = json!({ "message": message, "content": content, "branch": branch });
        if let (Some(before), Some(fields)) = (before, body.as_object_mut()) {
            fields.insert("sha".to_owned(), json!(before.hash.as_str()));
        }
        let method = match (self.dialect, before) {
            (Dialect::Gitea, None) => Method::POST,
            (Dialect::GitHub, _) | (Dialect::Gitea, Some(_)) => Method::PUT,
        };
        let path = self.path(&format!("contents/{}", provider::path(wanted.path.as_str())));
        let answer = self.account.send(method, &path, Some(&body)).await?.answer;
        if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
            // Gitea to a hash that is not the file's any more, and both to a file that is there
            // where none should be.
            return Err(ProviderError::Conflict);
        }
        let told: Answered = provider::json(&answer)?;
        ContentHash::parse(&told.content.sha).ok_or(ProviderError::Malformed("no hash of git's"))
    }
}

fn listed(path: &str, node: &Node) -> Option<Listed> {
    Some(Listed { path: PagePath::parse(path)?, hash: ContentHash::parse(&node.sha)? })
}
