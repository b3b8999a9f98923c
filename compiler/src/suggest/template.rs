//! Path templates out of paths: which segments vary, and what they are called.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{Known, word};

/// Values at which a segment of any kind is taken to vary.
const VARIES_AT: usize = 3;
/// Values at which a segment of identifiers (numbers, UUIDs, hashes) is.
const IDS_VARY_AT: usize = 2;

/// The templates that match all of `paths`, each with how many of them.
pub(super) fn of_paths(paths: &BTreeSet<&str>, known: &[&Known]) -> Vec<(String, usize)> {
    let mut by_length: BTreeMap<usize, BTreeMap<Segments<'_>, Row<'_>>> = BTreeMap::new();
    for path in paths {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let row = Row::new(&segments, known);
        let rows = by_length.entry(segments.len()).or_default();
        // What differs in known parameters only is one.
        rows.entry(row.segments.clone()).and_modify(|same| same.count += 1).or_insert(row);
    }
    let mut templates = Vec::new();
    for (_, rows) in by_length {
        let rows: Vec<Row<'_>> = rows.into_values().collect();
        templates.extend(merge(rows).into_iter().map(|row| (row.text(), row.count)));
    }
    templates.sort();
    templates
}

/// `None` is a segment that varies.
type Segments<'p> = Vec<Option<&'p str>>;

/// A template in the making.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row<'p> {
    segments: Segments<'p>,
    /// What segments are called, where a definition says so.
    names: Vec<Option<&'p str>>,
    count: usize,
}

impl<'p> Row<'p> {
    /// The path, with the parameters of whichever known path has most.
    fn new(segments: &[&'p str], known: &[&'p Known]) -> Self {
        let named = known.iter().filter_map(|known| known.names(segments));
        let most = named.max_by_key(|names| names.iter().flatten().count());
        let names = most.unwrap_or_else(|| vec![None; segments.len()]);
        let varies = segments.iter().zip(&names);
        let segments = varies.map(|(s, name)| name.is_none().then_some(*s)).collect();
        Self { segments, names, count: 1 }
    }

    /// All but some segments: rows that agree in it may differ in those.
    fn without(&self, left_out: &Range<usize>) -> Vec<Option<&'p str>> {
        let others = self.segments.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
        others.map(|(_, segment)| *segment).collect()
    }

    fn values(&self, at: &Range<usize>) -> &[Option<&'p str>] {
        self.segments.get(at.clone()).unwrap_or_default()
    }

    fn is_pair(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.segments.get(before));
        before.is_some_and(|before| before.is_some_and(word::has_pair))
    }

    fn text(&self) -> String {
        let mut names = word::Names::default();
        let mut text = String::new();
        for (segment, name) in self.segments.iter().zip(&self.names) {
            text.push('/');
            match (segment, name) {
                (Some(literal), _) => {
                    names.after(literal);
                    text.push_str(literal);
                }
                (None, Some(name)) => text.push_str(&format!("{{{}}}", names.known(name))),
                (None, None) => text.push_str(&format!("{{{}}}", names.next())),
            }
        }
        text
    }
}

/// Merges rows that differ in one segment, or in two that belong together, as long as there are
/// any. Later segments first: what stands further down in a path varies more.
fn merge(mut rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    let width = rows.first().map_or(0, |row| row.segments.len());
    loop {
        let before = rows.len();
        for at in (0..width).rev() {
            rows = merge_at(rows, &(at..at + 1), varies);
        }
        for at in 0..width.saturating_sub(1) {
            let (pairs, others) = rows.into_iter().partition(|row| row.is_pair(at));
            rows = others;
            rows.extend(merge_at(pairs, &(at..at + 2), varies_in_pairs));
        }
        if rows.len() == before {
            return rows;
        }
    }
}

type Varies = fn(&[Row<'_>], &Range<usize>) -> bool;

fn merge_at<'p>(rows: Vec<Row<'p>>, at: &Range<usize>, varies: Varies) -> Vec<Row<'p>> {
    let mut groups: BTreeMap<Vec<Option<&str>>, Vec<Row<'p>>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.without(at)).or_default().push(row);
    }
    let mut merged = Vec::new();
    for (_, mut group) in groups {
        if !varies(&group, at) {
            merged.append(&mut group);
            continue;
        }
        let count = group.iter().map(|row| row.count).sum();
        if let Some(mut first) = group.into_iter().next() {
            first.segments.get_mut(at.clone()).unwrap_or_default().fill(None);
            merged.push(Row { count, ..first });
        }
    }
    merged
}

fn varies(group: &[Row<'_>], at: &Range<usize>) -> bool {
    let values: BTreeSet<Option<&str>> =
        group.iter().flat_map(|row| row.values(at)).copied().collect();
    if values.contains(&None) {
        // What was merged already takes the rest along.
        return values.len() > 1 && !values.contains(&Some(""));
    }
    // A parameter never matches an empty segment, and `v1`, `v2` are words of an API.
    let usable = |value: &Option<&str>| value.is_some_and(|v| !v.is_empty() && !is_version(v));
    if !values.iter().all(usable) {
        return false;
    }
    let ids = values.iter().flatten().all(|value| is_id(value));
    values.len() >= if ids { IDS_VARY_AT } else { VARIES_AT }
}

/// `/repos/acme/site` and `/repos/globex/web`: neither segment varies without the other.
fn varies_in_pairs(group: &[Row<'_>], at: &Range<usize>) -> bool {
    let pairs: BTreeSet<&[Option<&str>]> = group.iter().map(|row| row.values(at)).collect();
    let firsts: BTreeSet<_> = pairs.iter().filter_map(|pair| pair.first()).collect();
    let empty = pairs.iter().any(|pair| pair.contains(&Some("")));
    pairs.len() >= VARIES_AT && firsts.len() >= IDS_VARY_AT && !empty
}

fn is_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Numbers, UUIDs, hashes, and what a machine made up: long, with digits in it.
fn is_id(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits == text.len() {
        return true;
    }
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    hex && digits > 0 && text.len() >= 7 || digits >= 3 && text.len() >= 16
}
