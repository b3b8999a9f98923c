//! Lists in pieces: after which key the next piece begins.

/// Which piece of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The key of the last item of the piece before; empty for the first piece.
    pub after: String,
    pub most: i64,
}

/// A piece of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf<T> {
    pub items: Vec<T>,
    /// The key after which there is more.
    pub more_after: Option<String>,
}

impl Page {
    /// One more than is wanted: whether there is more is known without counting.
    pub(crate) fn fetch(&self) -> i64 {
        self.most.saturating_add(1)
    }

    pub(crate) fn cut<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> PageOf<T> {
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let more = items.len() > most;
        items.truncate(most);
        let more_after = items.last().filter(|_| more).map(key);
        PageOf { items, more_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_the_piece_after_which_there_is_nothing() {
        let page = Page { after: String::new(), most: 2 };
        let cut = |items: &[&str]| {
            page.cut(items.iter().map(|i| (*i).to_owned()).collect(), String::clone)
        };
        assert_eq!(cut(&["a", "b", "c"]).more_after.as_deref(), Some("b"));
        assert_eq!(cut(&["a", "b", "c"]).items.len(), 2);
        for whole in [&["a", "b"][..], &["a"], &[]] {
            assert_eq!(cut(whole).more_after, None, "{whole:?}");
        }
    }
}
