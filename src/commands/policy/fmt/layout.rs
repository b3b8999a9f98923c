//! The layout of a document: headers, keys, lists and inline tables.

use toml_edit::{
    Array, Decor, DocumentMut, Formatted, InlineTable, Item, KeyMut, RawString, Table, Value,
};

use super::comments::{self, First};
use super::order::rank;

/// Longer lines become lists of lines.
const WIDTH: usize = 100;
const INDENT: &str = "  ";

pub(super) fn document(document: &mut DocumentMut) {
    let mut first = true;
    table(document.as_table_mut(), &mut first);
    let ending = text(Some(document.trailing()));
    let ending = if ending.ends_with('\n') { ending } else { ending + "\n" };
    let place = if first { First::OfFile } else { First::No };
    let comments = comments::before(&ending, place);
    let comments = comments.trim_end_matches('\n');
    // A file ends in one line end, and an empty one has none.
    let ending = if comments.is_empty() { String::new() } else { format!("{comments}\n") };
    document.set_trailing(ending);
}

fn text(raw: Option<&RawString>) -> String {
    raw.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// `first` says whether nothing stands above in the file.
fn table(table: &mut Table, first: &mut bool) {
    let place = if *first { First::OfFile } else { First::InTable };
    keys(table, place, first, &mut true);
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(inner) if !inner.is_dotted() => header(inner, first),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|inner| header(inner, first)),
            Item::Table(_) | Item::Value(_) | Item::None => {}
        }
    }
}

fn header(inner: &mut Table, first: &mut bool) {
    if !inner.is_implicit() {
        let place = if *first { First::OfFile } else { First::Header };
        let decor = inner.decor_mut();
        let (before, behind) = (text(decor.prefix()), text(decor.suffix()));
        decor.set_prefix(comments::before(&before, place));
        decor.set_suffix(comments::behind(&behind));
        *first = false;
    }
    table(inner, first);
}

/// The `key = value` lines of a table, sorted; those of a dotted key keep their order.
fn keys(table: &mut Table, place: First, first: &mut bool, at_top: &mut bool) {
    if !table.is_dotted() {
        table.sort_values_by(|a, _, b, _| rank(a.get()).cmp(&rank(b.get())));
    }
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Value(value) => {
                let here = if *at_top { place } else { First::No };
                (*at_top, *first) = (false, false);
                let width = key.get().len() + 3;
                key_line(&mut key, here);
                line(value, width);
            }
            Item::Table(inner) if inner.is_dotted() => keys(inner, place, first, at_top),
            Item::Table(_) | Item::ArrayOfTables(_) | Item::None => {}
        }
    }
}

fn key_line(key: &mut KeyMut<'_>, place: First) {
    let decor = key.leaf_decor_mut();
    let before = text(decor.prefix());
    decor.set_prefix(comments::before(&before, place));
    decor.set_suffix(" ");
}

/// A value behind ` = `, and the comment behind it.
fn line(value: &mut Value, width: usize) {
    let behind = comments::behind(&text(value.decor().suffix()));
    inline(value);
    if let Value::Array(array) = value
        && (has_comments(array) || width + array.to_string().trim().len() > WIDTH)
        && !array.is_empty()
    {
        below(array);
    }
    *value.decor_mut() = Decor::new(" ", behind);
}

/// Without line ends, as far as no comment needs one.
fn inline(value: &mut Value) {
    match value {
        Value::String(string) => *string = Formatted::new(string.value().clone()),
        Value::Array(array) => inline_array(array),
        Value::InlineTable(table) => inline_table(table),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

fn inline_array(array: &mut Array) {
    if has_comments(array) {
        array.iter_mut().for_each(inline_keeping_decor);
        return;
    }
    for (value, at) in array.iter_mut().zip(0usize..) {
        inline(value);
        *value.decor_mut() = Decor::new(if at == 0 { "" } else { " " }, "");
    }
    array.set_trailing("");
    array.set_trailing_comma(false);
}

fn inline_keeping_decor(value: &mut Value) {
    let decor = value.decor().clone();
    inline(value);
    *value.decor_mut() = decor;
}

fn inline_table(table: &mut InlineTable) {
    let commented = table.iter().any(|(_, value)| has_comment(value.decor()));
    if commented || text(Some(table.trailing())).contains('#') {
        return;
    }
    table.sort_values_by(|a, _, b, _| rank(a.get()).cmp(&rank(b.get())));
    let last = table.len().saturating_sub(1);
    for ((mut key, value), at) in table.iter_mut().zip(0usize..) {
        *key.leaf_decor_mut() = Decor::new(" ", " ");
        inline(value);
        *value.decor_mut() = Decor::new(" ", if at == last { " " } else { "" });
    }
    table.set_trailing("");
    table.set_trailing_comma(false);
}

/// One element below the other.
fn below(array: &mut Array) {
    // Without a comma behind it, the last element has the comments that end the list.
    let last = array.len().saturating_sub(1);
    let mut ending = text(Some(array.trailing()));
    if let Some(value) = array.get_mut(last) {
        ending.insert_str(0, &text(value.decor().suffix()));
        value.decor_mut().set_suffix("");
    }
    // A comment before a comma has no place in this layout: such a list stays as it is.
    if array.iter().any(|value| text(value.decor().suffix()).contains('#')) {
        array.set_trailing(ending);
        return;
    }
    for value in array.iter_mut() {
        let before = comments::in_list(&text(value.decor().prefix()), INDENT);
        *value.decor_mut() = Decor::new(format!("{before}\n{INDENT}"), "");
    }
    array.set_trailing(comments::in_list(&ending, INDENT) + "\n");
    array.set_trailing_comma(true);
}

fn has_comments(array: &Array) -> bool {
    text(Some(array.trailing())).contains('#')
        || array.iter().any(|value| has_comment(value.decor()))
}

fn has_comment(decor: &Decor) -> bool {
    text(decor.prefix()).contains('#') || text(decor.suffix()).contains('#')
}
