//! What somebody asks for of what happened, and may see of it.

use std::sync::Arc;

use runtime_core::access::{Principal, Role, Target};
use runtime_core::journal::{
    Batch, Class, Classes, Counted, Counts, Cursor, Entry, Page, Place, Subject, Tally, Told,
};
use tonic::{Request, Status};

use super::filter::{EventFilter, may_see, may_see_place};
use crate::auth::Caller;
use crate::filter::FilterError;
use crate::status::invalid;

/// What somebody asks for, and may see.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(super) filter: EventFilter,
    /// Where such events are.
    pub(super) classes: Classes,
    /// How many tasks, instead of which.
    count_tasks: bool,
    principal: Arc<Principal>,
    /// Whether it may look at everything that a viewer may.
    pub(super) sees_all: bool,
}

/// What of a page is told.
pub(super) struct Selected<'a> {
    /// One by one.
    pub(super) told: Vec<Told<'a>>,
    /// Single tasks, when they are counted.
    pub(super) counted: Vec<Counted<'a>>,
    /// Where that ends.
    pub(super) reached: Cursor,
}

impl Selected<'_> {
    /// Single tasks that are told one by one.
    pub(super) fn tasks(&self) -> usize {
        self.told.iter().filter(|told| told.entry.kind.class() == Class::Tasks).count()
    }
}

impl Asked {
    pub(super) fn of<T>(request: &Request<T>, filter: &str, count_tasks: bool) -> Result<Self, Status> {
        let principal = Arc::clone(&Caller::of(request)?.principal);
        let sees_all = principal.may(Role::Viewer, &Target::Whole);
        let filter: EventFilter =
            filter.parse().map_err(|error: FilterError| invalid("filter", error.to_string()))?;
        let classes = filter.classes(count_tasks);
        Ok(Self { filter, classes, count_tasks, principal, sees_all })
    }

    /// What of a page is asked for and may be seen: at most `most` events, besides tasks that are counted.
    pub(super) fn select<'a>(&self, page: &'a Page, most: usize) -> Selected<'a> {
        let (mut told, mut counts) = (Vec::new(), Counts::default());
        let (mut reached, mut name) = (page.next(), String::new());
        'page: for batch in page.batches() {
            let place = &**batch.place();
            if !self.filter.fits_place(place) {
                continue;
            }
            if self.count_tasks && batch.class() == Class::Tasks {
                self.count(page, batch, &mut counts, &mut name);
                continue;
            }
            for (sequence, entry) in batch.after(page.after()) {
                if self.is_for(batch, entry, &mut name) {
                    told.push(Told::one(sequence, place, entry));
                    if told.len() == most {
                        reached = Cursor { sequence, ..reached };
                        break 'page;
                    }
                }
            }
        }
        Selected { told, counted: counts.into_inner(), reached }
    }

    /// Counts the tasks of a batch: all of a type at once, where the filter takes all or none of them, and who asks may see all.
    fn count<'a>(&self, page: &Page, batch: &'a Batch, counts: &mut Counts<'a>, name: &mut String) {
        let place = &**batch.place();
        let Some(last) = batch.after(page.after()).last() else { return };
        let sees = self.sees_all || may_see_place(&self.principal, place);
        let meant = |tally: &Tally| self.filter.fits_kind(place, tally.kind);
        if sees
            && batch.is_all_after(page.after())
            && batch.tallies().iter().all(|tally| meant(tally).is_some())
        {
            let meant = batch.tallies().iter().filter(|tally| meant(tally) == Some(true));
            meant.for_each(|tally| counts.add(last, place, *tally));
            return;
        }
        for (sequence, entry) in batch.after(page.after()) {
            if self.is_for(batch, entry, name) {
                counts.add((sequence, entry), place, Tally::of(entry));
            }
        }
    }

    /// Whether an entry is asked for and may be seen; `name` is room for its resource name.
    fn is_for(&self, batch: &Batch, entry: &Entry, name: &mut String) -> bool {
        self.sees(batch.place(), &entry.subject) && self.filter.fits(batch.place(), entry, name)
    }

    /// Whether it may be seen what happens to this.
    pub(super) fn sees(&self, place: &Place, subject: &Subject) -> bool {
        (self.sees_all && subject.role() == Role::Viewer) || may_see(&self.principal, place, subject)
    }
}
