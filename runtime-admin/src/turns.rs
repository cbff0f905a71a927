//! Looks at much take turns: few are made at once, and who asks for many stands in a line of its own.
//!
//! ```text
//! principal ─▶ line ─┐
//! principal ─▶ line ─┼─▶ one of each line after the other ─▶ made ─▶ the next
//! principal ─▶ line ─┘
//! ```
//!
//! A list of 1,000 tasks keeps a thread of the control plane busy for as long as some hundred small calls do. A small call asks for no turn, so it
//! waits for those few looks at most that are being made. Bookkeeping alone: what a turn is for is known elsewhere.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_core::name::PrincipalName;
use tokio::sync::oneshot;

use crate::limits::LiveLimits;

/// Whose turn it is.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Shared>);

struct Shared {
    limits: LiveLimits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    under_way: usize,
    /// Of each principal, under way and waiting; those with none are not here.
    of_each: HashMap<PrincipalName, usize>,
    /// Who waits, by principal in the order in which they came. The first of the first line is next.
    lines: VecDeque<(PrincipalName, VecDeque<oneshot::Sender<UnderWay>>)>,
}

/// A principal has as many looks under way and waiting as it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// The right to make one look; given back when dropped.
pub(crate) struct Turn {
    _under_way: UnderWay,
    _counted: Counted,
}

impl Turns {
    pub(crate) fn new(limits: LiveLimits) -> Self {
        Self(Arc::new(Shared { limits, table: Mutex::default() }))
    }

    /// Waits for a turn. Who stops waiting is forgotten.
    ///
    /// # Errors
    /// [`TooMany`], at once.
    pub(crate) async fn take(&self, whose: &PrincipalName) -> Result<Turn, TooMany> {
        let counted = self.count(whose)?;
        let (tell, mut turn) = oneshot::channel();
        self.0.table().line_up(whose, tell);
        self.0.give();
        // Whoever is in a line is told, or gone: the table keeps the other end until then.
        let under_way = (&mut turn).await.map_err(|_| TooMany)?;
        Ok(Turn { _under_way: under_way, _counted: counted })
    }

    fn count(&self, whose: &PrincipalName) -> Result<Counted, TooMany> {
        let most = self.0.limits.now().looks_of_each;
        let mut table = self.0.table();
        let known = table.of_each.get(whose).copied().unwrap_or(0);
        if known >= most {
            return Err(TooMany);
        }
        table.of_each.insert(whose.clone(), known + 1);
        drop(table);
        Ok(Counted { shared: self.0.clone(), whose: whose.clone() })
    }
}

