//! A strict reader for the TOML files that people write.
//!
//! It collects: a wrong field never hides the next one. Every field has a place, every key that
//! nobody asked for is an error, and a key that is nearly right gets a suggestion.

mod located;
mod over;

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

use toml::Spanned as TomlSpanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::source::{LineIndex, SourceFile};

pub use located::Located;
pub use over::Over;

/// A longer file is refused before it is parsed.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Range<usize>,
}

type Node<'d> = TomlSpanned<DeValue<'d>>;

/// A parsed file, and all that was found wrong in it so far.
#[derive(Debug)]
pub struct Document<'f> {
    file: &'f SourceFile,
    lines: LineIndex,
    root: TomlSpanned<DeTable<'f>>,
    overs: &'f [Over],
    found: RefCell<Diagnostics>,
}

impl<'f> Document<'f> {
    /// Parses `file`; when it is not TOML, every syntax error in it is returned.
    pub fn parse(file: &'f SourceFile) -> Result<Self, Diagnostics> {
        if file.text.len() > FILE_BYTES_MAX {
            let message = format!(
                "`{}` has {} bytes, more than {FILE_BYTES_MAX}",
                file.name,
                file.text.len()
            );
            return Err(Diagnostic::error("LIMIT_EXCEEDED", message).into());
        }
        let (root, errors) = DeTable::parse_recoverable(&file.text);
        let lines = LineIndex::new(&file.text);
        if errors.is_empty() {
            return Ok(Self { file, lines, root, overs: &[], found: RefCell::default() });
        }
        let found = errors.iter().map(|error| {
            let place = lines.place(file, error.span().unwrap_or(0..0), "");
            Diagnostic::error("TOML_SYNTAX", error.message()).at(place)
        });
        Err(Diagnostics(found.collect()).sorted())
    }

    /// Parses `file`, and puts these values over what it says.
    pub fn parse_over(file: &'f SourceFile, overs: &'f [Over]) -> Result<Self, Diagnostics> {
        let mut document = Self::parse(file)?;
        document.overs = overs;
        over::put(&mut document);
        Ok(document)
    }

    /// The table that the whole file is.
    pub fn root(&self) -> Table<'_> {
        Table {
            document: self,
            table: self.root.get_ref(),
            span: 0..0,
            path: String::new(),
            known: Vec::new(),
        }
    }

    /// The whole file as it was parsed.
    pub(crate) fn tree(&self) -> &TomlSpanned<DeTable<'f>> {
        &self.root
    }

    pub fn file(&self) -> &'f SourceFile {
        self.file
    }

    pub fn place(&self, span: Range<usize>, field: &str) -> Place {
        match over::at(self, &span) {
            Some(over) => over.place(field),
            None => self.lines.place(self.file, span, field),
        }
    }

    pub fn report(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// How many problems were found so far.
    pub fn problems(&self) -> usize {
        self.found.borrow().0.len()
    }

    /// What was found, in order.
    pub fn into_diagnostics(self) -> Diagnostics {
        self.found.into_inner().sorted()
    }
}

/// One table of a [`Document`]. Each reading method makes its key a known one; [`Table::finish`]
/// reports the rest.
#[derive(Debug)]
pub struct Table<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    path: String,
    known: Vec<String>,
}

