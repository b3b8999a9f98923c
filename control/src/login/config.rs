//! Where people sign in, and who they are here.

use serde_json::Value;

use super::Claims;
use crate::credentials::Plaintext;
use crate::domain::token::Role;
use crate::outbound::Reach;

/// The OpenID provider, who we are there, and what its people may do here.
#[derive(Clone, Debug)]
pub struct LoginConfig {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<Plaintext>,
    /// Besides `openid`.
    pub scopes: Vec<String>,
    /// The address of `/api/v1/auth/oidc/callback` as browsers see it.
    pub redirect_uri: String,
    /// The first that applies decides.
    pub rules: Vec<RoleRule>,
    pub reach: Reach,
}

/// What people with a claim may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRule {
    /// `sub`, `email`, `groups`, …
    pub claim: String,
    /// The claim's value, or one of its values.
    pub value: String,
    pub role: Role,
    /// `None`: all organisations, which only an operator has.
    pub organisation: Option<String>,
}

impl LoginConfig {
    /// What somebody may do, if anything.
    pub(super) fn rule_for(&self, claims: &Claims) -> Option<&RoleRule> {
        let usable =
            |rule: &&RoleRule| rule.organisation.is_some() || matches!(rule.role, Role::Operator);
        self.rules.iter().filter(usable).find(|rule| rule.applies(claims))
    }
}

impl RoleRule {
    fn applies(&self, claims: &Claims) -> bool {
        // An address that nobody verified is only what somebody typed.
        if self.claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return false;
        }
        let is_value = |value: &Value| value.as_str() == Some(&self.value);
        match claims.get(&self.claim) {
            Some(Value::Array(values)) => values.iter().any(is_value),
            Some(value) => is_value(value),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(claim: &str, value: &str, role: Role, organisation: Option<&str>) -> RoleRule {
        let (claim, value) = (claim.to_owned(), value.to_owned());
        RoleRule { claim, value, role, organisation: organisation.map(str::to_owned) }
    }

    #[test]
    fn the_first_rule_that_applies_decides_and_nobody_is_let_in_by_chance() {
        let config = LoginConfig {
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            scopes: Vec::new(),
            redirect_uri: String::new(),
            rules: vec![
                rule("groups", "ops", Role::Operator, None),
                rule("groups", "dev", Role::Member, None),
                rule("groups", "dev", Role::ReadOnly, Some("org_a")),
                rule("email", "ada@people.example", Role::Member, Some("org_a")),
                rule("admin", "true", Role::Operator, None),
            ],
            reach: Reach::default(),
        };
        let role = |claims: Value| {
            let claims = Claims::of(claims.as_object().unwrap().clone());
            config.rule_for(&claims).map(|rule| (rule.role, rule.organisation.as_deref()))
        };
        assert_eq!(role(json!({ "groups": ["x", "ops", "dev"] })), Some((Role::Operator, None)));
        assert_eq!(role(json!({ "groups": "ops" })), Some((Role::Operator, None)));
        // A member of no organisation is not one of all of them.
        assert_eq!(role(json!({ "groups": ["dev"] })), Some((Role::ReadOnly, Some("org_a"))));
        let ada = json!({ "email": "ada@people.example", "email_verified": true });
        assert_eq!(role(ada), Some((Role::Member, Some("org_a"))));
        for nobody in [
            json!({}),
            json!({ "groups": [] }),
            json!({ "groups": ["OPS"] }),
            json!({ "groups": { "ops": true } }),
            json!({ "group": ["ops"] }),
            json!({ "email": "ada@people.example" }),
            json!({ "email": "ada@people.example", "email_verified": "true" }),
            json!({ "email": "ada@people.example", "email_verified": false }),
            json!({ "admin": true }),
        ] {
            assert_eq!(role(nobody.clone()), None, "{nobody}");
        }
    }
}
