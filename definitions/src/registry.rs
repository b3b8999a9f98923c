//! The definitions that there are, by their key.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::contract::Definition;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::read::suggestion;
use crate::source::{LineIndex, SourceFile};

/// A file of `integrations/`, by its name there.
macro_rules! integration {
    ($name:literal) => {
        (concat!("integrations/", $name), include_str!(concat!("../integrations/", $name)))
    };
}

static BUILTIN: [(&str, &str); 19] = [
    integration!("anthropic/anthropic-default.toml"),
    integration!("atlassian/atlassian-default.toml"),
    integration!("aws/aws-default.toml"),
    integration!("clawledger/clawledger-default.toml"),
    integration!("demo/echo.toml"),
    integration!("generic/http-api.toml"),
    integration!("generic/mcp-server.toml"),
    integration!("generic/oauth2-api.toml"),
    integration!("gitea/gitea-default.toml"),
    integration!("github/github-cloud.toml"),
    integration!("github/github-enterprise-server.toml"),
    integration!("gitlab/gitlab-default.toml"),
    integration!("linear/linear-default.toml"),
    integration!("n8n/n8n-default.toml"),
    integration!("openai/openai-default.toml"),
    integration!("openclaw/openclaw-runtime.toml"),
    integration!("plane/plane-default.toml"),
    integration!("slack/slack-default.toml"),
    integration!("warp/warp-setup.toml"),
];

/// Definitions in code-point order of their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    definitions: BTreeMap<String, Definition>,
}

impl Registry {
    /// The definitions that come with the binary.
    pub fn builtin() -> Self {
        // Read once: they do not change, and every reload of a configuration asks for them.
        static READ: LazyLock<Registry> = LazyLock::new(|| {
            // A test proves that they are all valid.
            let files = BUILTIN.map(|(name, text)| SourceFile::new(name, text));
            Registry::load(&files).0
        });
        READ.clone()
    }

    /// The files that the definitions come from, each with its name.
    pub fn builtin_files() -> &'static [(&'static str, &'static str)] {
        &BUILTIN
    }

    /// Reads definition files. Those with errors, and later ones of the same key, are left out
    /// and reported.
    pub fn load(files: &[SourceFile]) -> (Self, Diagnostics) {
        Self::default().extended(files)
    }

    /// The definitions that come with the binary, and those of an operator's files. A file never
    /// takes the place of a definition that is there: what `github::github-cloud` is does not
    /// depend on what lies in a directory.
    pub fn with_files(files: &[SourceFile]) -> (Self, Diagnostics) {
        Self::builtin().extended(files)
    }

    fn extended(mut self, files: &[SourceFile]) -> (Self, Diagnostics) {
        let mut found = Diagnostics::new();
        for file in files {
            match Definition::read(file) {
                Ok(definition) => self.add(definition, file, &mut found),
                Err(problems) => found.append(problems),
            }
        }
        (self, found.sorted())
    }

    pub fn find(&self, key: &str) -> Option<&Definition> {
        self.definitions.get(key)
    }

    /// The definition, or the diagnostic that says that there is none.
    pub fn require(&self, key: &str) -> Result<&Definition, Diagnostic> {
        self.find(key).ok_or_else(|| {
            let message = format!("there is no definition `{key}`");
            let near = suggestion(key, self.keys());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", self.keys().collect::<Vec<_>>().join(", ")),
            };
            Diagnostic::error("DEFINITION_NOT_FOUND", message).help(help)
        })
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.definitions.keys().map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.definitions.values()
    }

    fn add(&mut self, definition: Definition, file: &SourceFile, found: &mut Diagnostics) {
        let key = definition.key();
        if self.definitions.contains_key(&key) {
            let message = format!("`{}` defines `{key}` again", file.name);
            let place = LineIndex::new(&file.text).place(file, 0..0, "familyId");
            let help = "a definition has a key of its own: choose another `variantId`";
            let diagnostic = Diagnostic::error("DUPLICATE_DEFINITION", message);
            found.push(diagnostic.at(place).help(help));
            return;
        }
        self.definitions.insert(key, definition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_definition_is_valid_and_stands_in_order() {
        let files = BUILTIN.map(|(name, text)| SourceFile::new(name, text));
        let (registry, found) = Registry::load(&files);
        assert_eq!(found.to_string(), "");
        let keys: Vec<&str> = registry.keys().collect();
        assert_eq!(keys.len(), BUILTIN.len());
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(registry, Registry::builtin());
    }

    #[test]
    fn a_second_definition_of_a_key_is_refused() {
        let (name, text) = BUILTIN[0];
        let files = [SourceFile::new(name, text), SourceFile::new("again.toml", text)];
        let (registry, found) = Registry::load(&files);
        assert_eq!(registry.keys().count(), 1);
        assert_eq!(found.0[0].code, "DUPLICATE_DEFINITION");
    }

    #[test]
    fn a_file_of_an_operator_adds_and_never_shadows() {
        let (_, echo) = BUILTIN.into_iter().find(|(name, _)| name.ends_with("echo.toml")).unwrap();
        let own = echo.replacen("\"demo\"", "\"acme\"", 1);
        let evil = echo.replace("https://echo.test", "https://evil.test");
        let broken = echo.replacen("kind = \"connector\"", "kind = \"conector\"", 1);
        let files = [("own.toml", own), ("evil.toml", evil), ("broken.toml", broken)];
        let files = files.map(|(name, text)| SourceFile::new(name, text));
        let (registry, found) = Registry::with_files(&files);
        assert!(registry.find("acme::echo").is_some());
        assert_eq!(registry.find("demo::echo"), Registry::builtin().find("demo::echo"));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("broken.toml:4:8: error[BAD_VALUE]"), "{found:?}");
        assert!(found[1].starts_with("evil.toml:1:1: error[DUPLICATE_DEFINITION]"), "{found:?}");
    }

    #[test]
    fn an_unknown_definition_is_named_with_the_nearest_known_one() {
        let found = Registry::builtin().require("generic::http-apis").unwrap_err();
        assert_eq!(found.code, "DEFINITION_NOT_FOUND");
        assert_eq!(found.help.as_deref(), Some("did you mean `generic::http-api`?"));
        assert!(Registry::builtin().require("").is_err());
    }
}
