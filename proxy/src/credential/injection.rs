//! A credential made ready for the place where a route presents it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue};
use sallygate_compiler::plan::{
    Injection, InjectionKind, Plan, Route, Signing, credential_segment,
};
use sallygate_definitions::contract::injection::PlaceholderPlace;
use zeroize::Zeroizing;

use super::{Cell, Identity, Ready};

/// Where a credential goes, and its encoded form for the newest version of the secret.
#[derive(Debug)]
pub(crate) struct ReadyInjection {
    pub(crate) cell: Arc<Cell>,
    /// The user name, where that is a secret of the connection too.
    username: Option<Arc<Cell>>,
    place: Place,
    encoded: ArcSwapOption<([u64; 2], HeaderValue)>,
    /// Of a certificate, by the version of the secret.
    identity: ArcSwapOption<(u64, Identity)>,
}

#[derive(Debug)]
enum Place {
    Bearer(HeaderName),
    Basic {
        header: HeaderName,
        username: Option<String>,
    },
    Header {
        header: HeaderName,
        template: Option<String>,
    },
    Query(String),
    Cookie(String),
    /// The index of the segment.
    Path(usize),
    Placeholder(Swap),
    Signature(Signing),
    Handshake,
}

/// Which placeholder a credential comes in the place of, and where that may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    /// The index of the placeholder in the plan.
    pub(crate) own: usize,
    places: Vec<PlaceholderPlace>,
}

impl Swap {
    pub(crate) fn is_at(&self, place: PlaceholderPlace) -> bool {
        self.places.contains(&place)
    }
}

/// From the bytes of a secret to the value of a header.
type Encode<'a> = &'a dyn Fn(&[u8]) -> Zeroizing<Vec<u8>>;