impl Shared {
    /// Gives turns to those who are next, as long as there are any.
    fn give(self: &Arc<Self>) {
        let most = self.limits.now().looks;
        loop {
            let mut table = self.table();
            if table.under_way >= most {
                return;
            }
            let Some(next) = table.next() else { return };
            table.under_way += 1;
            drop(table);
            // Who has gone meanwhile gives it back by not taking it.
            drop(next.send(UnderWay(self.clone())));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn line_up(&mut self, whose: &PrincipalName, tell: oneshot::Sender<UnderWay>) {
        match self.lines.iter_mut().find(|(known, _)| known == whose) {
            Some((_, line)) => {
                // So that a line is no longer than what is counted.
                line.retain(|waiting| !waiting.is_closed());
                line.push_back(tell);
            }
            None => self.lines.push_back((whose.clone(), VecDeque::from([tell]))),
        }
    }

    /// Who is next. Their line goes behind the others.
    fn next(&mut self) -> Option<oneshot::Sender<UnderWay>> {
        while let Some((whose, mut line)) = self.lines.pop_front() {
            line.retain(|waiting| !waiting.is_closed());
            let next = line.pop_front();
            if !line.is_empty() {
                self.lines.push_back((whose, line));
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

/// A look that is being made.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.table().under_way -= 1;
        self.0.give();
    }
}

/// A look of a principal, under way or waiting.
struct Counted {
    shared: Arc<Shared>,
    whose: PrincipalName,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        let left = table.of_each.get(&self.whose).map_or(0, |known| known - 1);
        match left {
            0 => drop(table.of_each.remove(&self.whose)),
            left => drop(table.of_each.insert(self.whose.clone(), left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::limits::AdminLimits;

    type Waiting = Pin<Box<dyn Future<Output = Result<Turn, TooMany>> + Send>>;

    fn turns(looks: usize, looks_of_each: usize) -> (Turns, LiveLimits) {
        let limits = LiveLimits::new(AdminLimits { looks, looks_of_each, ..AdminLimits::default() });
        (Turns::new(limits.clone()), limits)
    }

    fn name(text: &str) -> PrincipalName {
        text.parse().expect("a name")
    }

    /// Somebody who asks; and the turn, if it is theirs at once.
    fn asks(turns: &Turns, whose: &str) -> (Waiting, Option<Result<Turn, TooMany>>) {
        let (turns, whose) = (turns.clone(), name(whose));
        let mut waiting: BoxFuture<'static, _> = async move { turns.take(&whose).await }.boxed();
        let now = waiting.as_mut().now_or_never();
        (waiting, now)
    }

    fn taken(asked: (Waiting, Option<Result<Turn, TooMany>>)) -> Turn {
        asked.1.expect("at once").expect("a turn")
    }

    fn waits(asked: (Waiting, Option<Result<Turn, TooMany>>)) -> Waiting {
        assert!(asked.1.is_none(), "it has to wait");
        asked.0
    }

    fn is_next(waiting: &mut Waiting) -> Option<Turn> {
        waiting.as_mut().now_or_never().map(|turn| turn.expect("a turn"))
    }

    #[test]
    fn few_are_made_at_once_and_each_principal_is_next_in_turn() {
        let (turns, _) = turns(1, 3);
        let first = taken(asks(&turns, "a"));
        let mut a = waits(asks(&turns, "a"));
        let mut again = waits(asks(&turns, "a"));
        let mut b = waits(asks(&turns, "b"));
        drop(first);
        let of_a = is_next(&mut a).expect("came first");
        assert!(is_next(&mut again).is_none() && is_next(&mut b).is_none());
        drop(of_a);
        assert!(is_next(&mut again).is_none(), "b came later, and has waited for its first");
        drop(is_next(&mut b).expect("its turn"));
        is_next(&mut again).expect("nobody else waits");
    }

    #[test]
    fn more_than_a_principal_may_have_are_refused_and_concern_nobody_else() {
        let (turns, _) = turns(1, 2);
        let first = taken(asks(&turns, "a"));
        let waiting = waits(asks(&turns, "a"));
        assert_eq!(asks(&turns, "a").1.expect("at once").err(), Some(TooMany));
        let other = waits(asks(&turns, "b"));
        drop(waiting);
        let mut waiting = waits(asks(&turns, "a"));
        drop((first, other));
        is_next(&mut waiting).expect("who stopped waiting keeps nobody waiting");
        drop(waiting);
        let table = turns.0.table();
        assert!(table.under_way == 0 && table.of_each.is_empty() && table.lines.is_empty());
    }

    #[test]
    fn a_turn_that_came_too_late_goes_to_the_next() {
        let (turns, _) = turns(1, 9);
        let first = taken(asks(&turns, "a"));
        let gone = waits(asks(&turns, "a"));
        let mut next = waits(asks(&turns, "a"));
        drop(first);
        drop(gone);
        is_next(&mut next).expect("it was given and not taken");
    }

    #[test]
    fn who_comes_and_goes_leaves_nothing() {
        let (turns, _) = turns(1, 2);
        let _first = taken(asks(&turns, "a"));
        for _ in 0..1_000 {
            drop(waits(asks(&turns, "a")));
        }
        let waiting = turns.0.table().lines.iter().map(|(_, line)| line.len()).sum::<usize>();
        assert!(waiting <= 1, "{waiting}");
    }

    #[test]
    fn other_limits_hold_from_then_on() {
        let (turns, limits) = turns(1, 9);
        let first = taken(asks(&turns, "a"));
        let mut second = waits(asks(&turns, "a"));
        limits.set(AdminLimits { looks: 3, looks_of_each: 9, ..AdminLimits::default() });
        let third = taken(asks(&turns, "a"));
        assert!(is_next(&mut second).is_some());
        drop((first, third));
    }
}
