//! How a credential is presented, and where the sandbox's own is removed.

use sallygate_definitions::contract::injection::PlaceholderPlace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pattern::{PathPattern, Segment};

/// How a credential is presented.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Injection {
    pub kind: InjectionKind,
    /// Lower-case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// With `basic`: the fixed user name, the value being the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// With `basic`: the user name is a secret too; index into [`Plan::credentials`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_credential: Option<usize>,
    /// With `cookie`: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// With `placeholder`: where one may stand; in order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlaceholderPlace>,
    /// With `aws_sigv4`: what is signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// Index into [`Plan::credentials`].
    pub credential: usize,
}

impl Injection {
    /// Where the credential goes, for people.
    pub fn place(&self) -> String {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        match self.kind {
            InjectionKind::Bearer | InjectionKind::Basic => {
                self.header.clone().unwrap_or_else(|| "authorization".to_owned())
            }
            InjectionKind::Header => named(&self.header),
            InjectionKind::Query => format!("?{}=", named(&self.parameter)),
            InjectionKind::Cookie => format!("cookie {}", named(&self.cookie)),
            InjectionKind::Path => format!("{{{CREDENTIAL}}}"),
            InjectionKind::Placeholder => format!("its placeholder {}", self.credential),
            InjectionKind::AwsSigv4 => "authorization (Signature Version 4)".to_owned(),
            InjectionKind::ClientCertificate => "the TLS handshake".to_owned(),
        }
    }

    /// Indexes of all credentials that it takes.
    pub fn credentials(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.credential).chain(self.username_credential)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InjectionKind {
    #[default]
    Bearer,
    Basic,
    Header,
    Query,
    Cookie,
    /// Replaces the segment `{credential}` of the route's paths.
    Path,
    /// Replaces the sandbox's placeholder, where the client put it.
    Placeholder,
    /// Signs the request anew with the credential.
    AwsSigv4,
    /// Shows the certificate in the TLS handshake, and proves its key.
    ClientCertificate,
}

/// What a signature of AWS is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    /// The signing name of the service, such as `s3`.
    pub service: String,
    pub region: String,
    #[serde(default)]
    pub presigned: PresignedUrls,
}

/// What becomes of a URL that is signed already, with a credential of somebody else's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresignedUrls {
    #[default]
    Refuse,
    /// Its signature is taken away, and the request is signed with the connection's credential.
    Resign,
}

impl InjectionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header => "header",
            Self::Query => "query",
            Self::Cookie => "cookie",
            Self::Path => "path",
            Self::Placeholder => "placeholder",
            Self::AwsSigv4 => "aws_sigv4",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

/// Every place where the provider accepts a credential: removed from what the sandbox sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clear {
    /// Lower-case names.
    #[serde(default)]
    pub headers: Vec<String>,
    #[serde(default)]
    pub query: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<String>,
}

/// The name of the path parameter that a credential takes the place of.
const CREDENTIAL: &str = "credential";

/// The index of the segment `{credential}`: the same one in all `paths`, once in each of them.
pub fn credential_segment(paths: &[String]) -> Option<usize> {
    let segment = |path: &String| {
        let path = PathPattern::parse(path).ok()?;
        let is_place = |segment: &Segment| match segment {
            Segment::Parameter(name) => name == CREDENTIAL,
            Segment::Literal(_) => false,
        };
        let mut places = path.segments().iter().enumerate().filter(|(_, s)| is_place(s));
        let (index, _) = places.next()?;
        places.next().is_none().then_some(index)
    };
    let first = segment(paths.first()?)?;
    paths.iter().all(|path| segment(path) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_one_place_in_all_paths_of_a_route() {
        for (paths, expected) in [
            (&["/bot/{credential}/**"][..], Some(1)),
            (&["/{credential}"], Some(0)),
            (&["/a/{credential}", "/b/{credential}/c"], Some(1)),
            (&["/a/{credential}", "/{credential}"], None),
            (&["/a/{credential}", "/b"], None),
            (&["/{credential}/{credential}"], None),
            (&["/credential/{x}"], None),
            (&["/**"], None),
            (&[], None),
        ] {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(credential_segment(&paths), expected, "{paths:?}");
        }
    }
}
