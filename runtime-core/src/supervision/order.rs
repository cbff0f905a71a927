//! Whose turn it is: the order in which children start and stop, read off the phases they are in.

use std::ops::Range;

use super::{ChildPhase, Strategy, SupervisedChild};

/// Of the children that are to leave the rightmost, unless one further right is still on its way out.
pub(super) fn next_to_stop(children: &[SupervisedChild]) -> Option<usize> {
    let at = children.iter().rposition(SupervisedChild::is_departing)?;
    children[at].leaving.then_some(at)
}

/// The leftmost child that waits and whose turn has come. `first_start_done` says that all were ready once.
pub(super) fn next_to_start(
    strategy: Strategy,
    children: &[SupervisedChild],
    first_start_done: bool,
) -> Option<usize> {
    (0..children.len()).find(|at| {
        children[*at].phase == ChildPhase::Waiting && is_turn_of(*at, strategy, children, first_start_done)
    })
}

/// Which children are restarted with the one at `of` (which may be among them), of `count` in all.
pub(super) fn restarted_with(strategy: Strategy, of: usize, count: usize) -> Range<usize> {
    match strategy {
        Strategy::OneForOne => 0..0,
        Strategy::OneForAll => 0..count,
        Strategy::RestForOne => of + 1..count,
    }
}

pub(super) fn all_are_ready(children: &[SupervisedChild]) -> bool {
    children.iter().all(stands)
}

fn is_turn_of(at: usize, strategy: Strategy, children: &[SupervisedChild], first_start_done: bool) -> bool {
    let (elders, youngers) = (&children[..at], &children[at + 1..]);
    match strategy {
        // Order matters for the first start only; afterwards each child lives for itself.
        Strategy::OneForOne => {
            first_start_done || elders.iter().all(|elder| elder.proved || elder.phase.is_at_rest())
        }
        Strategy::RestForOne => {
            elders.iter().all(stands) && !youngers.iter().any(SupervisedChild::is_departing)
        }
        Strategy::OneForAll => {
            elders.iter().all(stands)
                && !children.iter().any(|child| child.is_departing() || child.phase == ChildPhase::BackingOff)
        }
    }
}

/// Nobody has to wait for this child: it is ready to stay, or it is not to run.
fn stands(child: &SupervisedChild) -> bool {
    child.is_ready() || child.phase.is_at_rest()
}