/// A credential in its final form.
#[derive(Debug)]
pub(crate) enum Presented<'a> {
    Header(&'a HeaderName, HeaderValue),
    Query(&'a str, Arc<Ready>),
    Cookie(&'a str, Arc<Ready>),
    Path(usize, Arc<Ready>),
    /// Wherever its placeholder stands.
    Swap(&'a Swap, Arc<Ready>),
    /// What the request is signed with, once everything else of it stands.
    Signature(&'a Signing, Arc<Ready>),
    /// It was shown when the connection was made.
    Handshake,
}

impl ReadyInjection {
    /// `cells` are in the order of the plan's credential table. `None`
    /// when the plan is incomplete or names a header that is none; its loader has refused that.
    pub(crate) fn new(
        injection: &Injection,
        (plan, route): (&Plan, &Route),
        cells: &[Arc<Cell>],
    ) -> Option<Self> {
        let named = |fallback: HeaderName| match &injection.header {
            Some(name) => HeaderName::try_from(name.as_str()).ok(),
            None => Some(fallback),
        };
        let place = match injection.kind {
            InjectionKind::Bearer => Place::Bearer(named(http::header::AUTHORIZATION)?),
            InjectionKind::Basic => Place::Basic {
                header: named(http::header::AUTHORIZATION)?,
                username: injection.username.clone(),
            },
            InjectionKind::Header => Place::Header {
                header: HeaderName::try_from(injection.header.as_deref()?).ok()?,
                template: injection.template.clone(),
            },
            InjectionKind::Query => Place::Query(injection.parameter.clone()?),
            InjectionKind::Cookie => Place::Cookie(injection.cookie.clone()?),
            InjectionKind::Path => Place::Path(credential_segment(&route.r#match.paths)?),
            InjectionKind::Placeholder => {
                let credential = plan.credentials.get(injection.credential)?;
                let own = plan.placeholders.iter().position(|p| p.stands_for(credential))?;
                Place::Placeholder(Swap { own, places: injection.places.clone() })
            }
            InjectionKind::AwsSigv4 => Place::Signature(injection.signing.clone()?),
            InjectionKind::ClientCertificate => Place::Handshake,
        };
        let cell = Arc::clone(cells.get(injection.credential)?);
        let username = match injection.username_credential {
            Some(index) => Some(Arc::clone(cells.get(index)?)),
            None => None,
        };
        let (encoded, identity) = (ArcSwapOption::empty(), ArcSwapOption::empty());
        Some(Self { cell, username, place, encoded, identity })
    }

    /// Whether the credential is shown in the handshake, before any request.
    pub(crate) fn is_identity(&self) -> bool {
        matches!(self.place, Place::Handshake)
    }

    /// Who we are in the handshake with this secret; `None` when it is no certificate with its key.
    /// Read once per version.
    pub(crate) fn identity(&self, ready: &Ready) -> Option<Identity> {
        if let Some(known) = self.identity.load().as_ref()
            && known.0 == ready.version
        {
            return Some(known.1.clone());
        }
        let identity = Identity::of(&ready.secret)?;
        self.identity.store(Some(Arc::new((ready.version, identity.clone()))));
        Some(identity)
    }

    /// What the request is signed for, where it is signed.
    pub(crate) fn signing(&self) -> Option<&Signing> {
        match &self.place {
            Place::Signature(signing) => Some(signing),
            Place::Bearer(_)
            | Place::Basic { .. }
            | Place::Header { .. }
            | Place::Query(_)
            | Place::Cookie(_)
            | Place::Path(_)
            | Place::Placeholder(_)
            | Place::Handshake => None,
        }
    }

    /// The segment of the path that is replaced, where one is.
    pub(crate) fn segment(&self) -> Option<usize> {
        if let Place::Path(segment) = self.place { Some(segment) } else { None }
    }

    /// Which placeholder is replaced, where one is.
    pub(crate) fn swap(&self) -> Option<&Swap> {
        if let Place::Placeholder(swap) = &self.place { Some(swap) } else { None }
    }

    /// The cells of what is presented, in the order in which [`Self::present`] takes them.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Arc<Cell>> {
        std::iter::once(&self.cell).chain(&self.username)
    }

    /// The credential as it is sent. Encoded once per version; after that a reference count.
    pub(crate) fn present<'a>(
        &self,
        resolved: &mut impl Iterator<Item = &'a Arc<Ready>>,
    ) -> Option<Presented<'_>> {
        let ready = resolved.next()?;
        let user = match &self.username {
            Some(_) => Some(resolved.next()?),
            None => None,
        };
        let (header, make): (_, Encode<'_>) = match &self.place {
            Place::Query(parameter) => return Some(Presented::Query(parameter, Arc::clone(ready))),
            Place::Cookie(name) => return Some(Presented::Cookie(name, Arc::clone(ready))),
            Place::Path(segment) => return Some(Presented::Path(*segment, Arc::clone(ready))),
            Place::Placeholder(swap) => return Some(Presented::Swap(swap, Arc::clone(ready))),
            Place::Signature(signing) => {
                return Some(Presented::Signature(signing, Arc::clone(ready)));
            }
            Place::Handshake => return Some(Presented::Handshake),
            Place::Bearer(header) => (header, &|s| joined(&[b"Bearer ", s])),
            Place::Basic { header, username } => {
                let fixed = username.as_deref().map(str::as_bytes);
                (header, &move |s| basic(user.map(|user| user.secret.expose()).or(fixed), s))
            }
            Place::Header { header, template } => (header, &|s| filled(template.as_deref(), s)),
        };
        let versions = [ready.version, user.map_or(0, |user| user.version)];
        if let Some(encoded) = self.encoded.load().as_ref()
            && encoded.0 == versions
        {
            return Some(Presented::Header(header, encoded.1.clone()));
        }
        let mut value = HeaderValue::from_bytes(&make(ready.secret.expose())).ok()?;
        value.set_sensitive(true);
        self.encoded.store(Some(Arc::new((versions, value.clone()))));
        Some(Presented::Header(header, value))
    }
}

fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(parts.concat())
}

fn basic(username: Option<&[u8]>, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let pair = match username {
        Some(name) => joined(&[name, b":", secret]),
        None => joined(&[secret]),
    };
    let text = Zeroizing::new(BASE64.encode(&*pair));
    joined(&[b"Basic ", text.as_bytes()])
}

fn filled(template: Option<&str>, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    match template.and_then(|t| t.split_once("{value}")) {
        Some((before, after)) => joined(&[before.as_bytes(), secret, after.as_bytes()]),
        None => joined(&[secret]),
    }
}
