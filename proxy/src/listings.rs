//! Which references sandboxes were shown, so that it can be told what the objects are that they want.
//!
//! A fetch names objects, and a server of git gives whatever it has under that name. So a sandbox
//! whose plan tells references apart may want what it was shown under a reference that its plan
//! lets it fetch, and nothing else. What is kept is only ever such: forgetting it refuses more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sallygate_compiler::canonical::Scheme;
use sallygate_compiler::content::git::ObjectId;

/// Whose listing of what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Repository {
    pub(crate) sandbox: Arc<str>,
    pub(crate) scheme: Scheme,
    /// Host and port.
    pub(crate) authority: String,
    /// What stands in front of the service.
    pub(crate) path: String,
}

/// The listings of all sandboxes, with a bound on each and on all together.
#[derive(Debug)]
pub(crate) struct Listings {
    each_max: usize,
    inner: Mutex<Inner>,
}

/// As many listings of the largest size as are kept.
const LARGEST_KEPT: usize = 16;

#[derive(Debug, Default)]
struct Inner {
    lists: HashMap<Repository, List>,
    /// Objects in all of them.
    objects: usize,
    /// Counts looks, so that the list that nobody looked at for longest is known.
    looks: u64,
}

#[derive(Debug, Default)]
struct List {
    references: HashMap<ObjectId, Arc<str>>,
    looked: u64,
}

impl Listings {
    pub(crate) fn new(each_max: usize) -> Self {
        Self { each_max, inner: Mutex::default() }
    }

    /// How many references one listing may have.
    pub(crate) fn each_max(&self) -> usize {
        self.each_max
    }

    /// Notes what was shown. A repository that has changed more than a listing may hold begins anew.
    pub(crate) fn note(&self, of: &Repository, shown: Vec<(ObjectId, Arc<str>)>) {
        // A list without objects would count for nothing, and never be forgotten.
        if shown.is_empty() {
            return;
        }
        let mut inner = self.inner();
        let looked = inner.look();
        let list = inner.lists.entry(of.clone()).or_default();
        let before = list.references.len();
        if before > self.each_max {
            list.references.clear();
        }
        list.looked = looked;
        list.references.extend(shown);
        let after = list.references.len();
        inner.objects = inner.objects + after - before;
        inner.forget(self.each_max.saturating_mul(LARGEST_KEPT), of);
    }

    /// The reference under which the sandbox was shown the object.
    pub(crate) fn reference(&self, of: &Repository, object: &ObjectId) -> Option<Arc<str>> {
        let mut inner = self.inner();
        let looked = inner.look();
        let list = inner.lists.get_mut(of)?;
        list.looked = looked;
        list.references.get(object).cloned()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn look(&mut self) -> u64 {
        self.looks += 1;
        self.looks
    }

    /// Forgets what nobody looked at for longest, until no more than `max` objects are left.
    fn forget(&mut self, max: usize, but: &Repository) {
        while self.objects > max {
            let others = self.lists.iter().filter(|(of, _)| *of != but);
            let oldest = others.min_by_key(|(_, list)| list.looked).map(|(of, _)| of.clone());
            let Some(list) = oldest.and_then(|of| self.lists.remove(&of)) else { return };
            self.objects -= list.references.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: usize) -> ObjectId {
        ObjectId::parse(format!("{number:040x}").as_bytes()).unwrap()
    }

    fn repository(sandbox: &str, path: &str) -> Repository {
        let (sandbox, path, authority) = (sandbox.into(), path.into(), "git.test".into());
        Repository { sandbox, scheme: Scheme::Https, authority, path }
    }

    fn shown(numbers: std::ops::Range<usize>) -> Vec<(ObjectId, Arc<str>)> {
        numbers.map(|n| (object(n), Arc::from(format!("refs/heads/{n}")))).collect()
    }

    #[test]
    fn what_one_sandbox_was_shown_of_one_repository_is_known_of_no_other() {
        let listings = Listings::new(10);
        listings.note(&repository("a", "/x"), shown(0..3));
        let known = |sandbox, path, n| {
            listings.reference(&repository(sandbox, path), &object(n)).map(|name| name.to_string())
        };
        assert_eq!(known("a", "/x", 2).as_deref(), Some("refs/heads/2"));
        for (sandbox, path, n) in [("a", "/x", 3), ("a", "/y", 2), ("b", "/x", 2)] {
            assert_eq!(known(sandbox, path, n), None, "{sandbox} {path} {n}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_is_forgotten_first() {
        let listings = Listings::new(10);
        for at in 0..100 {
            listings.note(&repository("a", &format!("/{at}")), shown(0..10));
        }
        assert_eq!(listings.inner().objects, 160);
        assert_eq!(listings.inner().lists.len(), 16);
        assert!(listings.reference(&repository("a", "/99"), &object(0)).is_some());
        assert!(listings.reference(&repository("a", "/83"), &object(0)).is_none());
        // Repositories of which nothing was shown take no room.
        for at in 0..100 {
            listings.note(&repository("b", &format!("/{at}")), Vec::new());
        }
        assert_eq!(listings.inner().lists.len(), 16);
        // One repository whose references change all the time.
        for at in 0..100 {
            listings.note(&repository("a", "/99"), shown(at * 10..at * 10 + 10));
        }
        let inner = listings.inner();
        assert!(inner.lists.values().all(|list| list.references.len() <= 20));
        assert_eq!(inner.objects, inner.lists.values().map(|l| l.references.len()).sum::<usize>());
    }
}
