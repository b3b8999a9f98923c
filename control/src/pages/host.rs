//! Where a repository is: at GitHub, GitLab or Gitea, each with an API of its own.

use serde::Deserialize;

use super::contents::{Contents, Dialect};
use super::gitlab::GitLab;
use super::{ContentHash, Listed, PAGE_BYTES_MAX, PagePath, Write};
use crate::domain::repository::Repository;
use crate::domain::{DomainError, Fault};
use crate::outbound::Answer;
use crate::provider::{Account, ProviderError, json};

/// A repository at its provider.
pub(super) enum Host<'c> {
    Contents(Contents<'c>),
    GitLab(GitLab<'c>),
}

/// A list as the provider gives it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) pages: Vec<Listed>,
    /// There are more.
    pub(super) is_cut: bool,
}

/// A file as the provider has it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) content: String,
    pub(super) hash: ContentHash,
    /// The commit that last changed it, where the provider recognises a file by that.
    pub(super) commit: Option<String>,
}

impl<'c> Host<'c> {
    pub(super) fn of(account: Account<'c>, repository: &Repository) -> Option<Self> {
        let name = repository.name.clone();
        match repository.family.as_str() {
            "github" => Some(Self::Contents(Contents { account, name, dialect: Dialect::GitHub })),
            "gitea" => Some(Self::Contents(Contents { account, name, dialect: Dialect::Gitea })),
            "gitlab" => Some(Self::GitLab(GitLab { account, name })),
            _ => None,
        }
    }

    pub(super) async fn default_branch(&self) -> Result<String, DomainError> {
        let answer = match self {
            Self::Contents(contents) => contents.repository().await,
            Self::GitLab(gitlab) => gitlab.project().await,
        };
        branch_of(&answer?)
    }

    pub(super) async fn list(&self, branch: &str) -> Result<Told, DomainError> {
        let listed = match self {
            Self::Contents(contents) => contents.list(branch).await,
            Self::GitLab(gitlab) => gitlab.list(branch).await,
        };
        Ok(listed?)
    }

    /// `None`: there is no such file.
    pub(super) async fn read(
        &self,
        branch: &str,
        path: &PagePath,
    ) -> Result<Option<Held>, DomainError> {
        let file = match self {
            Self::Contents(contents) => contents.read(branch, path).await,
            Self::GitLab(gitlab) => gitlab.read(branch, path).await,
        };
        file?.map(|file| file.held(path)).transpose()
    }

    /// Makes a commit on the branch. What the provider says the content is called then, where it
    /// does.
    pub(super) async fn write(
        &self,
        branch: &str,
        wanted: Write<'_>,
        before: Option<&Held>,
    ) -> Result<Option<ContentHash>, ProviderError> {
        match self {
            Self::Contents(contents) => contents.write(branch, wanted, before).await.map(Some),
            Self::GitLab(gitlab) => gitlab.write(branch, wanted, before).await.map(|()| None),
        }
    }
}

fn branch_of(answer: &Answer) -> Result<String, DomainError> {
    #[derive(Deserialize)]
    struct Described {
        default_branch: Option<String>,
    }
    let told: Described = json(answer)?;
    let branch = told.default_branch.filter(|branch| !branch.is_empty());
    branch.ok_or_else(|| {
        DomainError::conflict("repository_empty", "the repository has no branch yet")
    })
}

/// A file as it was told: not believed yet.
#[derive(Debug)]
pub(super) struct File {
    /// Base64, with or without line ends.
    pub(super) content: String,
    pub(super) size: u64,
    pub(super) hash: String,
    pub(super) commit: Option<String>,
}

impl File {
    /// The text, when it is what its hash says.
    fn held(self, path: &PagePath) -> Result<Held, DomainError> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        if usize::try_from(self.size).is_ok_and(|size| size > PAGE_BYTES_MAX) {
            let message = format!("`{path}` has more than {PAGE_BYTES_MAX} bytes");
            return Err(DomainError::new(Fault::Conflict, "page_too_large", message));
        }
        let malformed = |what| DomainError::from(ProviderError::Malformed(what));
        let digits: String = self.content.split_ascii_whitespace().collect();
        let content =
            STANDARD.decode(digits).map_err(|_| malformed("the content is not base64"))?;
        let hash = ContentHash::parse(&self.hash).ok_or_else(|| malformed("no hash of git's"))?;
        if hash.beside(&content) != hash {
            return Err(malformed("the content is another one than its hash says"));
        }
        let text = String::from_utf8(content).ok().filter(|text| !text.contains('\0'));
        let content = text.ok_or_else(|| {
            DomainError::conflict("page_not_text", format!("`{path}` is not text in UTF-8"))
        })?;
        Ok(Held { content, hash, commit: self.commit })
    }
}
