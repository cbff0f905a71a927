//! Calls that go on, counted for each principal. A stream of events keeps its connection's place for as long as somebody watches: without a
//! bound of its own, whoever may look could take every place there is, and the calls of everybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use runtime_core::name::PrincipalName;

/// Calls that go on, by principal; those with none are not here.
#[derive(Clone, Default)]
pub(super) struct GoingOn(Arc<Mutex<HashMap<PrincipalName, usize>>>);

/// Whose call it is, once that is known. Among the extensions of every request, and kept until the answer has ended.
#[derive(Clone, Default)]
pub(crate) struct Whose(Arc<OnceLock<Counted>>);

/// A call of a principal.
struct Counted {
    going_on: GoingOn,
    whose: PrincipalName,
}

impl GoingOn {
    /// Counts a call, unless its principal has as many as it may. A call is counted once.
    pub(super) fn count(&self, call: &Whose, whose: &PrincipalName, most: usize) -> bool {
        if call.0.get().is_some() {
            return true;
        }
        let mut table = self.table();
        let known = table.get(whose).copied().unwrap_or(0);
        if known >= most {
            return false;
        }
        table.insert(whose.clone(), known + 1);
        drop(table);
        // Where somebody else has counted it meanwhile, this one is taken back.
        drop(call.0.set(Counted { going_on: self.clone(), whose: whose.clone() }));
        true
    }

    fn table(&self) -> MutexGuard<'_, HashMap<PrincipalName, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut table = self.going_on.table();
        match table.get(&self.whose).map_or(0, |known| known - 1) {
            0 => drop(table.remove(&self.whose)),
            left => drop(table.insert(self.whose.clone(), left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_as_many_as_it_may_until_they_have_ended() {
        let going_on = GoingOn::default();
        let [ann, bob]: [PrincipalName; 2] = ["ann", "bob"].map(|name| name.parse().expect("a name"));
        let calls = [Whose::default(), Whose::default(), Whose::default()];
        assert!(going_on.count(&calls[0], &ann, 2) && going_on.count(&calls[1], &ann, 2));
        assert!(going_on.count(&calls[1], &ann, 2), "it is counted already");
        assert!(!going_on.count(&calls[2], &ann, 2));
        assert!(going_on.count(&calls[2], &bob, 2), "others have their own");
        drop(calls);
        assert!(going_on.table().is_empty(), "nothing is kept of those who are gone");
    }
}
