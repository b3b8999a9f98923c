//! The pages of a bound repository: its `README.md` and what is below `docs/`, listed, read and
//! written at the provider, by the connection that is bound to it.
//!
//! Nothing is kept here: the repository is what is true. A page is recognised by the hash of its
//! content, and written only over what its author has seen.

mod contents;
mod gitlab;
mod hash;
mod host;
mod path;

use serde_json::{Map, Value as Json, json};

use crate::change;
use crate::domain::audit::{self, Change};
use crate::domain::connection::Of;
use crate::domain::repository::{self, Meant, Repository};
use crate::domain::{Act, DomainError, Fault};
use crate::provider::{self, Account, ProviderError};
use crate::service::Control;
use crate::store::Access;

pub use hash::ContentHash;
use host::{Held, Host, Told};
pub use path::PagePath;

/// A longer page is neither read nor written.
pub const PAGE_BYTES_MAX: usize = 512 << 10;
/// Of so many a list tells.
pub const PAGES_MAX: usize = 1_000;
/// What a commit is called at most.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// A page in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub path: PagePath,
    pub hash: ContentHash,
}

/// The pages of a repository, in the order of their paths.
#[derive(Clone, Debug)]
pub struct Pages {
    pub repository: Repository,
    pub branch: String,
    pub pages: Vec<Listed>,
    /// There are more than are told.
    pub is_cut: bool,
}

/// A page, as of now.
#[derive(Clone, Debug)]
pub struct Page {
    pub repository: Repository,
    pub branch: String,
    pub path: PagePath,
    pub content: String,
    pub hash: ContentHash,
}

/// What the author of a page has seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There was none.
    Nothing,
    /// Whatever there is.
    Anything,
    This(ContentHash),
}

/// A page that somebody wants to write.
#[derive(Clone, Copy, Debug)]
pub struct Write<'w> {
    pub path: &'w PagePath,
    pub content: &'w str,
    /// What the commit is called.
    pub message: Option<&'w str>,
    pub seen: &'w Seen,
}

/// A repository whose pages somebody works with.
struct Open<'c> {
    repository: Repository,
    host: Host<'c>,
    branch: String,
}

/// Whose repository, and which.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'w> {
    pub organisation: &'w str,
    pub meant: Meant<'w>,
}

pub async fn list(control: &Control, whose: Whose<'_>) -> Result<Pages, DomainError> {
    let repository = bound(control, whose).await?;
    let open = open(control, whose, repository, Level::Read).await?;
    let Told { mut pages, is_cut } = open.host.list(&open.branch).await?;
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    let is_cut = is_cut || pages.len() > PAGES_MAX;
    pages.truncate(PAGES_MAX);
    Ok(Pages { repository: open.repository, branch: open.branch, pages, is_cut })
}

pub async fn read(
    control: &Control,
    whose: Whose<'_>,
    path: &PagePath,
) -> Result<Page, DomainError> {
    let repository = bound(control, whose).await?;
    let open = open(control, whose, repository, Level::Read).await?;
    let held = open.host.read(&open.branch, path).await?;
    let held = held.ok_or_else(|| DomainError::not_found("page"))?;
    Ok(page(open, path, held))
}

/// Writes a page over what its author has seen. One that says already what it shall say is not
/// written again.
pub async fn write(
    control: &Control,
    act: &Act,
    (whose, wanted): (Whose<'_>, Write<'_>),
) -> Result<Page, DomainError> {
    checked(wanted)?;
    let repository = bound(control, whose).await?;
    if !repository.may_write {
        let message = "the repository is bound for reading only";
        return Err(DomainError::new(Fault::Forbidden, "repository_read_only", message));
    }
    let open = open(control, whose, repository, Level::Write).await?;
    let before = open.host.read(&open.branch, wanted.path).await?;
    match (wanted.seen, &before) {
        (Seen::Nothing, None) | (Seen::Anything, Some(_)) => {}
        (Seen::This(seen), Some(held)) if *seen == held.hash => {}
        _ => return Err(DomainError::stale()),
    }
    if let Some(held) = before.as_ref().filter(|held| held.content == wanted.content) {
        let held = held.clone();
        return Ok(page(open, wanted.path, held));
    }
    let after = match &before {
        Some(held) => held.hash.beside(wanted.content.as_bytes()),
        None => ContentHash::of(wanted.content.as_bytes()),
    };
    // What is done elsewhere is written down before: it happens together with nothing of ours.
    note(control, act, (whose, &open, wanted.path), ("page.write", &before, &after)).await?;
    match open.host.write(&open.branch, wanted, before.as_ref()).await {
        Ok(told) => {
            let (content, hash) = (wanted.content.to_owned(), told.unwrap_or(after));
            Ok(page(open, wanted.path, Held { content, hash, commit: None }))
        }
        Err(error) => {
            let what = ("page.write_refused", &before, &after);
            note(control, act, (whose, &open, wanted.path), what).await?;
            if error != ProviderError::Conflict {
                return Err(error.into());
            }
            let message = "it changed meanwhile, or the branch takes no such change";
            Err(DomainError::conflict("page_conflict", message))
        }
    }
}