impl<'d> Table<'d> {
    /// The dotted path of this table; empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn place(&self) -> Place {
        self.document.place(self.span.clone(), &self.path)
    }

    /// The place of the value of `key`, or of the table when the key is missing.
    pub fn place_of(&self, key: &str) -> Place {
        let span = self.node(key).map_or_else(|| self.span.clone(), TomlSpanned::span);
        self.document.place(span, &self.field(key))
    }

    pub fn report(&self, diagnostic: Diagnostic) {
        self.document.report(diagnostic);
    }

    /// How many problems were found so far, in the whole document.
    pub fn problems(&self) -> usize {
        self.document.problems()
    }

    /// Reports `message` about the value of `key`.
    pub fn refuse(&self, key: &str, code: &'static str, message: impl Into<String>) {
        self.report(Diagnostic::error(code, message).at(self.place_of(key)));
    }

    /// A place inside the value of `key`.
    pub fn place_at(&self, key: &str, span: Range<usize>) -> Place {
        self.document.place(span, &self.field(key))
    }

    /// Reports `message` about a part of the value of `key`.
    pub fn refuse_at(
        &self,
        key: &str,
        span: Range<usize>,
        code: &'static str,
        message: impl Into<String>,
    ) {
        self.report(Diagnostic::error(code, message).at(self.place_at(key, span)));
    }

    pub fn contains(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    pub fn string(&mut self, key: &str) -> Option<Spanned<String>> {
        let node = self.known(key)?;
        self.text(node, &self.field(key))
    }

    /// A string that must be there.
    pub fn required_string(&mut self, key: &str) -> Option<Spanned<String>> {
        if !self.contains(key) {
            self.missing(key);
        }
        self.string(key)
    }

    /// One of a fixed set of words.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.string(key)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word.value) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("`{}` is not one of {}", word.value, names.join(", "));
        let mut diagnostic = Diagnostic::error("BAD_VALUE", message).at(self.place_of(key));
        let near = suggestion(&word.value, names.into_iter());
        diagnostic.help = near.map(|near| format!("did you mean `{near}`?"));
        self.report(diagnostic);
        None
    }

    pub fn integer(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<Spanned<i64>> {
        let node = self.known(key)?;
        self.number(node, &self.field(key), range)
    }

    pub fn boolean(&mut self, key: &str) -> Option<Spanned<bool>> {
        let node = self.known(key)?;
        match node.get_ref().as_bool() {
            Some(value) => Some(Spanned { value, span: node.span() }),
            None => self.wrong_type(node, &self.field(key), "a boolean"),
        }
    }

    /// An array of strings. `None` when the key is missing; wrong items are reported and left out.
    pub fn strings(&mut self, key: &str) -> Option<Vec<Spanned<String>>> {
        let items = self.items(key, "an array of strings")?;
        Some(items.into_iter().filter_map(|(node, field)| self.text(node, &field)).collect())
    }

    /// One string, or an array of strings: both mean a list.
    pub fn string_or_strings(&mut self, key: &str) -> Option<Vec<Spanned<String>>> {
        match self.node(key) {
            Some(node) if node.get_ref().is_str() => self.string(key).map(|text| vec![text]),
            Some(_) | None => self.strings(key),
        }
    }

    pub fn integers(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<Vec<Spanned<i64>>> {
        let items = self.items(key, "an array of integers")?;
        let read = |(node, field): (_, String)| self.number(node, &field, range.clone());
        Some(items.into_iter().filter_map(read).collect())
    }

    pub fn table(&mut self, key: &str) -> Option<Table<'d>> {
        let node = self.known(key)?;
        self.inner(node, self.field(key))
    }

    /// An array of tables, written either way. Empty when the key is missing.
    pub fn tables(&mut self, key: &str) -> Vec<Table<'d>> {
        let items = self.items(key, "an array of tables").unwrap_or_default();
        items.into_iter().filter_map(|(node, field)| self.inner(node, field)).collect()
    }

    /// Every entry of this table as a table, for tables whose keys are names that the author
    /// chooses.
    pub fn entries(&mut self) -> Vec<(Spanned<String>, Table<'d>)> {
        let mut entries = Vec::with_capacity(self.table.len());
        for (key, node) in self.table {
            let name = key.get_ref().to_string();
            self.known.push(name.clone());
            if let Some(table) = self.inner(node, self.field(&name)) {
                entries.push((Spanned { value: name, span: key.span() }, table));
            }
        }
        entries
    }

    /// Every entry of this table as a string.
    pub fn string_entries(&mut self) -> Vec<(Spanned<String>, Spanned<String>)> {
        let mut entries = Vec::with_capacity(self.table.len());
        for (key, node) in self.table {
            let name = key.get_ref().to_string();
            self.known.push(name.clone());
            if let Some(text) = self.text(node, &self.field(&name)) {
                entries.push((Spanned { value: name, span: key.span() }, text));
            }
        }
        entries
    }

    /// The items of an array that may mix strings and tables.
    pub fn strings_or_tables(&mut self, key: &str) -> Option<Vec<TextOrTable<'d>>> {
        let items = self.items(key, "an array of strings or tables")?;
        let read = |(node, field): (&'d Node<'d>, String)| {
            if node.get_ref().is_str() {
                return self.text(node, &field).map(TextOrTable::Text);
            }
            self.inner(node, field).map(TextOrTable::Table)
        };
        Some(items.into_iter().filter_map(read).collect())
    }

    /// A string, or a native TOML date and time in its text form.
    pub fn string_or_datetime(&mut self, key: &str) -> Option<Spanned<String>> {
        let node = self.known(key)?;
        match node.get_ref().as_datetime() {
            Some(datetime) => Some(Spanned { value: datetime.to_string(), span: node.span() }),
            None => self.text(node, &self.field(key)),
        }
    }

    /// Makes `key` a known one without reading it.
    pub fn skip(&mut self, key: &str) {
        self.known.push(key.to_owned());
    }

    /// Reports that `key` must be there.
    pub fn missing(&self, key: &str) {
        let message = format!("`{}` is missing", self.field(key));
        self.report(Diagnostic::error("MISSING_FIELD", message).at(self.place()));
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) -> &'d Document<'d> {
        for (key, _) in self.table {
            let name = key.get_ref();
            if self.known.iter().any(|known| known == name) {
                continue;
            }
            let field = self.field(name);
            let message = format!("unknown field `{field}`");
            let place = self.document.place(key.span(), &field);
            let mut diagnostic = Diagnostic::error("UNKNOWN_FIELD", message).at(place);
            diagnostic.help = Some(unknown_help(name, &self.known));
            self.report(diagnostic);
        }
        self.document
    }

    fn node(&self, key: &str) -> Option<&'d Node<'d>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, node)| node)
    }

    fn known(&mut self, key: &str) -> Option<&'d Node<'d>> {
        self.known.push(key.to_owned());
        self.node(key)
    }

    fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn text(&self, node: &Node<'_>, field: &str) -> Option<Spanned<String>> {
        match node.get_ref().as_str() {
            Some(text) => Some(Spanned { value: text.to_owned(), span: node.span() }),
            None => self.wrong_type(node, field, "a string"),
        }
    }

    fn number(
        &self,
        node: &Node<'_>,
        field: &str,
        range: RangeInclusive<i64>,
    ) -> Option<Spanned<i64>> {
        let Some(integer) = node.get_ref().as_integer() else {
            return self.wrong_type(node, field, "an integer");
        };
        let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let Some(value) = value.filter(|value| range.contains(value)) else {
            let (low, high) = range.into_inner();
            let message = format!("`{field}` must be from {low} to {high}");
            let place = self.document.place(node.span(), field);
            self.report(Diagnostic::error("BAD_VALUE", message).at(place));
            return None;
        };
        Some(Spanned { value, span: node.span() })
    }

    fn items(&mut self, key: &str, wanted: &str) -> Option<Vec<(&'d Node<'d>, String)>> {
        let node = self.known(key)?;
        let field = self.field(key);
        let Some(array) = node.get_ref().as_array() else {
            return self.wrong_type(node, &field, wanted);
        };
        let item = |(at, node)| (node, format!("{field}[{at}]"));
        Some(array.iter().enumerate().map(item).collect())
    }

    fn inner(&self, node: &'d Node<'d>, path: String) -> Option<Table<'d>> {
        let Some(table) = node.get_ref().as_table() else {
            return self.wrong_type(node, &path, "a table");
        };
        let (document, span, known) = (self.document, node.span(), Vec::new());
        Some(Table { document, table, span, path, known })
    }

    fn wrong_type<T>(&self, node: &Node<'_>, field: &str, wanted: &str) -> Option<T> {
        let message = format!("`{field}` must be {wanted}, not {}", node.get_ref().type_str());
        let place = self.document.place(node.span(), field);
        self.report(Diagnostic::error("WRONG_TYPE", message).at(place));
        None
    }
}

