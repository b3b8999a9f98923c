//! Names: of parameters, from the segment before them, and of routes, from their host.

use std::collections::BTreeMap;

use super::Suggestion;

/// What the two segments behind a word are called everywhere.
const PAIRS: [(&str, [&str; 2]); 2] =
    [("repos", ["owner", "repo"]), ("repositories", ["owner", "repo"])];

/// Whether two segments belong together behind this one.
pub(super) fn has_pair(word: &str) -> bool {
    PAIRS.iter().any(|(known, _)| *known == word)
}

/// Names of the parameters of one path, from left to right.
#[derive(Debug, Default)]
pub(super) struct Names {
    before: String,
    since: usize,
    used: BTreeMap<String, usize>,
}

impl Names {
    /// Notes a literal segment.
    pub(super) fn after(&mut self, literal: &str) {
        if has_pair(&self.before) && self.since == 0 {
            // The owner is a word; what comes next is still the second of the pair.
            self.since = 1;
            return;
        }
        literal.clone_into(&mut self.before);
        self.since = 0;
    }

    /// The name of a parameter that stands next.
    pub(super) fn next(&mut self) -> String {
        let pair = PAIRS.iter().find(|(word, _)| *word == self.before).map(|(_, names)| names);
        let name = match pair.and_then(|names| names.get(self.since)) {
            Some(name) => (*name).to_owned(),
            None => singular(&self.before),
        };
        self.known(&name)
    }

    /// The name of a parameter that stands next and has one.
    pub(super) fn known(&mut self, name: &str) -> String {
        self.since += 1;
        let times = self.used.entry(name.to_owned()).or_default();
        *times += 1;
        if *times == 1 { name.to_owned() } else { format!("{name}{times}") }
    }
}

/// One of what a segment names: `users` → `user`.
fn singular(word: &str) -> String {
    let plain: String = word
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let plain = plain.trim_matches('_');
    let one = match plain {
        word if word.ends_with("ies") => word.strip_suffix("ies").map(|stem| format!("{stem}y")),
        word if word.ends_with("ss") => None,
        word => word.strip_suffix('s').map(str::to_owned),
    };
    let one = one.unwrap_or_else(|| plain.to_owned());
    if one.is_empty() { "id".to_owned() } else { one }
}

/// `api-github-com-read` for safe methods, `…-write` for others.
pub(super) fn route_name(host: &str, methods: &[&str]) -> String {
    let plain: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let safe = methods.iter().all(|method| ["GET", "HEAD", "OPTIONS"].contains(method));
    let host = plain.trim_matches('-');
    format!("{host}-{}", if safe { "read" } else { "write" })
}

/// Numbers the names that are there more than once.
pub(super) fn make_distinct(suggestions: &mut [Suggestion]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for suggestion in suggestions {
        let times = seen.entry(suggestion.name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            suggestion.name = format!("{}-{times}", suggestion.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_called_after_what_stands_before_it() {
        for (before, expected) in [
            ("users", "user"),
            ("categories", "category"),
            ("address", "address"),
            ("Merge-Requests", "merge_request"),
            ("", "id"),
            ("%20", "20"),
        ] {
            assert_eq!(singular(before), expected, "{before}");
        }
        let mut names = Names::default();
        names.after("repos");
        assert_eq!([names.next(), names.next(), names.next()], ["owner", "repo", "repo2"]);
    }
}
