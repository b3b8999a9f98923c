//! `[oidc]`: where people sign in, and who they are here.

use std::path::{Path, PathBuf};

use sallygate_compiler::read::Table;
use sallygate_control::domain::token::Role;
use sallygate_control::login::RoleRule;
use sallygate_control::outbound::Reach;

use super::reach;

/// What `[oidc]` says. The client's secret stays in its file until it is needed.
#[derive(Clone, Debug)]
pub(crate) struct LoginSettings {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret_file: Option<PathBuf>,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) reach: Reach,
    pub(crate) rules: Vec<RoleRule>,
}

const ROLES: [(&str, Role); 4] = [
    ("read_only", Role::ReadOnly),
    ("approver", Role::Approver),
    ("member", Role::Member),
    ("operator", Role::Operator),
];

pub(super) fn settings(root: &mut Table<'_>, base: &Path) -> Option<LoginSettings> {
    let mut table = root.table("oidc")?;
    let issuer = https(&mut table, "issuer");
    let redirect_uri = https(&mut table, "redirect_uri");
    let client_id = table.required_string("client_id");
    let file = table.string("client_secret_file");
    let client_secret_file = file.map(|file| base.join(file.value));
    let scopes = table.strings("scopes").unwrap_or_default();
    let reach = reach::settings(&mut table, base);
    let rules = table.tables("roles").into_iter().filter_map(rule).collect();
    table.finish();
    Some(LoginSettings {
        issuer: issuer?,
        client_id: client_id?.value,
        client_secret_file,
        redirect_uri: redirect_uri?,
        scopes: scopes.into_iter().map(|scope| scope.value).collect(),
        reach,
        rules,
    })
}

fn https(table: &mut Table<'_>, key: &str) -> Option<String> {
    let text = table.required_string(key)?;
    if text.value.starts_with("https://") {
        return Some(text.value);
    }
    table.refuse_at(key, text.span, "BAD_VALUE", format!("`{key}` begins with `https://`"));
    None
}

fn rule(mut table: Table<'_>) -> Option<RoleRule> {
    let (claim, value) = (table.required_string("claim"), table.required_string("value"));
    let role = table.choice("role", &ROLES);
    let organisation = table.string("organisation").map(|organisation| organisation.value);
    if role.is_none() && !table.contains("role") {
        table.missing("role");
    }
    if organisation.is_none() && role.is_some_and(|role| role != Role::Operator) {
        // Without this nobody would be let in by the rule, and nobody would know why.
        table.missing("organisation");
    }
    table.finish();
    Some(RoleRule { claim: claim?.value, value: value?.value, role: role?, organisation })
}
