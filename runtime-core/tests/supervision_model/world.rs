//! A world of children that carries out a supervisor's actions: a queue of what will happen, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use runtime_core::supervision::{
    ChildEnd, ChildId, Fault, FaultKind, Incarnation, SupervisionAction, SupervisionEvent,
};

use crate::plan::{Character, Exit, Init, Plan, STOP_AT};
use crate::witness::{Violation, Witness};

/// What decides: the real core, or a variant that is broken on purpose.
pub(crate) trait Subject {
    fn step(&mut self, now: Duration, event: SupervisionEvent) -> Vec<SupervisionAction>;
}

/// Lets `subject` live through `plan` until nothing happens any more.
pub(crate) fn live_through(plan: &Plan, subject: &mut dyn Subject) -> Result<Witness, Violation> {
    let mut world = World::new(plan);
    let mut witness = Witness::new(plan.supervisor.clone());
    while let Some(((now, chance), event)) = world.agenda.pop_first() {
        let last = event == SupervisionEvent::StopAsked && world.agenda.is_empty();
        if last && now == STOP_AT {
            witness.sees_that_nothing_more_will_happen()?;
        }
        let event = with_chance(event, chance);
        let actions = subject.step(now, event.clone());
        witness.sees(now, &event, &actions)?;
        for action in actions {
            world.carry_out(now, action);
        }
    }
    witness.sees_the_end()?;
    Ok(witness)
}

struct World<'a> {
    plan: &'a Plan,
    /// By time, then by chance.
    agenda: BTreeMap<(Duration, u64), SupervisionEvent>,
    spawned: HashMap<(ChildId, Incarnation), Character>,
    entries: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut world = Self { plan, agenda: BTreeMap::new(), spawned: HashMap::new(), entries: 0 };
        world.enter(Duration::ZERO, SupervisionEvent::Start);
        for (at, event) in &plan.surprises {
            world.enter(*at, event.clone());
        }
        world.enter(STOP_AT, SupervisionEvent::StopAsked);
        world
    }

    fn enter(&mut self, at: Duration, event: SupervisionEvent) {
        self.entries += 1;
        self.agenda.insert((at, shuffled(self.plan.shuffle.wrapping_add(self.entries))), event);
    }

    fn carry_out(&mut self, now: Duration, action: SupervisionAction) {
        match action {
            SupervisionAction::Spawn { child, incarnation } => {
                let characters = &self.plan.characters;
                let character = characters[self.spawned.len() % characters.len()];
                self.spawned.insert((child.clone(), incarnation), character);
                match character.init {
                    Init::Ready { after } => {
                        let ready = SupervisionEvent::Ready { child: child.clone(), incarnation };
                        self.enter(now + after, ready);
                        self.exit(now + after, child, incarnation, character.life, FaultKind::Error);
                    }
                    Init::Ends(exit) => {
                        self.exit(now, child, incarnation, Some(exit), FaultKind::SpawnFailed);
                    }
                    Init::Hangs => {}
                }
            }
            SupervisionAction::AskStop { child, incarnation } => {
                let exit = self.spawned[&(child.clone(), incarnation)].on_stop;
                self.exit(now, child, incarnation, exit, FaultKind::Panic);
            }
            SupervisionAction::Kill { child, incarnation } => {
                let exit = self.spawned[&(child.clone(), incarnation)].on_kill;
                self.exit(now, child, incarnation, exit, FaultKind::Killed);
            }
            SupervisionAction::Arm { timer, after } => {
                self.enter(now + after, SupervisionEvent::TimerFired { timer });
            }
            SupervisionAction::Abandon { .. }
            | SupervisionAction::AllReady
            | SupervisionAction::ChildSettled { .. }
            | SupervisionAction::Finish(_) => {}
        }
    }

    /// An incarnation may be told to end in several ways and reports each of them: the later ones are stale.
    fn exit(
        &mut self,
        now: Duration,
        child: ChildId,
        incarnation: Incarnation,
        exit: Option<Exit>,
        kind: FaultKind,
    ) {
        let Some(Exit { after, faulty }) = exit else { return };
        let how = if faulty {
            ChildEnd::Fault(Fault::new(format!("/{child}"), kind, format!("fault {}", self.entries)))
        } else {
            ChildEnd::Normal
        };
        self.enter(now + after, SupervisionEvent::Ended { child, incarnation, how, jitter: 0.0 });
    }
}

fn with_chance(mut event: SupervisionEvent, chance: u64) -> SupervisionEvent {
    if let SupervisionEvent::Ended { jitter, .. } = &mut event {
        *jitter = f64::from(u32::try_from(chance >> 32).unwrap_or(0)) / 2_f64.powi(32);
    }
    event
}

/// A permutation of the numbers (the finaliser of splitmix64), so that two entries never share a place.
fn shuffled(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
