//! Whether an action may be.

use std::collections::HashSet;
use std::time::Duration;

use runtime_core::supervision::{
    ChildEnd, ChildId, ChildPhase, Incarnation, RestartPolicy, Strategy, SupervisionAction, SupervisionTimer,
    SupervisorEnd, TimerKind,
};

use super::{Child, Rule, Run, Verdict, Violation, Witness, must};

impl Witness {
    pub(super) fn judges(&mut self, now: Duration, action: &SupervisionAction) -> Result<(), Violation> {
        match action {
            SupervisionAction::Spawn { child, incarnation } => self.judges_spawn(child, *incarnation),
            SupervisionAction::AskStop { child, incarnation } => self.judges_ask(child, *incarnation),
            SupervisionAction::Kill { child, incarnation } => {
                let at = self.live(child, *incarnation)?;
                let run = self.children[at].run.as_mut().expect("a live run");
                let overdue = (run.asked && run.passed.contains(&TimerKind::Stop))
                    || (!run.asked && !run.ready && run.passed.contains(&TimerKind::Init));
                must(overdue && !run.killed, Rule::Deadlines, || format!("{run:?} was killed"))?;
                run.killed = true;
                self.owe(child, *incarnation, TimerKind::Kill);
                Ok(())
            }
            SupervisionAction::Abandon { child, incarnation } => {
                let at = self.live(child, *incarnation)?;
                let run = self.children[at].run.as_ref().expect("a live run");
                let overdue = run.killed && run.passed.contains(&TimerKind::Kill);
                must(overdue, Rule::Deadlines, || format!("{run:?} was abandoned"))?;
                self.children[at].abandoned = true;
                self.run_is_over(at, now, &ChildEnd::Normal);
                self.count("abandoned");
                Ok(())
            }
            SupervisionAction::Arm { timer, after } => self.judges_timer(timer, *after),
            SupervisionAction::AllReady => {
                let ready = self.started && self.ending.is_none() && self.children.iter().all(Child::stands);
                must(ready && !self.all_ready, Rule::AllReady, || "all ready".to_owned())?;
                self.all_ready = true;
                self.count("all ready");
                Ok(())
            }
            SupervisionAction::ChildSettled { child, phase } => self.judges_settled(child, *phase),
            SupervisionAction::Finish(end) => {
                must(self.ending.as_ref() == Some(end), Rule::Finish, || format!("not {:?}", self.ending))?;
                let late = self.children.iter().find(|child| !child.resting || child.run.is_some());
                must(late.is_none(), Rule::Finish, || format!("without waiting for {late:?}"))?;
                must(self.owed_answers.is_empty(), Rule::Answered, || format!("{:?}", self.owed_answers))?;
                self.finished = true;
                self.count(match end {
                    SupervisorEnd::Stopped => "stopped",
                    SupervisorEnd::GaveUp { .. } => "gave up",
                    SupervisorEnd::SignificantChildEnded { .. } => "significant child ended",
                });
                Ok(())
            }
        }
    }

    fn judges_spawn(&mut self, id: &ChildId, incarnation: Incarnation) -> Result<(), Violation> {
        let at = self.known(id, Rule::OneIncarnation)?;
        let child = &self.children[at];
        let last = self.incarnations.insert(id.clone(), incarnation).unwrap_or_default();
        must(child.run.is_none() && incarnation > last, Rule::OneIncarnation, || {
            format!("{incarnation} was spawned over {last}: {child:?}")
        })?;
        must(self.started && self.ending.is_none(), Rule::SpawnInLife, || format!("{id} was spawned"))?;
        must(!child.held && !child.resting && !child.removed, Rule::OperatorsWish, || format!("{child:?}"))?;
        must(!child.backing_off, Rule::Backoff, || format!("{child:?}"))?;

        let (elders, youngers) = (&self.children[..at], &self.children[at + 1..]);
        let its_turn = match self.spec.strategy {
            Strategy::OneForOne => self.all_ready || elders.iter().all(|elder| elder.proved || elder.resting),
            Strategy::RestForOne => elders.iter().all(Child::stands) && !youngers.iter().any(Child::departs),
            Strategy::OneForAll => {
                elders.iter().all(Child::stands)
                    && !self.children.iter().any(|child| child.departs() || child.backing_off)
            }
        };
        must(its_turn, Rule::StartOrder, || format!("{id} among {:?}", self.children))?;

        let child = &mut self.children[at];
        child.abandoned = false;
        child.run = Some(Run {
            incarnation,
            ready: false,
            marked: false,
            asked: false,
            killed: false,
            passed: HashSet::new(),
        });
        self.owe(id, incarnation, TimerKind::Init);
        self.count("spawned");
        Ok(())
    }

