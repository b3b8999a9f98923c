//! What a token of an installation is narrowed to.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{AppError, Installation};

/// GitHub takes no more at once.
const REPOSITORIES_MAX: usize = 500;

/// What a binding needs, or what of it there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Narrow {
    /// `owner/name`, or `name` when the owner is known to be the installation's. None: all.
    repositories: Vec<String>,
    permissions: BTreeMap<String, String>,
}

impl Narrow {
    /// The scope of a reference.
    pub(crate) fn of(scope: &Map<String, Json>) -> Self {
        let texts = scope.get("repositories").and_then(Json::as_array).into_iter().flatten();
        let repositories = texts.filter_map(Json::as_str).map(str::to_owned).collect();
        let permissions = scope.get("permissions").and_then(Json::as_object).into_iter().flatten();
        let permission =
            |(name, level): (&String, &Json)| Some((name.clone(), level.as_str()?.to_owned()));
        Self { repositories, permissions: permissions.filter_map(permission).collect() }
    }

    /// What of it the installation has. GitHub takes names without owners, so a repository of
    /// another owner would be taken for one of the installation's own.
    pub(crate) fn within(self, installation: &Installation) -> Result<Self, AppError> {
        if self.repositories.len() > REPOSITORIES_MAX {
            let why = format!("a token is for at most {REPOSITORIES_MAX} repositories");
            return Err(AppError::NotCovered(why));
        }
        let login = &installation.account.login;
        let own = |repository: &String| match repository.split_once('/') {
            Some((owner, name)) if owner.eq_ignore_ascii_case(login) => Ok(name.to_owned()),
            Some(_) | None => {
                let why = format!("the app is installed for `{login}`, not for `{repository}`");
                Err(AppError::NotCovered(why))
            }
        };
        let repositories = self.repositories.iter().map(own).collect::<Result<_, _>>()?;
        let granted = self.permissions.iter().filter_map(|(name, wanted)| {
            let granted = installation.permissions.get(name)?;
            let level = if rank(granted) < rank(wanted) { granted } else { wanted };
            (rank(level) > 0).then(|| (name.clone(), level.clone()))
        });
        let permissions: BTreeMap<_, _> = granted.collect();
        if permissions.is_empty() {
            // Asking for no permission would be asking for all of them.
            let why = "the installation grants nothing of what the binding needs".to_owned();
            return Err(AppError::NotCovered(why));
        }
        Ok(Self { repositories, permissions })
    }

    pub(crate) fn body(&self) -> Json {
        let mut body = json!({ "permissions": self.permissions });
        if let (false, Some(body)) = (self.repositories.is_empty(), body.as_object_mut()) {
            body.insert("repositories".to_owned(), json!(self.repositories));
        }
        body
    }
}

fn rank(level: &str) -> u8 {
    match level {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(scope: &Json, permissions: &Json) -> Result<Json, String> {
        let told = json!({ "id": 1, "account": { "login": "Octo" }, "permissions": permissions });
        let installation: Installation = serde_json::from_value(told).unwrap();
        let narrowed = Narrow::of(scope.as_object().unwrap()).within(&installation);
        narrowed.map(|narrow| narrow.body()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_has_no_more_than_the_binding_needs_and_the_installation_has() {
        let scope = json!({
            "repositories": ["octo/app", "OCTO/web"],
            "permissions": { "contents": "write", "issues": "read", "checks": "read" },
        });
        let granted = json!({ "contents": "read", "issues": "write", "administration": "write" });
        let expected = json!({
            "repositories": ["app", "web"],
            "permissions": { "contents": "read", "issues": "read" },
        });
        assert_eq!(narrowed(&scope, &granted), Ok(expected));
    }

    #[test]
    fn nothing_is_never_taken_for_everything() {
        let permissions = json!({ "contents": "read" });
        let scope = json!({ "repositories": ["octo/a"], "permissions": permissions });
        for granted in [json!({}), json!({ "issues": "write" }), json!({ "contents": "none" })] {
            assert!(narrowed(&scope, &granted).is_err(), "{granted}");
        }
        let granted = json!({ "contents": "write" });
        assert!(narrowed(&json!({ "repositories": ["octo/a"] }), &granted).is_err());
        for strange in ["other/app", "octo2/app", "app", "/app"] {
            let repositories = json!(["octo/a", strange]);
            let scope = json!({ "repositories": repositories, "permissions": permissions });
            assert!(narrowed(&scope, &granted).is_err(), "{strange}");
        }
        let many: Vec<_> = (0..=REPOSITORIES_MAX).map(|n| format!("octo/r{n}")).collect();
        let scope = json!({ "repositories": many, "permissions": permissions });
        assert!(narrowed(&scope, &granted).is_err());
    }
}
