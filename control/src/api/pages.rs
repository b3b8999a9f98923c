//! `/api/v1/projects/{projectId}/planning/pages`: the pages of a bound repository, as they are at the
//! provider.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Found};
use super::body::Body;
use super::caller::{Caller, InProject, Reader, Writer};
use super::parameters::{InPath, InQuery, Precondition};
use super::problem::Problem;
use crate::domain::Issue;
use crate::domain::repository::Meant;
use crate::pages::{self, ContentHash, Listed, Page, PagePath, Pages, Seen, Whose, Write};
use crate::service::Control;

pub(super) fn routes() -> ApiRouter<Control> {
    const ALL: &str = "/api/v1/projects/{projectId}/planning/pages";
    ApiRouter::new()
        .api_route(ALL, get_with(list, |o| o.id("listPages").summary("List a repository's pages")))
        .api_route(
            &format!("{ALL}/{{*path}}"),
            get_with(read, |o| o.id("getPage").summary("Read a page of a repository"))
                .put_with(write, |o| o.id("putPage").summary("Write a page of a repository")),
        )
}

/// Which repository; what the profiles in force leave no choice of need not be said.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Repository {
    /// `owner/name`, as it is bound.
    #[schemars(length(min = 1, max = 255))]
    repository: Option<String>,
    /// The id of the connection that is bound to it.
    #[schemars(length(min = 1, max = 64))]
    connection: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct InAll {
    #[expect(dead_code, reason = "the caller is in it already")]
    project_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct One {
    #[expect(dead_code, reason = "the caller is in it already")]
    project_id: String,
    /// `README.md`, or a Markdown file below `docs/`.
    path: String,
}

/// The pages of a repository.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RepositoryPages")]
struct ListView {
    repository: String,
    connection_id: String,
    branch: String,
    items: Vec<Item>,
    /// There are more pages than are told.
    truncated: bool,
}

/// A page in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RepositoryPageInList")]
struct Item {
    path: String,
    /// The name that git gives to the content: what the page's `ETag` says.
    content_hash: String,
}

/// A page of a repository.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RepositoryPage")]
struct View {
    repository: String,
    connection_id: String,
    branch: String,
    path: String,
    /// Markdown.
    content: String,
    /// The name that git gives to the content: what the `ETag` says.
    content_hash: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PutRepositoryPage")]
struct Wanted {
    /// Markdown; at most 512 KiB.
    #[schemars(length(max = 524288))]
    content: String,
    /// What the commit is called [default: `Write` and the path].
    #[serde(default)]
    #[schemars(length(min = 1, max = 500))]
    message: Option<String>,
}

impl From<Listed> for Item {
    fn from(it: Listed) -> Self {
        Self { path: it.path.to_string(), content_hash: it.hash.as_str().to_owned() }
    }
}

impl From<Pages> for ListView {
    fn from(it: Pages) -> Self {
        Self {
            repository: it.repository.name,
            connection_id: it.repository.connection,
            branch: it.branch,
            items: it.pages.into_iter().map(Item::from).collect(),
            truncated: it.is_cut,
        }
    }
}

fn found(it: Page) -> Found<View> {
    let etag = it.hash.as_str().to_owned();
    let view = View {
        repository: it.repository.name,
        connection_id: it.repository.connection,
        branch: it.branch,
        path: it.path.to_string(),
        content: it.content,
        content_hash: etag.clone(),
    };
    Answer::tagged(&view, etag)
}

impl Repository {
    fn of<'w>(&'w self, organisation: &'w str) -> Whose<'w> {
        let (name, connection) = (self.repository.as_deref(), self.connection.as_deref());
        Whose { organisation, meant: Meant { name, connection } }
    }
}

/// What has another path is no page, and is as absent as one that never was.
fn path(one: &One) -> Result<PagePath, Problem> {
    PagePath::parse(&one.path).ok_or_else(|| {
        let what = "a page is `README.md` or a Markdown file below `docs/`";
        let issue = Issue::new("NOT_A_PAGE", "path", what);
        Problem::new(StatusCode::NOT_FOUND, "not_a_page", what).issue(issue)
    })
}

async fn list(
    State(control): State<Control>,
    InProject(reader): InProject<Reader>,
    InPath(_): InPath<InAll>,
    InQuery(repository): InQuery<Repository>,
) -> Result<Found<ListView>, Problem> {
    let pages = pages::list(&control, repository.of(reader.organisation())).await?;
    Ok(Answer::of(&ListView::from(pages)))
}

async fn read(
    State(control): State<Control>,
    InProject(reader): InProject<Reader>,
    InPath(one): InPath<One>,
    InQuery(repository): InQuery<Repository>,
) -> Result<Found<View>, Problem> {
    let path = path(&one)?;
    let page = pages::read(&control, repository.of(reader.organisation()), &path).await?;
    Ok(found(page))
}

async fn write(
    State(control): State<Control>,
    InProject(writer): InProject<Writer>,
    InPath(one): InPath<One>,
    InQuery(repository): InQuery<Repository>,
    precondition: Precondition,
    body: Body<Wanted>,
) -> Result<Found<View>, Problem> {
    let (path, seen) = (path(&one)?, seen(precondition)?);
    let (whose, act) = (repository.of(writer.organisation()), writer.act(&control));
    let Wanted { content, message } = &body.value;
    let wanted = Write { path: &path, content, message: message.as_deref(), seen: &seen };
    Ok(found(pages::write(&control, &act, (whose, wanted)).await?))
}

/// Whoever writes says what they have seen: two authors must not lose what the other one wrote.
fn seen(precondition: Precondition) -> Result<Seen, Problem> {
    match precondition {
        Precondition::None => {
            let detail =
                "`If-Match` says which page is written over, `If-None-Match: *` that it is new";
            let status = StatusCode::PRECONDITION_REQUIRED;
            Err(Problem::new(status, "precondition_required", detail))
        }
        Precondition::Absent => Ok(Seen::Nothing),
        Precondition::Present => Ok(Seen::Anything),
        Precondition::Tag(tag) => match ContentHash::parse(&tag) {
            Some(hash) => Ok(Seen::This(hash)),
            None => Err(crate::domain::DomainError::stale().into()),
        },
    }
}
