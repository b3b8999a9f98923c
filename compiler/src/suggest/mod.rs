//! The least routes that would allow requests that were denied.
//!
//! Least: what is suggested allows the requests that were seen, and beyond them only other values
//! in a segment that was seen to vary, or that a definition of the host's provider calls a
//! parameter. Any other path that was seen once is suggested as it is.

mod known;
mod template;
mod word;

use std::collections::{BTreeMap, BTreeSet};

use crate::canonical::Scheme;
use crate::pattern::PathPattern;

pub use known::Known;

/// A request that was denied, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
    pub method: String,
    /// Without query.
    pub path: String,
}

/// A route that would allow some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    pub name: String,
    pub scheme: Scheme,
    pub host: String,
    /// `None`: the scheme's default.
    pub port: Option<u16>,
    pub methods: Vec<String>,
    pub paths: Vec<String>,
    pub allow_encoded_slash: bool,
    pub allow_empty_segments: bool,
    /// How many different requests it would have allowed.
    pub allows: usize,
}

/// Where requests go: routes are suggested for each place by itself.
type Origin = (Scheme, String, u16);

/// The routes that allow `denied`, in order of host and path. Requests that no route can name,
/// because they are in no canonical form, are left out. `known` is what definitions say of paths.
pub fn suggest(denied: &[Denied], known: &[Known]) -> Vec<Suggestion> {
    let mut origins: BTreeMap<Origin, BTreeSet<&Denied>> = BTreeMap::new();
    for request in denied.iter().filter(|request| is_nameable(request)) {
        let origin = (request.scheme, request.host.clone(), request.port);
        origins.entry(origin).or_default().insert(request);
    }
    let suggestions = origins.into_iter().flat_map(|(origin, requests)| {
        let known: Vec<&Known> = known.iter().filter(|known| known.is_at(&origin)).collect();
        of_origin(&origin, &requests, &known)
    });
    let mut suggestions: Vec<Suggestion> = suggestions.collect();
    word::make_distinct(&mut suggestions);
    suggestions
}

fn is_nameable(request: &Denied) -> bool {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\{}*".contains(&b));
    plain(&request.path)
        && plain(&request.host)
        && crate::table::is_token(&request.method)
        && PathPattern::parse(&request.path).is_ok_and(|pattern| pattern.matches(&request.path))
}

/// Templates of all paths that one method was used on, then one route for each set of methods.
fn of_origin(
    (scheme, host, port): &Origin,
    requests: &BTreeSet<&Denied>,
    known: &[&Known],
) -> Vec<Suggestion> {
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for request in requests {
        methods.entry(&request.method).or_default().insert(&request.path);
    }
    // The same template for two methods is one route; another set of methods is another one.
    let mut by_path: BTreeMap<String, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for (method, paths) in methods {
        for (template, seen) in template::of_paths(&paths, known) {
            let entry = by_path.entry(template).or_default();
            entry.0.insert(method);
            entry.1 += seen;
        }
    }
    let mut routes: BTreeMap<Vec<&str>, (Vec<String>, usize)> = BTreeMap::new();
    for (template, (methods, seen)) in by_path {
        let route = routes.entry(methods.into_iter().collect()).or_default();
        route.0.push(template);
        route.1 += seen;
    }
    let port = (*port != scheme.default_port()).then_some(*port);
    let suggestion = |(methods, (paths, allows)): (Vec<&str>, (Vec<String>, usize))| Suggestion {
        name: word::route_name(host, &methods),
        scheme: *scheme,
        host: host.clone(),
        port,
        methods: methods.into_iter().map(str::to_owned).collect(),
        allow_encoded_slash: requests.iter().any(|r| has_encoded_slash(&r.path)),
        allow_empty_segments: requests.iter().any(|r| r.path.contains("//")),
        paths,
        allows,
    };
    routes.into_iter().map(suggestion).collect()
}