/// An item of an array that may mix both.
#[derive(Debug)]
pub enum TextOrTable<'d> {
    Text(Spanned<String>),
    Table(Table<'d>),
}

fn unknown_help(name: &str, known: &[String]) -> String {
    if let Some(near) = suggestion(name, known.iter().map(String::as_str)) {
        return format!("did you mean `{near}`?");
    }
    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
    known.sort_unstable();
    known.dedup();
    format!("known fields: {}", known.join(", "))
}

/// The candidate that is nearest to `word`, if one is near enough to be meant.
pub fn suggestion<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_problem_of_a_file_is_listed_with_its_place() {
        let text = "nmae = 1\ncount = 70000\nsize = \"x\"\nlist = [\"a\", 1, \"b\"]\n\
                    [inner]\nflag = \"yes\"\ncolour = \"gren\"\n";
        let file = SourceFile::new("c.toml", text);
        let document = Document::parse(&file).unwrap();
        let mut root = document.root();
        assert!(root.required_string("name").is_none());
        assert!(root.integer("count", 1..=65535).is_none());
        assert!(root.integer("size", 1..=65535).is_none());
        assert_eq!(root.strings("list").unwrap().len(), 2);
        let mut inner = root.table("inner").unwrap();
        assert!(inner.boolean("flag").is_none());
        assert!(inner.choice("colour", &[("green", 1), ("red", 2)]).is_none());
        inner.finish();
        root.finish();
        insta::assert_snapshot!(document.into_diagnostics());
    }

    #[test]
    fn every_syntax_error_is_listed() {
        let file = SourceFile::new("c.toml", "a = \nb = 1\nb = 2\n[x\n");
        let found = Document::parse(&file).unwrap_err();
        assert!(found.0.len() >= 3, "{found}");
        assert!(found.0.iter().all(|d| d.code == "TOML_SYNTAX" && d.place.is_some()), "{found}");
    }

    #[test]
    fn a_file_that_is_too_long_or_too_deep_is_refused() {
        let long = SourceFile::new("c.toml", "#".repeat(FILE_BYTES_MAX + 1));
        assert_eq!(Document::parse(&long).unwrap_err().0[0].code, "LIMIT_EXCEEDED");
        let deep = SourceFile::new("c.toml", format!("a = {}", "[".repeat(100_000)));
        assert!(Document::parse(&deep).unwrap_err().has_errors());
    }

    #[test]
    fn a_suggestion_is_near_or_absent() {
        for (word, expected) in [("hots", Some("hosts")), ("x", None), ("methds", Some("methods"))]
        {
            let near = suggestion(word, ["hosts", "methods"].into_iter());
            assert_eq!(near, expected, "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}a-z0-9=. \"'\n#,\\\\\u{e9}]{0,80}") {
            let file = SourceFile::new("x", text);
            if let Ok(document) = Document::parse(&file) {
                let mut root = document.root();
                root.entries();
                root.finish();
            }
        }
    }
}
