//! Which secrets must be there, by their names alone: no value ever comes here.

use std::collections::BTreeSet;

use super::Issue;
use crate::contract::Definition;
use crate::contract::method::ConnectionMethod;
use crate::read::suggestion;

/// A set of names, against which those that are present are held.
struct Wanted<'w> {
    code: &'static str,
    field: &'static str,
    required: BTreeSet<&'w str>,
    known: BTreeSet<&'w str>,
}

impl Definition {
    /// What keeps a target with these secrets from being whole.
    pub fn target_secret_issues(&self, present: &BTreeSet<String>) -> Vec<Issue> {
        let schema = &self.target_secret_schema;
        let wanted = Wanted {
            code: "INVALID_TARGET_SECRETS",
            field: "targetSecrets",
            required: schema.required.iter().map(String::as_str).collect(),
            known: schema.properties.keys().map(String::as_str).collect(),
        };
        wanted.issues(present)
    }

    /// What keeps a connection that was made by `method`, with these secrets, from being whole.
    /// Only forms have secrets that a person names; of the others the service keeps the tokens.
    pub fn credential_issues(&self, method: &str, present: &BTreeSet<String>) -> Vec<Issue> {
        let Some(ConnectionMethod::Form { fields, .. }) = self.method(method) else {
            return Vec::new();
        };
        let required = fields.iter().filter(|field| !field.optional);
        let wanted = Wanted {
            code: "INVALID_CONNECTION_CONFIG",
            field: "connectionCredentials",
            required: required.map(|field| field.name.as_str()).collect(),
            known: fields.iter().map(|field| field.name.as_str()).collect(),
        };
        wanted.issues(present)
    }
}

impl Wanted<'_> {
    fn issues(&self, present: &BTreeSet<String>) -> Vec<Issue> {
        let field = |name: &str| format!("{}.{name}", self.field);
        let missing = self.required.iter().filter(|name| !present.contains(**name)).map(|name| {
            Issue::error(self.code, field(name), format!("the secret `{name}` is missing"))
        });
        let unknown = present.iter().filter(|name| !self.known.contains(name.as_str()));
        let unknown = unknown.map(|name| {
            let near = suggestion(name, self.known.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            Issue::error(self.code, field(name), format!("there is no secret `{name}`{near}"))
        });
        missing.chain(unknown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    fn codes(issues: &[Issue]) -> Vec<(&str, &str)> {
        issues.iter().map(|issue| (issue.code.as_str(), issue.field.as_str())).collect()
    }

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_connection_has_the_secrets_that_its_method_asks_for() {
        let registry = Registry::builtin();
        let definition = registry.find("demo::echo").unwrap();
        let issues = |present: &[&str]| definition.credential_issues("token", &names(present));
        assert_eq!(codes(&issues(&["token"])), []);
        let missing = ("INVALID_CONNECTION_CONFIG", "connectionCredentials.token");
        assert_eq!(codes(&issues(&[])), [missing]);
        let unknown = ("INVALID_CONNECTION_CONFIG", "connectionCredentials.tokn");
        assert_eq!(codes(&issues(&["token", "tokn"])), [unknown]);
        assert!(definition.credential_issues("nothing", &names(&[])).is_empty());
    }

    #[test]
    fn a_target_has_the_secrets_that_its_definition_asks_for() {
        let mut definition = Registry::builtin().find("demo::echo").unwrap().clone();
        let issues = |d: &Definition, present: &[&str]| {
            codes(&d.target_secret_issues(&names(present))).len()
        };
        assert_eq!(issues(&definition, &[]), 0);
        assert_eq!(issues(&definition, &["appKey"]), 1);
        let schema = &mut definition.target_secret_schema;
        schema.properties.insert("appKey".into(), crate::schema::ConfigSchema::default());
        schema.required.push("appKey".into());
        assert_eq!(issues(&definition, &["appKey"]), 0);
        assert_eq!(issues(&definition, &[]), 1);
    }
}
