//! Reads and writes the lines of a scenario.

use std::time::Duration;

use crate::supervision::*;

/// Reads the marked names of the children.
pub(super) fn spec(strategy: Strategy, children: &str) -> SupervisorSpec {
    let children = children.split_whitespace().map(|marked| {
        let id = marked.trim_end_matches(['?', '~', '!']);
        let restart = match &marked[id.len()..] {
            marks if marks.contains('?') => RestartPolicy::Transient,
            marks if marks.contains('~') => RestartPolicy::Temporary,
            _ => RestartPolicy::Permanent,
        };
        ChildSpec { restart, significant: marked.contains('!'), ..child_spec(id) }
    });
    SupervisorSpec {
        path: "/".into(),
        strategy,
        budget: RestartBudget { max_restarts: 2, within: Duration::from_secs(10) },
        children: children.collect(),
    }
}

fn child_spec(id: &str) -> ChildSpec {
    let backoff =
        Backoff { first: Duration::from_millis(100), factor: 2, cap: Duration::from_secs(60), jitter: 0.0 };
    ChildSpec { backoff, ..ChildSpec::new(id) }
}

/// Reads the left side of a line.
pub(super) fn event_of(text: &str, now: &mut Duration) -> SupervisionEvent {
    let mut words = text.split_whitespace().peekable();
    if let Some(at) = words.next_if(|word| word.starts_with('@')) {
        let secs = at.trim_matches(['@', 's']).parse().expect("seconds");
        *now = Duration::from_secs(secs);
    }
    let verb = words.next().expect("a verb");
    let target = words.next();
    let message = words.next();
    if let Some((child, incarnation)) = target.and_then(|target| target.split_once('#')) {
        let (child, incarnation) =
            (ChildId::from(child), Incarnation(incarnation.parse().expect("a number")));
        let ended = |how| SupervisionEvent::Ended { child: child.clone(), incarnation, how, jitter: 0.5 };
        let fired = |kind| SupervisionEvent::TimerFired {
            timer: SupervisionTimer { child: child.clone(), incarnation, kind },
        };
        return match verb {
            "ready" => SupervisionEvent::Ready { child, incarnation },
            "end" => ended(ChildEnd::Normal),
            "fault" => {
                let message =
                    message.map_or_else(|| format!("fault of {child}#{incarnation}"), str::to_owned);
                ended(ChildEnd::Fault(Fault::new(format!("/{child}"), FaultKind::Error, message)))
            }
            "init" => fired(TimerKind::Init),
            "stop" => fired(TimerKind::Stop),
            "kill" => fired(TimerKind::Kill),
            "backoff" => fired(TimerKind::Backoff),
            verb => panic!("unknown fact {verb}"),
        };
    }
    match (verb, target.map(ChildId::from)) {
        ("start", None) => SupervisionEvent::Start,
        ("stop", None) => SupervisionEvent::StopAsked,
        ("start", Some(child)) => SupervisionEvent::StartChild { child },
        ("stop", Some(child)) => SupervisionEvent::StopChild { child },
        ("restart", Some(child)) => SupervisionEvent::RestartChild { child },
        ("remove", Some(child)) => SupervisionEvent::RemoveChild { child },
        ("add", Some(child)) => SupervisionEvent::AddChild { spec: child_spec(child.as_str()) },
        (verb, target) => panic!("unknown wish {verb} {target:?}"),
    }
}

/// Writes actions as the right side of a line, and checks that each deadline follows what it is for.
pub(super) fn said(actions: &[SupervisionAction]) -> String {
    let defaults = ChildSpec::new("");
    let mut said = Vec::new();
    let mut rest = actions.iter();
    while let Some(action) = rest.next() {
        let mut deadline = |child: &ChildId, incarnation: &Incarnation, kind, after| {
            let timer = SupervisionTimer { child: child.clone(), incarnation: *incarnation, kind };
            assert_eq!(rest.next(), Some(&SupervisionAction::Arm { timer, after }), "after {action:?}");
        };
        said.push(match action {
            SupervisionAction::Spawn { child, incarnation } => {
                deadline(child, incarnation, TimerKind::Init, defaults.init_within);
                format!("spawn {child}#{incarnation}")
            }
            SupervisionAction::AskStop { child, incarnation } => {
                deadline(child, incarnation, TimerKind::Stop, defaults.stop_within);
                format!("ask {child}#{incarnation}")
            }
            SupervisionAction::Kill { child, incarnation } => {
                deadline(child, incarnation, TimerKind::Kill, defaults.kill_within);
                format!("kill {child}#{incarnation}")
            }
            SupervisionAction::Abandon { child, incarnation } => format!("abandon {child}#{incarnation}"),
            SupervisionAction::ChildSettled { child, phase: ChildPhase::BackingOff } => match rest.next() {
                Some(SupervisionAction::Arm { timer, after }) if timer.kind == TimerKind::Backoff => {
                    format!("{child} backing_off for {after:?}")
                }
                other => panic!("a back-off without its timer but {other:?}"),
            },
            SupervisionAction::ChildSettled { child, phase } => format!("{child} {phase}"),
            SupervisionAction::Arm { timer, .. } => panic!("{timer:?} came by itself"),
            SupervisionAction::AllReady => "all ready".to_owned(),
            SupervisionAction::Finish(SupervisorEnd::Stopped) => "finish stopped".to_owned(),
            SupervisionAction::Finish(SupervisorEnd::SignificantChildEnded { child }) => {
                format!("finish significant {child}")
            }
            SupervisionAction::Finish(SupervisorEnd::GaveUp { first_fault, last_fault }) => {
                format!("finish gave up: {} .. {}", first_fault.message, last_fault.message)
            }
        });
    }
    said.join(", ")
}
