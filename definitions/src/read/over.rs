//! Values from elsewhere that stand over what a file says, such as those of the environment.
//!
//! They are read by the same code as the file's own, and what is wrong with one is said of where it
//! is from. Their spans lie behind the end of the file, where nothing of it can be.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Document;
use crate::diagnostic::{Diagnostic, Place};

/// A value that stands over what a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// What somebody would have to change: the name of a variable.
    pub origin: String,
    /// The table of the key, at the top of the file.
    pub table: String,
    pub key: String,
    /// The value, as TOML has it.
    pub value: String,
}

impl Over {
    pub(super) fn place(&self, field: &str) -> Place {
        let (file, field) = (self.origin.clone(), field.to_owned());
        Place { file, span: 0..0, line: 1, column: 1, field }
    }
}

/// The value whose span this is.
pub(super) fn at<'f>(document: &Document<'f>, span: &Range<usize>) -> Option<&'f Over> {
    let behind = span.start.checked_sub(document.file.text.len() + 1)?;
    document.overs.get(behind)
}

/// Puts every value where the file would say it.
pub(super) fn put(document: &mut Document<'_>) {
    let end = document.file.text.len() + 1;
    for (index, over) in document.overs.iter().enumerate() {
        let span = end + index..end + index;
        let value = match DeValue::parse(&over.value) {
            Ok(value) => moved(value.into_inner(), &span),
            Err(error) => {
                let message = format!("`{}` is no value: {}", over.origin, error.message());
                let place = over.place(&format!("{}.{}", over.table, over.key));
                document.report(Diagnostic::error("BAD_VALUE", message).at(place));
                continue;
            }
        };
        let root = document.root.get_mut();
        let name = |text: &str| Spanned::new(span.clone(), text.to_owned().into());
        if !root.contains_key(over.table.as_str()) {
            let empty = Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            root.insert(name(&over.table), empty);
        }
        // What is no table in the file is refused when it is read as one.
        let table = root.get_mut(over.table.as_str()).map(Spanned::get_mut);
        if let Some(DeValue::Table(table)) = table {
            table.remove(over.key.as_str());
            table.insert(name(&over.key), value);
        }
    }
}

fn moved<'v>(value: DeValue<'v>, span: &Range<usize>) -> Spanned<DeValue<'v>> {
    let value = match value {
        DeValue::Array(items) => {
            DeValue::Array(items.into_iter().map(|item| moved(item.into_inner(), span)).collect())
        }
        other @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_)) => other,
    };
    Spanned::new(span.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;

    fn over(key: &str, value: &str) -> Over {
        let (table, origin) = ("proxy".to_owned(), format!("SALLYGATE_PROXY__{key}"));
        Over { origin, table, key: key.to_lowercase(), value: value.to_owned() }
    }

    #[test]
    fn a_value_stands_over_what_the_file_says_and_is_refused_where_it_is_from() {
        let file = SourceFile::new("c.toml", "[proxy]\nlisten = \"a\"\ndrain = 1\n");
        let overs = [over("LISTEN", "\"b\""), over("DRAIN", "\"soon\""), over("NEW", "[1, 2]")];
        let document = Document::parse_over(&file, &overs).unwrap();
        let mut root = document.root();
        let mut proxy = root.table("proxy").unwrap();
        assert_eq!(proxy.string("listen").unwrap().value, "b");
        assert!(proxy.integer("drain", 0..=9).is_none());
        assert!(proxy.strings("new").unwrap().is_empty());
        proxy.finish();
        root.finish();
        let found = document.into_diagnostics();
        let files: Vec<_> = found.iter().map(|d| d.place.as_ref().unwrap().file.clone()).collect();
        assert_eq!(files.iter().filter(|f| *f == "SALLYGATE_PROXY__DRAIN").count(), 1);
        assert_eq!(files.iter().filter(|f| *f == "SALLYGATE_PROXY__NEW").count(), 2);
        assert_eq!(files.len(), 3, "{files:?}");
    }

    #[test]
    fn a_table_that_the_file_has_not_is_there_all_the_same() {
        let (file, overs) = (SourceFile::new("c.toml", ""), [over("LISTEN", "\"b\"")]);
        let document = Document::parse_over(&file, &overs).unwrap();
        let mut root = document.root();
        assert_eq!(root.table("proxy").unwrap().string("listen").unwrap().value, "b");
        let (file, overs) = (SourceFile::new("c.toml", "proxy = 1"), [over("LISTEN", "\"b\"")]);
        let document = Document::parse_over(&file, &overs).unwrap();
        assert!(document.root().table("proxy").is_none());
        assert_eq!(document.problems(), 1);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for wrong in ["", "[", "a", "1 2", "\"a\nb\""] {
            let (file, overs) = (SourceFile::new("c.toml", ""), [over("LISTEN", wrong)]);
            assert_eq!(Document::parse_over(&file, &overs).unwrap().problems(), 1, "{wrong}");
        }
    }
}
