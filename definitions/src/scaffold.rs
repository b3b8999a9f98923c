//! The beginning of a definition file, for whoever writes one.

use crate::schema::Format;

/// What a file begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaffold {
    family_id: String,
    variant_id: String,
    base_url: String,
}

/// Why there is no such beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaffoldError {
    Key,
    BaseUrl,
}

impl std::fmt::Display for ScaffoldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key => "a key is `family::variant`, of `a-z`, `0-9` and `-`",
            Self::BaseUrl => {
                "a base URL is an absolute `https` URL without user, query and fragment"
            }
        })
    }
}

impl std::error::Error for ScaffoldError {}

impl Scaffold {
    pub fn new(key: &str, base_url: &str) -> Result<Self, ScaffoldError> {
        let (family, variant) = key.split_once("::").ok_or(ScaffoldError::Key)?;
        let is_id = |text: &str| {
            let fine =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !text.is_empty() && text.len() <= 64 && text.bytes().all(fine)
        };
        if !is_id(family) || !is_id(variant) {
            return Err(ScaffoldError::Key);
        }
        if !base_url.starts_with("https://") || !Format::Uri.admits(base_url) {
            return Err(ScaffoldError::BaseUrl);
        }
        let (family_id, variant_id) = (family.to_owned(), variant.to_owned());
        Ok(Self { family_id, variant_id, base_url: base_url.to_owned() })
    }

    /// The name that the file should have.
    pub fn file_name(&self) -> String {
        let Self { family_id, variant_id, .. } = self;
        if variant_id.starts_with(family_id.as_str()) {
            format!("{variant_id}.toml")
        } else {
            format!("{family_id}-{variant_id}.toml")
        }
    }

    /// The file: whole and valid, with the least that one usually needs.
    pub fn text(&self) -> String {
        let Self { family_id, variant_id, base_url } = self;
        format!(
            r#"# TODO: the provider, and the page of its documentation that each fact below is from.
familyId = "{family_id}"
variantId = "{variant_id}"
kind = "connector"
displayName = "{family_id}"
description = "What one connects to it for."
logoKey = "{family_id}"

# What an operator says about a deployment.
[targetConfigSchema.properties.baseUrl]
type = "string"
format = "uri"
default = "{base_url}"
x-normalize = ["url"]

# What a binding asks for. Nothing is reached that is not named here.
[bindingConfigSchema.properties.projects]
type = "array"
items = {{ type = "string", format = "slug", x-normalize = ["trim"] }}
default = []
maxItems = 1000
x-normalize = ["dedupe", "sort"]

[bindingConfigSchema.properties.access]
type = "string"
enum = ["read", "write"]
default = "read"

[[connectionMethods]]
kind = "form"
id = "token"
label = "API token"
fields = [{{ name = "token", label = "Token", secretType = "api_key" }}]

[[validateBindingWriteContext]]
code = "nothing_granted"
field = "projects"
safeMessage = "a binding names at least one project"
require = {{ kind = "anyOf", fields = ["projects"] }}

# How the credential is presented: bearer, basic, header, query.
[[compileBinding.origins]]
name = "api"
baseUrl = "{{{{target.baseUrl}}}}"
inject = [{{ secretType = "api_key", present = {{ kind = "bearer" }} }}]

[[compileBinding.routes]]
name = "read"
forEach = "binding.projects"
methods = ["GET", "HEAD"]
paths = ["/projects/{{{{item}}}}/**"]

[[compileBinding.routes]]
name = "write"
when = {{ access = "write" }}
forEach = "binding.projects"
methods = ["DELETE", "PATCH", "POST", "PUT"]
paths = ["/projects/{{{{item}}}}/**"]
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::source::SourceFile;
    use crate::{Definition, Inputs};

    #[test]
    fn a_scaffold_is_a_definition_that_grants_what_is_named() {
        let scaffold = Scaffold::new("acme::acme-cloud", "https://api.acme.test/v2").unwrap();
        assert_eq!(scaffold.file_name(), "acme-cloud.toml");
        let definition = Definition::read(&SourceFile::new("acme.toml", scaffold.text())).unwrap();
        assert_eq!(definition.key(), "acme::acme-cloud");
        let bound = |binding| {
            definition.expand(&Inputs {
                target_config: &json!({}),
                connection_method: Some("token"),
                connection_config: &json!({}),
                binding_config: &binding,
            })
        };
        let expanded = bound(json!({"projects": ["p"]})).unwrap();
        assert_eq!(expanded.routes.len(), 1);
        assert_eq!(expanded.routes[0].paths, ["/v2/projects/p/**"]);
        assert_eq!(bound(json!({})).unwrap_err()[0].code, "acme.nothing_granted");
    }

    #[test]
    fn what_is_no_key_or_no_base_url_has_no_scaffold() {
        for key in
            ["", "acme", "acme:cloud", "::", "acme::", "::cloud", "Acme::x", "a/b::c", "a::b::c"]
        {
            assert_eq!(Scaffold::new(key, "https://a.test"), Err(ScaffoldError::Key), "{key}");
        }
        for url in [
            "",
            "a.test",
            "http://a.test",
            "https://",
            "https://a.test?x",
            "https://u@a.test",
            "https://a.test/\"\n",
        ] {
            assert_eq!(Scaffold::new("a::b", url), Err(ScaffoldError::BaseUrl), "{url}");
        }
    }
}
