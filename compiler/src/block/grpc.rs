//! The `grpc` block: services and methods, which the path names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problem, apart, one_or_many, refuse_empty};

/// Conditions on a gRPC call.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrpcBlock {
    /// Full names, such as `package.Service`. `None`: any.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<String>")]
    pub service: Option<Vec<String>>,
    /// `None`: any.
    #[serde(
        default,
        deserialize_with = "one_or_many::deserialize",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "one_or_many::Form<String>")]
    pub method: Option<Vec<String>>,
}

impl GrpcBlock {
    pub fn holds(&self, service: &str, method: &str) -> bool {
        let has = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|listed| listed == name))
        };
        has(&self.service, service) && has(&self.method, method)
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        refuse_empty(self.service.as_deref(), "service", found);
        refuse_empty(self.method.as_deref(), "method", found);
        for text in self.service.iter().flatten().filter(|text| !text.split('.').all(is_identifier))
        {
            let message = format!("`{text}` is not the full name of a service");
            found.push(Problem { field: "service", message });
        }
        for text in self.method.iter().flatten().filter(|text| !is_identifier(text)) {
            let message = format!("`{text}` is not the name of a method");
            found.push(Problem { field: "method", message });
        }
    }

    pub(super) fn is_disjoint(&self, other: &Self) -> bool {
        apart(self.service.as_deref(), other.service.as_deref())
            || apart(self.method.as_deref(), other.method.as_deref())
    }

    pub(super) fn witness(&self) -> String {
        let first = |list: &Option<Vec<String>>| {
            list.iter().flatten().next().cloned().unwrap_or("x".into())
        };
        format!("{}/{}", first(&self.service), first(&self.method))
    }
}

/// An identifier of the Protocol Buffers language.
fn is_identifier(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(inner) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