    fn judges_ask(&mut self, id: &ChildId, incarnation: Incarnation) -> Result<(), Violation> {
        let at = self.live(id, incarnation)?;
        let wished = self.owed_ask.take_if(|owed| owed == id).is_some();
        let run = self.children[at].run.as_mut().expect("a live run");
        must(!run.asked && !run.killed, Rule::StopReason, || format!("{run:?} was asked again"))?;
        must(wished || run.marked, Rule::StopReason, || format!("{run:?} was asked"))?;
        run.asked = true;
        if !wished {
            let troubled = match self.spec.strategy {
                _ if self.ending.is_some() || self.reason_removed => true,
                Strategy::OneForOne => self.children[at].troubled,
                Strategy::OneForAll => self.children.iter().any(|child| child.troubled),
                Strategy::RestForOne => self.children[..=at].iter().any(|child| child.troubled),
            };
            must(troubled, Rule::StopReason, || format!("{id} was asked among {:?}", self.children))?;
            if self.ending.is_some() || self.spec.strategy != Strategy::OneForOne {
                let younger = self.children[at + 1..].iter().find(|child| child.run.is_some());
                must(younger.is_none(), Rule::StopOrder, || format!("{id} was asked before {younger:?}"))?;
                self.count("stopped in order");
            }
        }
        self.owe(id, incarnation, TimerKind::Stop);
        Ok(())
    }

    fn judges_timer(&mut self, timer: &SupervisionTimer, after: Duration) -> Result<(), Violation> {
        must(self.armed.insert(timer.clone()), Rule::Timers, || format!("{timer:?} was armed again"))?;
        let at = self.known(&timer.child, Rule::Timers)?;
        let spec = &self.children[at].spec;
        let owed = self.owed_timers.remove(timer);
        let right = match timer.kind {
            TimerKind::Init => owed && after == spec.init_within,
            TimerKind::Stop => owed && after == spec.stop_within,
            TimerKind::Kill => owed && after == spec.kill_within,
            TimerKind::Backoff => {
                let shortest = spec.backoff.first.mul_f64(1.0 - spec.backoff.jitter);
                self.children[at].backing_off
                    && self.incarnations.get(&timer.child) == Some(&timer.incarnation)
                    && after <= spec.backoff.cap
                    && after + Duration::from_micros(1) >= shortest
            }
        };
        must(right, Rule::Timers, || format!("{timer:?} after {after:?}"))
    }

    fn judges_settled(&mut self, id: &ChildId, phase: ChildPhase) -> Result<(), Violation> {
        let at = self.known(id, Rule::Settled)?;
        self.owed_answers.remove(id);
        let verdict = self.owed_verdict.take_if(|(owed, _)| owed == id).map(|(_, verdict)| verdict);
        let child = &mut self.children[at];
        let holds = match phase {
            ChildPhase::Ready => child.stands() && !child.resting && verdict.is_none(),
            ChildPhase::BackingOff => child.backing_off && verdict == Some(Verdict::Restart),
            ChildPhase::Stopped | ChildPhase::Abandoned => {
                let reason = verdict == Some(Verdict::Rest)
                    || self.ending.is_some()
                    || child.held
                    || child.removed
                    || child.resting
                    || child.spec.restart == RestartPolicy::Temporary;
                child.resting = true;
                child.backing_off = false;
                reason && child.run.is_none() && (phase == ChildPhase::Stopped || child.abandoned)
            }
            ChildPhase::Waiting | ChildPhase::Starting | ChildPhase::Stopping | ChildPhase::Killing => false,
        };
        must(holds, Rule::Settled, || format!("{phase} with {verdict:?}: {child:?}"))?;
        if child.removed {
            self.reason_removed |= child.troubled;
            self.children.remove(at);
            self.count("removed");
        }
        Ok(())
    }

    fn known(&self, id: &ChildId, rule: Rule) -> Result<usize, Violation> {
        self.position(id).ok_or_else(|| Violation { rule, what: format!("{id} is unknown") })
    }

    fn live(&self, id: &ChildId, incarnation: Incarnation) -> Result<usize, Violation> {
        let at = self.running(id, incarnation);
        at.ok_or_else(|| Violation {
            rule: Rule::OneIncarnation,
            what: format!("{id}#{incarnation} is not live"),
        })
    }

    fn owe(&mut self, child: &ChildId, incarnation: Incarnation, kind: TimerKind) {
        self.owed_timers.insert(SupervisionTimer { child: child.clone(), incarnation, kind });
    }
}