fn checked(wanted: Write<'_>) -> Result<(), DomainError> {
    if wanted.content.len() > PAGE_BYTES_MAX {
        let message = format!("a page has at most {PAGE_BYTES_MAX} bytes");
        return Err(DomainError::new(Fault::Invalid, "page_too_large", message));
    }
    let fine = |message: &str| {
        message.chars().count() <= MESSAGE_CHARACTERS_MAX
            && !message.chars().any(|c| c.is_control() && c != '\n')
            && !message.trim().is_empty()
    };
    if !wanted.message.is_none_or(fine) {
        let message = format!("`message` has 1 to {MESSAGE_CHARACTERS_MAX} characters");
        let issue = crate::domain::Issue::new("INVALID_MESSAGE", "message", message);
        return Err(DomainError::invalid(vec![issue]));
    }
    Ok(())
}

fn page(open: Open<'_>, path: &PagePath, held: Held) -> Page {
    let Open { repository, branch, .. } = open;
    let Held { content, hash, .. } = held;
    Page { repository, branch, path: path.clone(), content, hash }
}

async fn bound(control: &Control, whose: Whose<'_>) -> Result<Repository, DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    let of = (whose.organisation, &*control.registry);
    repository::find(&mut *transaction, of, whose.meant).await
}

/// What a credential that is minted for this may do.
#[derive(Clone, Copy, Debug)]
enum Level {
    Read,
    Write,
}

async fn open<'c>(
    control: &'c Control,
    whose: Whose<'_>,
    repository: Repository,
    level: Level,
) -> Result<Open<'c>, DomainError> {
    let of = Of { organisation: whose.organisation, id: &repository.connection };
    let scope = scope(&repository, level);
    let account = Account::open(control, of, (provider::API, &scope)).await?;
    let host = Host::of(account, &repository).ok_or_else(|| {
        let message = format!("pages of `{}` are not known", repository.family);
        DomainError::conflict("provider_has_no_pages", message)
    })?;
    let branch = host.default_branch().await?;
    Ok(Open { repository, host, branch })
}

/// For credentials that are minted: the repository alone, and its content alone.
fn scope(repository: &Repository, level: Level) -> Map<String, Json> {
    let contents = match level {
        Level::Read => "read",
        Level::Write => "write",
    };
    let permissions = json!({ "contents": contents, "metadata": "read" });
    let repositories = json!([repository.name]);
    let scope = [("repositories", repositories), ("permissions", permissions)];
    scope.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn note(
    control: &Control,
    act: &Act,
    (whose, open, path): (Whose<'_>, &Open<'_>, &PagePath),
    (action, before, after): (&'static str, &Option<Held>, &ContentHash),
) -> Result<(), DomainError> {
    let place = json!({ "repository": open.repository.name, "path": path.as_str() });
    let shown = |hash: &ContentHash| {
        let mut shown = place.clone();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("contentHash".to_owned(), json!(hash.as_str()));
        }
        shown
    };
    let (before, after) = (before.as_ref().map(|held| shown(&held.hash)), shown(after));
    let noted: Result<(), DomainError> = change!(control.store, |transaction| {
        let change = Change {
            organisation: Some(whose.organisation),
            action,
            subject: &open.repository.connection,
            before: before.clone(),
            after: Some(after.clone()),
        };
        audit::record(transaction, act, change).await
    });
    noted
}
