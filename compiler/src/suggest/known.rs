//! What definitions know of the paths of a host: which segments vary, and what they are called.

use sallygate_definitions::Definition;
use sallygate_definitions::template::{Filter, Scope, Template};
use serde_json::Value;

use crate::canonical::{self, BaseUrl, Scheme};

/// A path of a provider's API, at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    scheme: Scheme,
    host: String,
    port: u16,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// What a binding fills in, one segment or several, between these texts.
    Bound(String, String),
    /// A segment that varies, with its name.
    Parameter(String),
    /// Everything below.
    Rest,
}

impl Known {
    /// The paths with parameters of a definition whose target is configured like this. What is
    /// somewhere else for every connection or binding is known of no host.
    pub fn of(definition: &Definition, target: &Value) -> Vec<Self> {
        let Ok(target) = definition.admit_target(target) else { return Vec::new() };
        let routes = &definition.compile_binding.routes;
        let mut known = Vec::new();
        for origin in &definition.compile_binding.origins {
            let Some(base) = place(&origin.base_url, &target) else { continue };
            let is_of = |name: &Option<String>| name.as_ref().is_none_or(|n| *n == origin.name);
            let paths = routes.iter().filter(|route| is_of(&route.origin)).flat_map(|r| &r.paths);
            for path in paths {
                let pieces: Vec<Piece> = pieces(&format!("{}{path}", base.path));
                if pieces.iter().any(|piece| matches!(piece, Piece::Parameter(_))) {
                    let (host, port) = (base.authority.host.to_string(), base.authority.port);
                    known.push(Self { scheme: base.scheme, host, port, pieces });
                }
            }
        }
        known
    }

    pub(super) fn is_at(&self, (scheme, host, port): &super::Origin) -> bool {
        self.scheme == *scheme && self.host == *host && self.port == *port
    }

    /// For each segment the name of the parameter that it is the value of.
    pub(super) fn names(&self, segments: &[&str]) -> Option<Vec<Option<&str>>> {
        let mut names = Vec::with_capacity(segments.len());
        align(&self.pieces, segments, &mut names).then_some(names)
    }
}

fn place(base_url: &str, target: &Value) -> Option<BaseUrl> {
    let nothing = Value::Null;
    let scope = Scope { target, connection: &nothing, binding: &nothing, item: None };
    let url = Template::parse(base_url).ok()?.render(&scope, Filter::Raw).ok()?;
    canonical::base_url(&url).ok()
}

fn pieces(path: &str) -> Vec<Piece> {
    // A template in braces of its own may have a `/` in it: it is cut out first.
    let (mut plain, mut rest) = (String::new(), path);
    while let Some((before, after)) = rest.split_once("{{") {
        plain.push_str(before);
        plain.push(FILLED_IN);
        rest = after.split_once("}}").map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    let piece = |segment: &str| match segment.split_once(FILLED_IN) {
        Some((before, after)) => {
            let after = after.rsplit(FILLED_IN).next().unwrap_or_default();
            Piece::Bound(before.to_owned(), after.to_owned())
        }
        None if segment == "**" => Piece::Rest,
        None => match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => Piece::Parameter(name.to_owned()),
            None => Piece::Literal(segment.to_owned()),
        },
    };
    plain.split('/').skip(1).map(piece).collect()
}

/// Stands for a template; no path has it.
const FILLED_IN: char = '\0';

fn align<'k>(pieces: &'k [Piece], segments: &[&str], names: &mut Vec<Option<&'k str>>) -> bool {
    let Some((piece, more)) = pieces.split_first() else { return segments.is_empty() };
    let before = names.len();
    let (most, name) = match piece {
        Piece::Rest => {
            names.resize(before + segments.len(), None);
            return true;
        }
        Piece::Literal(_) => (1, None),
        Piece::Parameter(name) => (1, Some(name.as_str())),
        Piece::Bound(..) => (segments.len(), None),
    };
    for length in 1..=most {
        let Some((taken, rest)) = segments.split_at_checked(length) else { return false };
        if piece.takes(taken) {
            names.resize(before + length, name);
            if align(more, rest, names) {
                return true;
            }
            names.truncate(before);
        }
    }
    false
}

impl Piece {
    fn takes(&self, segments: &[&str]) -> bool {
        let (first, last) = (segments.first(), segments.last());
        match self {
            Self::Literal(text) => first.is_some_and(|segment| segment == text),
            Self::Parameter(_) => first.is_some_and(|segment| !segment.is_empty()),
            Self::Bound(before, after) => {
                first.is_some_and(|segment| segment.starts_with(before))
                    && last.is_some_and(|segment| segment.ends_with(after))
                    && segments.iter().all(|segment| !segment.is_empty())
            }
            Self::Rest => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(path: &str) -> Known {
        let host = "a.test".to_owned();
        Known { scheme: Scheme::Https, host, port: 443, pieces: pieces(path) }
    }

    fn shown(path: &str, template: &str) -> Option<String> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let known = known(template);
        let names = known.names(&segments)?;
        let part = |(segment, name): (&&str, &Option<&str>)| match name {
            Some(name) => format!("/{{{name}}}"),
            None => format!("/{segment}"),
        };
        Some(segments.iter().zip(&names).map(part).collect())
    }

    #[test]
    fn a_template_tells_which_segments_of_a_path_are_parameters() {
        const ASSETS: &str = "/repos/{{item | path}}/releases/{release}/assets";
        const FILES: &str = "/{{item.path | path}}.git/x-{{item.id}}/{file}/**";
        for (template, path, expected) in [
            (
                ASSETS,
                "/repos/acme/site/releases/7/assets",
                Some("/repos/acme/site/releases/{release}/assets"),
            ),
            (
                ASSETS,
                "/repos/acme/releases/7/assets",
                Some("/repos/acme/releases/{release}/assets"),
            ),
            (ASSETS, "/repos/acme/site/releases/7", None),
            (ASSETS, "/repos/acme/site/releases//assets", None),
            (ASSETS, "/repos/releases/7/assets", None),
            (ASSETS, "/repos//releases/7/assets", None),
            (FILES, "/a/b.git/x-1/f", Some("/a/b.git/x-1/{file}")),
            (FILES, "/a/b.git/x-1/f/g/h", Some("/a/b.git/x-1/{file}/g/h")),
            (FILES, "/a/b/x-1/f", None),
            (FILES, "/a/b.git/y-1/f", None),
            ("/{a}/{b}", "/x/y", Some("/{a}/{b}")),
            ("/{a}/{b}", "/x", None),
            ("/{a}/{b}", "/x/y/z", None),
        ] {
            assert_eq!(shown(path, template).as_deref(), expected, "{template} {path}");
        }
    }

    #[test]
    fn what_definitions_say_is_known_of_the_hosts_of_their_targets() {
        let registry = sallygate_definitions::Registry::builtin();
        let github = registry.find("github::github-cloud").unwrap();
        let known = Known::of(github, &serde_json::json!({}));
        let at = |host: &str| known.iter().filter(|known| known.host == host).count();
        assert!(at("api.github.com") + at("github.com") > 0, "{known:?}");
        assert_eq!(at("api.example.com"), 0);
        let broken = serde_json::json!({ "no such": 1 });
        assert!(Known::of(github, &broken).is_empty());
    }
}
