//! How a target presents its credentials, and what sandboxes are given for them.

use sallygate_definitions::contract::injection::{PlaceholderPlace, Presentation};
use sallygate_definitions::placeholder::{Shape, is_variable};

use super::config::TargetReader;
use super::{TargetInjection, TargetPlaceholder};
use crate::read::Spanned;
use crate::table::{is_injectable, is_token};

/// How a target's credentials may be presented.
const INJECTIONS: [&str; 9] = [
    "none",
    "bearer",
    "basic",
    "header",
    "query",
    "cookie",
    "path",
    "placeholder",
    "client_certificate",
];

impl TargetReader<'_, '_> {
    /// `None` when it was reported.
    pub(super) fn injection(&mut self) -> Option<TargetInjection> {
        let choices = INJECTIONS.map(|word| (word, word));
        let given = self.table.contains("inject");
        let chosen = self.table.choice("inject", &choices);
        let header = self.only_with("header", chosen == Some("header"));
        let template = self.only_with("template", chosen == Some("header"));
        let parameter = self.only_with("parameter", chosen == Some("query"));
        let username = self.only_with("username", chosen == Some("basic"));
        let cookie = self.only_with("cookie", chosen == Some("cookie"));
        let places = self.placeholder_places(chosen == Some("placeholder"));
        if !given {
            return Some(TargetInjection::Definition);
        }
        let presentation = match chosen? {
            "bearer" => Presentation::Bearer {},
            "basic" => Presentation::Basic { username, username_from: None },
            "header" => Presentation::Header { header: self.header(header)?, template },
            "query" => {
                let parameter = parameter.filter(|parameter| !parameter.is_empty());
                if parameter.is_none() {
                    self.table.missing("parameter");
                }
                Presentation::Query { parameter: parameter? }
            }
            "cookie" => Presentation::Cookie { name: self.cookie(cookie)? },
            "path" => Presentation::Path {},
            "placeholder" => Presentation::Placeholder { places: places? },
            "client_certificate" => Presentation::ClientCertificate {},
            _ => return Some(TargetInjection::Nothing),
        };
        if let Presentation::Header { template: Some(template), .. } = &presentation
            && template.matches("{value}").count() != 1
        {
            let message = "a template holds `{value}` exactly once";
            self.table.refuse("template", "BAD_VALUE", message);
        }
        Some(TargetInjection::Instead(presentation))
    }

    /// Where a placeholder may stand; empty: anywhere. `None` when it was reported.
    fn placeholder_places(&mut self, meant: bool) -> Option<Vec<PlaceholderPlace>> {
        const KEY: &str = "placeholder_in";
        let Some(given) = self.table.strings(KEY) else { return Some(Vec::new()) };
        if !meant || given.is_empty() {
            let message = match meant {
                true => "`placeholder_in` lists at least one place; leave it out for all",
                false => "`placeholder_in` means nothing with this `inject`",
            };
            self.table.refuse(KEY, "BAD_VALUE", message);
            return None;
        }
        let mut places = Vec::new();
        for Spanned { value, span } in given {
            match value.as_str() {
                "header" => places.push(PlaceholderPlace::Header),
                "query" => places.push(PlaceholderPlace::Query),
                "body" => places.push(PlaceholderPlace::Body),
                _ => {
                    let message = format!("`{value}` is not `header`, `query` or `body`");
                    self.table.refuse_at(KEY, span, "BAD_VALUE", message);
                    return None;
                }
            }
        }
        Some(places)
    }

    /// What sandboxes are given for the target's credentials, where the operator says it.
    pub(super) fn placeholder(&mut self) -> Option<TargetPlaceholder> {
        let shape = self.table.string("placeholder");
        if let Some(Spanned { value, span }) = &shape
            && let Err(error) = Shape::parse(value)
        {
            let message = format!("the shape `{value}` {error}");
            self.table.refuse_at("placeholder", span.clone(), "BAD_VALUE", message);
        }
        let env = self.table.strings("placeholder_env");
        for Spanned { value, span } in env.iter().flatten() {
            if !is_variable(value) {
                let message =
                    format!("`{}` is no variable for a placeholder", value.escape_debug());
                self.table.refuse_at("placeholder_env", span.clone(), "BAD_VALUE", message);
            }
        }
        if shape.is_none() && env.is_none() {
            return None;
        }
        let env = env.map(|names| names.into_iter().map(|name| name.value).collect());
        Some(TargetPlaceholder { shape: shape.map(|shape| shape.value), env })
    }

    fn header(&self, given: Option<String>) -> Option<String> {
        let Some(given) = given else {
            self.table.missing("header");
            return None;
        };
        let name = given.to_ascii_lowercase();
        if !is_injectable(&name) {
            let message = format!("no credential goes into a header `{given}`");
            self.table.refuse("header", "BAD_VALUE", message);
            return None;
        }
        Some(name)
    }

    fn cookie(&self, given: Option<String>) -> Option<String> {
        let Some(name) = given else {
            self.table.missing("cookie");
            return None;
        };
        if !is_token(&name) {
            self.table.refuse("cookie", "BAD_VALUE", format!("`{name}` is not a cookie's name"));
            return None;
        }
        Some(name)
    }

    fn only_with(&mut self, key: &str, meant: bool) -> Option<String> {
        let value = self.table.string(key)?;
        if !meant {
            let message = format!("`{key}` means nothing with this `inject`");
            self.table.refuse(key, "BAD_VALUE", message);
        }
        Some(value.value)
    }
}