fn has_encoded_slash(path: &str) -> bool {
    path.to_ascii_uppercase().contains("%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(method: &str, url: &str) -> Denied {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().unwrap()),
            None => (authority, scheme.default_port()),
        };
        let (method, path) = (method.to_owned(), path.to_owned());
        Denied { scheme, host: host.to_owned(), port, method, path }
    }

    fn shown(requests: &[(&str, &str)]) -> Vec<String> {
        let denied: Vec<Denied> = requests.iter().map(|(m, url)| denied(m, url)).collect();
        let show = |s: &Suggestion| {
            let port = s.port.map_or(String::new(), |port| format!(":{port}"));
            format!("{} {}://{}{port} {}", s.methods.join(","), s.scheme, s.host, s.paths.join(" "))
        };
        suggest(&denied, &[]).iter().map(show).collect()
    }

    #[test]
    fn what_was_seen_once_is_suggested_as_it_is() {
        assert_eq!(
            shown(&[("GET", "https://a.test/repos/acme/site/pulls/12")]),
            ["GET https://a.test /repos/acme/site/pulls/12"]
        );
    }

    #[test]
    fn segments_that_vary_become_parameters() {
        let github: Vec<(&str, String)> = ["acme/site", "acme/shop", "globex/web", "initech/api"]
            .iter()
            .map(|repository| ("GET", format!("https://api.github.com/repos/{repository}/pulls")))
            .collect();
        let github: Vec<(&str, &str)> = github.iter().map(|(m, url)| (*m, url.as_str())).collect();
        assert_eq!(shown(&github), ["GET https://api.github.com /repos/{owner}/{repo}/pulls"]);
        for (urls, expected) in [
            (
                vec!["https://a.test/users/1", "https://a.test/users/2"],
                vec!["GET https://a.test /users/{user}"],
            ),
            (
                vec![
                    "https://a.test/x/1b4e28ba-2fa1-11d2-883f-0016d3cca427/y",
                    "https://a.test/x/6fa459ea-ee8a-3ca4-894e-db77e160355e/y",
                ],
                vec!["GET https://a.test /x/{x}/y"],
            ),
            // Two words are two words: nothing says that a third one would be alike.
            (
                vec!["https://a.test/v1/users", "https://a.test/v1/groups"],
                vec!["GET https://a.test /v1/groups /v1/users"],
            ),
            (vec!["https://a.test/v1", "https://a.test/v2"], vec!["GET https://a.test /v1 /v2"]),
            (
                vec!["https://a.test/repos/acme/site", "https://a.test/repos/globex/web"],
                vec!["GET https://a.test /repos/acme/site /repos/globex/web"],
            ),
            (
                vec![
                    "https://a.test/repos/acme/a",
                    "https://a.test/repos/acme/b",
                    "https://a.test/repos/acme/c",
                ],
                vec!["GET https://a.test /repos/acme/{repo}"],
            ),
            (
                vec!["https://a.test/1/x", "https://a.test/2/y"],
                vec!["GET https://a.test /1/x /2/y"],
            ),
        ] {
            let requests: Vec<(&str, &str)> = urls.into_iter().map(|url| ("GET", url)).collect();
            assert_eq!(shown(&requests), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_suggested_allows_what_was_seen(
            paths in proptest::collection::vec("(/(repos|v1|a|b|7|12|[0-9a-f]{8}|)){1,4}", 1..24),
        ) {
            let denied: Vec<Denied> =
                paths.iter().map(|p| denied("GET", &format!("https://a.test{p}"))).collect();
            let suggested = suggest(&denied, &[]);
            let patterns: Vec<PathPattern> = suggested
                .iter()
                .flat_map(|s| &s.paths)
                .map(|path| PathPattern::parse(path).unwrap())
                .collect();
            for path in &paths {
                assert!(patterns.iter().any(|pattern| pattern.matches(path)), "{path}");
            }
            let distinct: BTreeSet<&String> = paths.iter().collect();
            assert_eq!(suggested.iter().map(|s| s.allows).sum::<usize>(), distinct.len());
        }
    }

    #[test]
    fn each_method_host_and_port_gets_what_it_needs_only() {
        assert_eq!(
            shown(&[
                ("GET", "https://a.test/x"),
                ("POST", "https://a.test/x"),
                ("GET", "https://a.test/y"),
                ("GET", "https://b.test/x"),
                ("GET", "https://a.test:8443/x"),
                ("GET", "http://a.test/x"),
            ]),
            [
                "GET http://a.test /x",
                "GET https://a.test /y",
                "GET,POST https://a.test /x",
                "GET https://a.test:8443 /x",
                "GET https://b.test /x",
            ]
        );
    }

    #[test]
    fn what_a_definition_calls_a_parameter_is_one_though_it_was_seen_once() {
        let registry = sallygate_definitions::Registry::builtin();
        let known: Vec<Known> = registry
            .iter()
            .flat_map(|definition| Known::of(definition, &serde_json::json!({})))
            .collect();
        for (urls, expected) in [
            (
                &["https://github.com/acme/site/releases/download/v1/a.tar.gz"][..],
                &["/acme/site/releases/download/{tag}/{asset}"][..],
            ),
            (
                &[
                    "https://github.com/acme/site/releases/download/v1/a.tar.gz",
                    "https://github.com/acme/site/releases/download/v2/b.tar.gz",
                ],
                &["/acme/site/releases/download/{tag}/{asset}"],
            ),
            // Of a repository nothing is known but that it was asked for.
            (&["https://api.github.com/repos/acme/site/pulls/12"], &["/repos/acme/site/pulls/12"]),
            (
                &["https://git.test/acme/site/releases/download/v1/a.tar.gz"],
                &["/acme/site/releases/download/v1/a.tar.gz"],
            ),
        ] {
            let denied: Vec<Denied> = urls.iter().map(|url| denied("GET", url)).collect();
            let suggested = suggest(&denied, &known);
            let paths: Vec<&String> = suggested.iter().flat_map(|s| &s.paths).collect();
            assert_eq!(paths, expected, "{urls:?}");
            assert_eq!(suggested.iter().map(|s| s.allows).sum::<usize>(), urls.len());
        }
    }

    #[test]
    fn what_no_route_can_name_is_left_out() {
        for url in ["https://a.test/{x}", "https://a.test/**", "https://a.test/a\"b"] {
            assert_eq!(shown(&[("GET", url)]), Vec::<String>::new(), "{url}");
        }
        assert_eq!(shown(&[("G T", "https://a.test/")]), Vec::<String>::new());
        assert_eq!(shown(&[]), Vec::<String>::new());
    }
}
