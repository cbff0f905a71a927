//! Many entries of one resource as one: what it was before the first, and what it is after the last.

use std::borrow::Cow;
use std::collections::HashMap;

use super::names::{Place, Subject};
use super::{Changed, Entry};

/// An entry as a reader is told of it, or several as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Told<'a> {
    /// Its place in the sequence: of the last one.
    pub sequence: u64,
    /// Where it belongs.
    pub place: &'a Place,
    /// The last one: its time, type, cause and origin.
    pub entry: &'a Entry,
    /// What is another than before the first.
    pub changes: Cow<'a, [Changed]>,
    /// How many they are.
    pub count: u32,
}

impl<'a> Told<'a> {
    /// One entry.
    pub fn one(sequence: u64, place: &'a Place, entry: &'a Entry) -> Self {
        Self { sequence, place, entry, changes: entry.changes.fields(), count: 1 }
    }

    /// The same resource again, later.
    fn take_in(&mut self, later: Self) {
        for changed in later.changes.iter() {
            let known = self.changes.to_mut();
            match known.iter_mut().find(|known| known.field == changed.field) {
                Some(known) => known.after = changed.after.clone(),
                None => known.push(changed.clone()),
            }
        }
        (self.sequence, self.place, self.entry) = (later.sequence, later.place, later.entry);
        self.count += later.count;
    }
}

/// The entries of each resource as one, in the order of their last ones.
pub fn coalesced<'a>(entries: impl IntoIterator<Item = Told<'a>>) -> Vec<Told<'a>> {
    let mut known: HashMap<&'a Subject, Told<'a>> = HashMap::new();
    for told in entries {
        match known.get_mut(&told.entry.subject) {
            Some(earlier) => earlier.take_in(told),
            None => drop(known.insert(&told.entry.subject, told)),
        }
    }
    let mut all: Vec<Told<'a>> = known.into_values().collect();
    all.sort_by_key(|told| told.sequence);
    all
}
