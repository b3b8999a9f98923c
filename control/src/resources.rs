//! What a connection gives access to: asked for at the provider as the definition says, and kept, so
//! that pickers have it without asking each time.

use axum::http::Method;
use sallygate_definitions::contract::resource::{Paging, ResourceDefinition, ResourceListing};
use serde_json::{Map, Value as Json, json};

use crate::change;
use crate::connect::Site;
use crate::domain::connection::{self, MINTED, Of};
use crate::domain::resource::{self, Listed, Resource};
use crate::domain::{DomainError, Issue};
use crate::outbound::Reply;
use crate::provider::{self, Account, ProviderError};
use crate::service::Control;
use crate::store::Access;

/// Of one kind of one connection; more are not kept, and that is said.
const RESOURCES_MAX: usize = 5_000;
/// Pieces of one list that are asked for.
const PIECES_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 1_024;

/// Asks the provider for what the connection gives access to, of one kind or of all that it lists.
pub async fn refresh(
    control: &Control,
    of: Of<'_>,
    kind: Option<&str>,
) -> Result<Vec<Listed>, DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    let found = connection::find(&mut *transaction, of).await?;
    drop(transaction);
    let site = Site::find(control, &found.target_key).await?;
    let kinds = site.definition.resource_definitions.iter().filter(|it| it.list.is_some());
    let kinds: Vec<_> = kinds.filter(|it| kind.is_none_or(|kind| kind == it.key)).collect();
    if kinds.is_empty() {
        let message = format!("`{}` lists no such resources", site.definition.key());
        let issue = Issue::new("UNKNOWN_RESOURCE_KIND", "kind", message);
        return Err(DomainError::invalid(vec![issue]));
    }
    let is_minted = site
        .definition
        .method(&found.method)
        .is_some_and(|method| method.resolver() == Some(MINTED));
    for definition in kinds {
        let asked_ms = control.clock.now_ms();
        let all = ask(control, of, (definition, is_minted)).await?;
        let kept: Result<(), DomainError> = change!(control.store, |transaction| {
            resource::replace(transaction, of, (&definition.key, &all), asked_ms).await
        });
        kept?;
    }
    let mut transaction = control.store.begin(Access::Read).await?;
    resource::lists(&mut *transaction, of).await
}

/// What a provider said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) resources: Vec<Resource>,
    /// There are more.
    pub(crate) is_cut: bool,
}

async fn ask(
    control: &Control,
    of: Of<'_>,
    (definition, is_minted): (&ResourceDefinition, bool),
) -> Result<Told, DomainError> {
    let Some(listing) = &definition.list else { return Ok(Told::default()) };
    let listing = if is_minted { installed(listing) } else { listing.clone() };
    let account = Account::open(control, of, (&listing.origin, &least())).await?;
    Ok(all(&account, &listing).await?)
}

/// A token that is minted for looking at what there is.
fn least() -> Map<String, Json> {
    [("permissions".to_owned(), json!({ "metadata": "read" }))].into_iter().collect()
}

/// An installation of a GitHub App is no user: it is asked for its own repositories.
/// <https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
fn installed(listing: &ResourceListing) -> ResourceListing {
    ResourceListing {
        path: "/installation/repositories?per_page=100".to_owned(),
        items: "/repositories".to_owned(),
        ..listing.clone()
    }
}

async fn all(account: &Account<'_>, listing: &ResourceListing) -> Result<Told, ProviderError> {
    let mut told = Told::default();
    let mut reply = account.get(&piece(listing, 1)).await?;
    for number in 2..=PIECES_MAX + 1 {
        let count = read(listing, &reply, &mut told)?;
        if told.resources.len() > RESOURCES_MAX {
            break;
        }
        reply = match (listing.paging, reply.next) {
            (Paging::LinkHeader, Some(next)) => account.follow(&next).await?,
            (Paging::PageNumber, _) if count > 0 => {
                account.send(Method::GET, &piece(listing, number), None).await?
            }
            _ => return Ok(told),
        };
    }
    told.resources.truncate(RESOURCES_MAX);
    Ok(Told { is_cut: true, ..told })
}

fn piece(listing: &ResourceListing, number: usize) -> String {
    match listing.paging {
        Paging::PageNumber => {
            let separator = if listing.path.contains('?') { '&' } else { '?' };
            format!("{}{separator}page={number}", listing.path)
        }
        Paging::LinkHeader | Paging::None => listing.path.clone(),
    }
}

/// Adds what a piece says. How much that was.
fn read(listing: &ResourceListing, reply: &Reply, told: &mut Told) -> Result<usize, ProviderError> {
    let answer: Json = provider::json(&reply.answer)?;
    let items = answer.pointer(&listing.items).and_then(Json::as_array);
    let items = items.ok_or(ProviderError::Malformed("there is no list"))?;
    for item in items {
        let text = |pointer: &str| match item.pointer(pointer)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
        };
        let fine = |text: &String| {
            !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
        };
        let (id, name) = (text(&listing.id).filter(fine), text(&listing.name).filter(fine));
        let (Some(id), Some(name)) = (id, name) else {
            return Err(ProviderError::Malformed("something in its list has no name"));
        };
        told.resources.push(Resource { id, name });
    }
    Ok(items.len())
}
