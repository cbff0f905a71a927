//! Cores that are broken on purpose: the controls of the model. Each is the real core with one thing done wrong round
//! it, as if that thing had been forgotten.

use std::time::Duration;

use runtime_core::supervision::{
    ChildEnd, ChildPhase, Fault, FaultKind, SupervisionAction, SupervisionEvent, SupervisionTimer,
    SupervisorCore, SupervisorEnd, SupervisorSpec, TimerKind,
};

use crate::world::Subject;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Children are not awaited at the start.
    StartsAllAtOnce,
    /// Children are not awaited at the stop.
    StopsAllAtOnce,
    /// Facts about an earlier incarnation count for the present one.
    ForgetsIncarnations,
    /// Restarts are borne without end.
    ForgetsTheBudget,
    /// What an operator stopped is started again.
    ForgetsTheOperator,
    /// A normal end is restarted like a fault.
    ForgetsThePolicy,
    /// Restarts do not wait.
    SkipsTheBackoff,
    /// A child is killed without time to stop.
    SkipsTheStop,
    /// A child that does not die is waited for.
    NeverAbandons,
    /// The last fault is handed up for the first.
    NamesTheLastFault,
    /// A stop is reported done when it begins.
    FinishesEarly,
    /// That a child is ready is told to nobody.
    AnswersNobody,
}

pub(crate) struct BrokenCore {
    core: SupervisorCore,
    defect: Defect,
}

impl BrokenCore {
    pub(crate) fn new(mut spec: SupervisorSpec, defect: Defect) -> Self {
        if defect == Defect::ForgetsTheBudget {
            spec.budget.max_restarts = usize::MAX;
        }
        Self { core: SupervisorCore::new(spec), defect }
    }

    /// What the core is made to believe right after an action, although it did not happen.
    fn delusion(&self, action: &SupervisionAction) -> Option<SupervisionEvent> {
        match (self.defect, action) {
            (Defect::StartsAllAtOnce, SupervisionAction::Spawn { child, incarnation }) => {
                Some(SupervisionEvent::Ready { child: child.clone(), incarnation: *incarnation })
            }
            (Defect::StopsAllAtOnce, SupervisionAction::AskStop { child, incarnation }) => {
                let (child, incarnation, how) = (child.clone(), *incarnation, ChildEnd::Normal);
                Some(SupervisionEvent::Ended { child, incarnation, how, jitter: 0.0 })
            }
            (
                Defect::ForgetsTheOperator,
                SupervisionAction::ChildSettled { child, phase: ChildPhase::Stopped },
            ) => Some(SupervisionEvent::StartChild { child: child.clone() }),
            (Defect::SkipsTheBackoff, SupervisionAction::Arm { timer, .. }) => {
                (timer.kind == TimerKind::Backoff).then(|| fired(timer))
            }
            (Defect::SkipsTheStop, SupervisionAction::Arm { timer, .. }) => {
                (timer.kind == TimerKind::Stop).then(|| fired(timer))
            }
            _ => None,
        }
    }

    /// What becomes of an event on its way in.
    fn distorted(&self, mut event: SupervisionEvent) -> Option<SupervisionEvent> {
        match (self.defect, &mut event) {
            (
                Defect::ForgetsIncarnations,
                SupervisionEvent::Ready { child, incarnation }
                | SupervisionEvent::Ended { child, incarnation, .. }
                | SupervisionEvent::TimerFired { timer: SupervisionTimer { child, incarnation, .. } },
            ) => {
                if let Some(child) = self.core.child(child) {
                    *incarnation = child.incarnation();
                }
            }
            (Defect::ForgetsThePolicy, SupervisionEvent::Ended { child, how, .. }) => {
                *how = ChildEnd::Fault(Fault::new(child.as_str(), FaultKind::Error, "it ended"));
            }
            (Defect::NeverAbandons, SupervisionEvent::TimerFired { timer })
                if timer.kind == TimerKind::Kill =>
            {
                return None;
            }
            _ => {}
        }
        Some(event)
    }
}

impl Subject for BrokenCore {
    fn step(&mut self, now: Duration, event: SupervisionEvent) -> Vec<SupervisionAction> {
        let early = self.defect == Defect::FinishesEarly && event == SupervisionEvent::StopAsked;
        let mut pending = self.distorted(event).map_or_else(Vec::new, |event| self.core.step(now, event));
        pending.reverse();
        let mut actions = Vec::new();
        while let Some(mut action) = pending.pop() {
            if let Some(event) = self.delusion(&action) {
                let further = self.core.step(now, event);
                // The answers to what did not happen are kept quiet: only the consequences show.
                let at = pending.len()
                    - usize::from(matches!(pending.last(), Some(SupervisionAction::Arm { .. })));
                let _ = pending.splice(at..at, further.into_iter().filter(|action| !is_answer(action)).rev());
            }
            if let SupervisionAction::Finish(SupervisorEnd::GaveUp { first_fault, last_fault }) = &mut action
                && self.defect == Defect::NamesTheLastFault
            {
                first_fault.clone_from(last_fault);
            }
            if self.defect == Defect::AnswersNobody
                && matches!(action, SupervisionAction::ChildSettled { phase: ChildPhase::Ready, .. })
            {
                continue;
            }
            actions.push(action);
        }
        if early && !actions.iter().any(|action| matches!(action, SupervisionAction::Finish(_))) {
            actions.push(SupervisionAction::Finish(SupervisorEnd::Stopped));
        }
        actions
    }
}

fn is_answer(action: &SupervisionAction) -> bool {
    matches!(action, SupervisionAction::ChildSettled { .. })
}

fn fired(timer: &SupervisionTimer) -> SupervisionEvent {
    SupervisionEvent::TimerFired { timer: timer.clone() }
}
