//! Concrete hosts and segments that stand for all that some pattern matches.

use std::collections::BTreeSet;

use crate::canonical::{self, Host};
use crate::pattern::HostPattern;
use crate::table::more_general;

/// How many names are tried before one is taken that no pattern of a plan can be about.
const TRIES: usize = 1_000_000;

/// A host that meets exactly the patterns that every host of `pattern` meets. `None` when each of
/// its hosts meets a more specific one, too, as with `**.x` beside `*.x` at the longest name.
pub(super) fn host(pattern: &HostPattern, known: &BTreeSet<HostPattern>) -> Option<Host> {
    let expected = met(pattern, known);
    let fits = |text: String| {
        let host = canonical::host(text.as_bytes()).ok()?;
        let exact = HostPattern::Exact(host.as_str().to_owned());
        (met(&exact, known) == expected).then_some(host)
    };
    let label = |n: usize| if n == 0 { "a".to_owned() } else { format!("a{n}") };
    let labels = (0..TRIES.min(known.len() + 1)).map(label);
    match pattern {
        HostPattern::Exact(name) => {
            let text = if name.contains(':') { format!("[{name}]") } else { name.clone() };
            canonical::host(text.as_bytes()).ok()
        }
        HostPattern::Single(suffix) => labels.map(|l| format!("{l}.{suffix}")).find_map(fits),
        HostPattern::Multi(suffix) => labels
            .flat_map(|l| [format!("{l}.{suffix}"), format!("{l}.{l}.{suffix}")])
            .find_map(fits),
        HostPattern::Any => labels.map(|l| format!("{l}.any.example")).find_map(fits),
    }
}

fn met<'k>(pattern: &HostPattern, known: &'k BTreeSet<HostPattern>) -> Vec<&'k HostPattern> {
    more_general(pattern).iter().filter_map(|general| known.get(general)).collect()
}
