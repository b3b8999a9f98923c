//! Where the parts of something stand in the file that it was read from.

use std::collections::BTreeMap;

use crate::diagnostic::Place;

/// Places by field path; the empty path is the whole. Empty for what was read from no file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    pub(super) fn add(&mut self, path: impl Into<String>, place: Place) {
        self.0.insert(path.into(), place);
    }

    /// Adds places by their paths below `root`.
    pub(super) fn add_below(&mut self, root: &str, places: BTreeMap<String, Place>) {
        for (path, place) in places {
            let path = if path.is_empty() { root.to_owned() } else { format!("{root}.{path}") };
            self.0.insert(path, place);
        }
    }

    /// The place of the field, or of the nearest thing around it.
    pub(crate) fn find(&self, field: &str) -> Option<&Place> {
        let mut path = field;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            if path.is_empty() {
                return None;
            }
            let end = path.rfind(['.', '[']).unwrap_or(0);
            path = path.get(..end).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_stands_where_the_thing_around_it_does() {
        let place = |field: &str| {
            let (file, field) = ("f".to_owned(), field.to_owned());
            Place { file, span: 0..0, line: 1, column: 1, field }
        };
        let mut places = Places::default();
        assert_eq!(places.find("a.b"), None);
        places.add("", place("whole"));
        places.add("a", place("a"));
        places.add("a.list[1]", place("item"));
        for (field, expected) in [
            ("a", "a"),
            ("a.b", "a"),
            ("a.list[1]", "item"),
            ("a.list[1].x", "item"),
            ("a.list[0]", "a"),
            ("b", "whole"),
            ("", "whole"),
        ] {
            assert_eq!(places.find(field).unwrap().field, expected, "{field}");
        }
    }
}
