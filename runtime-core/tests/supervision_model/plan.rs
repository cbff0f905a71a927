//! What may happen to a supervisor, as values that proptest can draw and shrink.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use runtime_core::supervision::{
    Backoff, ChildEnd, ChildId, ChildSpec, Fault, FaultKind, Incarnation, RestartBudget, RestartPolicy,
    Strategy as Restarts, SupervisionEvent, SupervisionTimer, SupervisorSpec, TimerKind,
};

/// One life of a supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) supervisor: SupervisorSpec,
    /// How the incarnations behave, dealt out in the order of their spawns, over and over.
    pub(crate) characters: Vec<Character>,
    /// What comes from outside: operators' wishes, and facts and timers that nobody sent.
    pub(crate) surprises: Vec<(Duration, SupervisionEvent)>,
    /// Decides the order of what happens at the same time.
    pub(crate) shuffle: u64,
}

/// How one incarnation behaves. What it never does, its supervisor has to live with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Character {
    pub(crate) init: Init,
    /// After how long of being ready it ends by itself, and whether by a fault.
    pub(crate) life: Option<Exit>,
    /// How it ends when asked to stop.
    pub(crate) on_stop: Option<Exit>,
    /// How it ends when killed.
    pub(crate) on_kill: Option<Exit>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Init {
    Ready { after: Duration },
    Ends(Exit),
    Hangs,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Exit {
    pub(crate) after: Duration,
    pub(crate) faulty: bool,
}

/// The stop from outside comes when the surprises are over and whatever can come to rest has come to rest.
pub(crate) const STOP_AT: Duration = Duration::from_secs(60);

const SURPRISES_UNTIL_MS: u64 = 3_000;
const INIT_WITHIN_MS: u64 = 100;
const STOP_WITHIN_MS: u64 = 80;
const KILL_WITHIN_MS: u64 = 40;

pub(crate) fn plans() -> impl Strategy<Value = Plan> {
    (supervisors(), vec(characters(), 1..10), vec(surprises(), 0..12), any::<u64>()).prop_map(
        |(supervisor, characters, surprises, shuffle)| Plan { supervisor, characters, surprises, shuffle },
    )
}

fn supervisors() -> impl Strategy<Value = SupervisorSpec> {
    let strategies = select(vec![Restarts::OneForOne, Restarts::OneForAll, Restarts::RestForOne]);
    let budgets = (0_usize..6, millis(50..5_000))
        .prop_map(|(max_restarts, within)| RestartBudget { max_restarts, within });
    (strategies, budgets, vec(child_specs(), 0..7)).prop_map(|(strategy, budget, mut children)| {
        for (child, id) in children.iter_mut().zip(IDS) {
            child.id = id.into();
        }
        SupervisorSpec { path: "/".into(), strategy, budget, children }
    })
}

/// The last two are nobody's at the start.
const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn child_specs() -> impl Strategy<Value = ChildSpec> {
    let restarts = prop_oneof![
        4 => Just(RestartPolicy::Permanent),
        2 => Just(RestartPolicy::Transient),
        1 => Just(RestartPolicy::Temporary),
    ];
    let backoffs = (5_u64..100, 0_u32..4, 0.0..1.0_f64).prop_map(|(first, factor, jitter)| Backoff {
        first: Duration::from_millis(first),
        factor,
        cap: Duration::from_millis(400),
        jitter,
    });
    (restarts, prop::bool::weighted(0.15), backoffs).prop_map(|(restart, significant, backoff)| ChildSpec {
        id: "x".into(),
        restart,
        significant,
        init_within: Duration::from_millis(INIT_WITHIN_MS),
        stop_within: Duration::from_millis(STOP_WITHIN_MS),
        kill_within: Duration::from_millis(KILL_WITHIN_MS),
        backoff,
    })
}

fn characters() -> impl Strategy<Value = Character> {
    let inits = prop_oneof![
        10 => millis(0..INIT_WITHIN_MS * 5 / 4).prop_map(|after| Init::Ready { after }),
        1 => exits(INIT_WITHIN_MS).prop_map(Init::Ends),
        1 => Just(Init::Hangs),
    ];
    let lives = prop_oneof![2 => Just(None), 1 => exits(1_000).prop_map(Some)];
    let on_stop = prop_oneof![5 => exits(STOP_WITHIN_MS * 3 / 2).prop_map(Some), 1 => Just(None)];
    let on_kill = prop_oneof![5 => exits(KILL_WITHIN_MS * 3).prop_map(Some), 1 => Just(None)];
    (inits, lives, on_stop, on_kill).prop_map(|(init, life, on_stop, on_kill)| Character {
        init,
        life,
        on_stop,
        on_kill,
    })
}

fn exits(within_ms: u64) -> impl Strategy<Value = Exit> {
    (millis(0..within_ms), any::<bool>()).prop_map(|(after, faulty)| Exit { after, faulty })
}

fn surprises() -> impl Strategy<Value = (Duration, SupervisionEvent)> {
    let wishes = (select(IDS.as_slice()), 0..4).prop_map(|(id, wish)| {
        let child = ChildId::from(id);
        match wish {
            0 => SupervisionEvent::StopChild { child },
            1 => SupervisionEvent::StartChild { child },
            2 => SupervisionEvent::RestartChild { child },
            _ => SupervisionEvent::RemoveChild { child },
        }
    });
    let additions = (select(IDS.as_slice()), child_specs())
        .prop_map(|(id, spec)| SupervisionEvent::AddChild { spec: ChildSpec { id: id.into(), ..spec } });
    let events = prop_oneof![
        12 => wishes,
        3 => additions,
        4 => unfounded(),
        1 => Just(SupervisionEvent::StopAsked),
    ];
    (millis(0..SURPRISES_UNTIL_MS), events)
}

/// Facts and timers out of the blue, mostly about incarnations that are gone or have not come yet.
fn unfounded() -> impl Strategy<Value = SupervisionEvent> {
    (select(IDS.as_slice()), (0_u64..6).prop_map(Incarnation), 0..8).prop_map(|(id, incarnation, what)| {
        let child = ChildId::from(id);
        let fired = |kind| SupervisionEvent::TimerFired {
            timer: SupervisionTimer { child: id.into(), incarnation, kind },
        };
        match what {
            0 => SupervisionEvent::Start,
            1 => SupervisionEvent::Ready { child, incarnation },
            2 => SupervisionEvent::Ended { child, incarnation, how: ChildEnd::Normal, jitter: 0.5 },
            3 => {
                let fault = Fault::new(format!("/{id}"), FaultKind::Panic, "out of the blue");
                SupervisionEvent::Ended { child, incarnation, how: ChildEnd::Fault(fault), jitter: 0.5 }
            }
            4 => fired(TimerKind::Init),
            5 => fired(TimerKind::Stop),
            6 => fired(TimerKind::Kill),
            _ => fired(TimerKind::Backoff),
        }
    })
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}
