//! The `git` block: which service of smart HTTP, what a push may change, and what a fetch may have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, one_or_many, refuse_empty};
use crate::content::git::{Change, RefCommand};
use crate::plan::Action;

/// Conditions on a request of git's smart HTTP.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitBlock {
    pub service: GitService,
    /// Full names of references: `*` is one component, a final `/**` all below. `None`: any.
    /// A fetch must speak version 2 of the protocol where they are told apart.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<String>")]
    pub refs: Option<Vec<String>>,
    /// What may become of a reference in a push. `None`: anything.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<GitUpdate>")]
    pub update: Option<Vec<GitUpdate>>,
}

/// What is asked of a repository.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GitService {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl GitService {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    /// As it stands in paths and queries.
    pub fn program(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// What may become of a reference.
///
/// A push says the old and the new commit of a reference, and not whether one descends from the
/// other: `update` and `force` cannot be told apart before the pack is unpacked. So an allowing
/// route takes a change of an existing reference only when it lists both, and a denying one when it
/// lists either.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum GitUpdate {
    Create,
    Update,
    Delete,
    Force,
}

impl GitBlock {
    /// Whether the content of a request has to be known: otherwise the service says all.
    pub fn looks_inside(&self) -> bool {
        self.refs.is_some() || self.update.is_some()
    }

    /// Whether one command of a push is inside, for a route with this attitude.
    pub fn holds(&self, command: &RefCommand, denying: bool) -> bool {
        self.names(&command.name)
            && self.update.as_ref().is_none_or(|listed| permits(listed, command.change, denying))
    }

    /// Whether the block is about the reference.
    pub fn names(&self, reference: &str) -> bool {
        let matches = |text: &String| RefPattern::parse(text).is_some_and(|p| p.matches(reference));
        self.refs.as_ref().is_none_or(|refs| refs.iter().any(matches))
    }

    pub(super) fn problems(&self, action: Action, found: &mut Vec<Problem>) {
        refuse_empty(self.refs.as_deref(), "refs", found);
        refuse_empty(self.update.as_deref(), "update", found);
        if self.service == GitService::UploadPack && self.update.is_some() {
            let message = "`update` means nothing for `upload-pack`: a fetch changes nothing";
            found.push(Problem { field: "update", message: message.to_owned() });
        }
        for text in self.refs.iter().flatten().filter(|text| RefPattern::parse(text).is_none()) {
            let message = format!(
                "`{text}` is not a full reference name, such as `refs/heads/main` or \
                 `refs/heads/feature/**`"
            );
            found.push(Problem { field: "refs", message });
        }
        let listed = |kind| self.update.as_ref().is_some_and(|list| list.contains(&kind));
        let denies = action == Action::Deny;
        if !denies && listed(GitUpdate::Update) != listed(GitUpdate::Force) {
            let message = "a push does not tell whether it rewinds a branch: list `update` and \
                           `force` together, and let the server refuse what is no fast-forward"
                .to_owned();
            found.push(Problem { field: "update", message });
        }
    }

    pub(super) fn is_disjoint(&self, other: &Self) -> bool {
        // Asking for references belongs to the service, whatever the push would change.
        self.service != other.service
    }

    pub(super) fn witness(&self) -> String {
        let service = self.service.as_str();
        let name = self.refs.iter().flatten().find_map(|text| RefPattern::parse(text));
        let name = name.map(|pattern| format!(" {}", pattern.witness())).unwrap_or_default();
        let update = self.update.iter().flatten().next();
        let update = match update {
            Some(GitUpdate::Create) => " create",
            Some(GitUpdate::Update | GitUpdate::Force) => " update",
            Some(GitUpdate::Delete) => " delete",
            None => "",
        };
        format!("{service}{update}{name}")
    }
}

fn permits(listed: &[GitUpdate], change: Change, denying: bool) -> bool {
    let has = |kind| listed.contains(&kind);
    match change {
        Change::Create => has(GitUpdate::Create),
        Change::Delete => has(GitUpdate::Delete),
        Change::Move if denying => has(GitUpdate::Update) || has(GitUpdate::Force),
        Change::Move => has(GitUpdate::Update) && has(GitUpdate::Force),
    }
}

/// A pattern of full reference names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefPattern<'a> {
    /// `*` is one component.
    components: Vec<&'a str>,
    /// Whether at least one component more follows.
    below: bool,
}

impl<'a> RefPattern<'a> {
    /// `None`: not `refs/`, an empty component, or a `*` beside other characters.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, below) = match text.strip_suffix("/**") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let components: Vec<&str> = name.split('/').collect();
        let fine = |component: &&str| {
            *component == "*" || crate::content::git::is_component(component.as_bytes())
        };
        let full = components.first() == Some(&"refs") && (below || components.len() > 1);
        (full && components.iter().all(fine)).then_some(Self { components, below })
    }

    pub fn matches(&self, name: &str) -> bool {
        let mut parts = name.split('/');
        let all = self
            .components
            .iter()
            .all(|wanted| parts.next().is_some_and(|part| *wanted == "*" || *wanted == part));
        all && parts.next().is_some() == self.below
    }

    /// A name that matches.
    pub fn witness(&self) -> String {
        let mut parts: Vec<&str> =
            self.components.iter().map(|part| if *part == "*" { "x" } else { part }).collect();
        if self.below {
            parts.push("x");
        }
        parts.join("/")
    }
}
