//! A text that a person wrote, and where in it something stands.
//!
//! This crate does no I/O: whoever reads the file makes the [`SourceFile`].

use std::ops::Range;

use crate::diagnostic::Place;

/// A file's name, as the author knows it, and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

impl SourceFile {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// Where each line of a text begins, so that a place costs a binary search and not a scan.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    pub fn new(text: &str) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        Self { starts: std::iter::once(0).chain(after_newlines.map(|(at, _)| at + 1)).collect() }
    }

    /// The place of `span` in `file`, which must be the text that this index was made from.
    pub fn place(&self, file: &SourceFile, span: Range<usize>, field: &str) -> Place {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = file.text.get(start..span.start).unwrap_or("");
        Place {
            file: file.name.clone(),
            line,
            column: before.chars().count() + 1,
            field: field.to_owned(),
            span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let file = SourceFile::new("a.toml", "x = 1\né = \"ü\"\n");
        let lines = LineIndex::new(&file.text);
        for (offset, expected) in [(0, (1, 1)), (4, (1, 5)), (6, (2, 1)), (8, (2, 2)), (99, (3, 1))]
        {
            let place = lines.place(&file, offset..offset, "f");
            assert_eq!((place.line, place.column), expected, "offset {offset}");
        }
    }
}
