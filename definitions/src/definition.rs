//! One definition: what an integration looks like, as its file says it.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::read::{Document, Table};
use crate::source::SourceFile;

/// What an integration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Agent,
    Git,
    Connector,
}

/// How the credential of an origin is presented, unless the operator's target says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    None,
    Bearer,
    Basic,
}

/// A base URL and how credentials are presented to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub base_url: String,
    pub inject: Presentation,
}

/// A route before it is bound: paths are relative to the base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTemplate {
    pub name: String,
    /// `None`: any.
    pub methods: Option<Vec<String>>,
    pub paths: Vec<String>,
    pub requests_per_minute: Option<u32>,
}

/// What an integration looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub family_id: String,
    pub variant_id: String,
    pub kind: Kind,
    pub display_name: String,
    pub description: String,
    pub logo_key: String,
    /// `None`: the operator's target must give the base URL.
    pub origin: Option<Origin>,
    /// Empty: the binding must give its routes.
    pub routes: Vec<RouteTemplate>,
}

impl Definition {
    /// `family::variant`
    pub fn key(&self) -> String {
        format!("{}::{}", self.family_id, self.variant_id)
    }

    /// Reads a definition file; every problem in it is returned.
    pub fn read(file: &SourceFile) -> Result<Definition, Diagnostics> {
        let document = Document::parse(file)?;
        let mut root = document.root();
        let definition = read(&mut root);
        root.finish();
        let found = document.into_diagnostics();
        match definition {
            Some(definition) if !found.has_errors() => Ok(definition),
            Some(_) | None => Err(found),
        }
    }
}

fn read(root: &mut Table<'_>) -> Option<Definition> {
    let family_id = identity(root, "familyId");
    let variant_id = identity(root, "variantId");
    let kinds = [("agent", Kind::Agent), ("git", Kind::Git), ("connector", Kind::Connector)];
    if !root.contains("kind") {
        root.missing("kind");
    }
    let kind = root.choice("kind", &kinds);
    let display_name = filled(root, "displayName");
    let description = filled(root, "description");
    let logo_key = filled(root, "logoKey");
    let origin = root.table("origin").map(origin);
    let routes: Vec<_> = root.tables("routes").into_iter().map(route).collect();
    for (at, route) in routes.iter().enumerate() {
        if routes.iter().take(at).any(|other| other.name == route.name) {
            let message = format!("two routes have the name `{}`", route.name);
            root.refuse("routes", "INVALID_DEFINITION", message);
        }
    }
    Some(Definition {
        family_id: family_id?,
        variant_id: variant_id?,
        kind: kind?,
        display_name: display_name?,
        description: description?,
        logo_key: logo_key?,
        origin,
        routes,
    })
}

fn origin(mut table: Table<'_>) -> Origin {
    let base_url = filled(&mut table, "baseUrl").unwrap_or_default();
    let choices = [
        ("none", Presentation::None),
        ("bearer", Presentation::Bearer),
        ("basic", Presentation::Basic),
    ];
    let inject = table.choice("inject", &choices).unwrap_or(Presentation::None);
    table.finish();
    Origin { base_url, inject }
}

fn route(mut table: Table<'_>) -> RouteTemplate {
    let texts = |list: Vec<crate::read::Spanned<String>>| list.into_iter().map(|t| t.value);
    let name = identity(&mut table, "name").unwrap_or_default();
    let methods = table.strings("methods").map(|list| texts(list).collect::<Vec<_>>());
    if methods.as_ref().is_some_and(Vec::is_empty) {
        table.refuse("methods", "EMPTY_METHODS", "`methods` lists at least one method");
    }
    let paths: Vec<String> = table.strings("paths").map(texts).into_iter().flatten().collect();
    if paths.is_empty() {
        table.missing("paths");
    }
    let rate = table.integer("requestsPerMinute", 1..=i64::from(u32::MAX));
    let requests_per_minute = rate.and_then(|rate| u32::try_from(rate.value).ok());
    table.finish();
    RouteTemplate { name, methods, paths, requests_per_minute }
}

/// A part of a key: what may stand in one without being quoted.
fn identity(table: &mut Table<'_>, key: &str) -> Option<String> {
    let value = filled(table, key)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if value.bytes().all(allowed) {
        return Some(value);
    }
    let message = format!("`{value}` has other characters than `a-z`, `0-9` and `-`");
    table.refuse(key, "INVALID_DEFINITION", message);
    None
}

fn filled(table: &mut Table<'_>, key: &str) -> Option<String> {
    let value = table.required_string(key)?;
    if value.value.trim().is_empty() {
        let diagnostic = Diagnostic::error("INVALID_DEFINITION", format!("`{key}` is blank"));
        table.report(diagnostic.at(table.place_of(key)));
        return None;
    }
    Some(value.value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "familyId = \"f\"\nvariantId = \"v\"\nkind = \"git\"\ndisplayName = \"D\"\n\
                        description = \"d\"\nlogoKey = \"l\"\n";

    #[test]
    fn a_definition_is_read_whole() {
        let text = format!("{HEAD}[[routes]]\nname = \"r\"\npaths = [\"/x\"]\n");
        let definition = Definition::read(&SourceFile::new("d.toml", text)).unwrap();
        assert_eq!(definition.key(), "f::v");
        assert_eq!(definition.kind, Kind::Git);
        assert_eq!(definition.routes.len(), 1);
    }

    #[test]
    fn every_problem_of_a_definition_is_listed() {
        let text = "familyId = \" \"\nvariantId = \"V v\"\nkind = \"gti\"\ndisplayName = 1\n\
                    logokey = \"x\"\n[origin]\ninject = \"Bearer\"\n[[routes]]\nname = \"r\"\n\
                    methods = []\n[[routes]]\nname = \"r\"\npaths = [\"/\"]\nrequestsPerMinute = 0\n";
        let found = Definition::read(&SourceFile::new("bad.toml", text)).unwrap_err();
        insta::assert_snapshot!(found);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,64}", tail in "[\\[\\]a-z= \"\n.]{0,64}") {
            let _ = Definition::read(&SourceFile::new("x", text + &tail));
        }
    }
}
