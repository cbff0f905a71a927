//! The supervisor's decisions in worlds that chance has made: children that hang, break, will not stop or die, report
//! late, twice or out of order, and operators who change their minds. Whatever happens, the rules of the tree hold; and
//! the rules are worth something, since cores that are broken on purpose do not keep them.

mod broken;
mod plan;
mod witness;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use runtime_core::supervision::{SupervisionAction, SupervisionEvent, SupervisorCore};

use crate::broken::{BrokenCore, Defect};
use crate::plan::{Plan, plans};
use crate::witness::{Rule, Violation, Witness};
use crate::world::{Subject, live_through};

impl Subject for SupervisorCore {
    fn step(&mut self, now: Duration, event: SupervisionEvent) -> Vec<SupervisionAction> {
        self.step(now, event)
    }
}

#[test]
fn the_rules_of_the_tree_hold_whatever_happens() {
    let config = Config { cases: 4_000, ..Config::with_source_file(file!()) };
    let lived = TestRunner::new(config).run(&plans(), |plan| {
        live_for_real(&plan).map(drop).map_err(|violation| TestCaseError::fail(format!("{violation:?}")))
    });
    lived.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_simulated_worlds_reach_every_corner() {
    let mut seen = BTreeMap::new();
    for plan in worlds() {
        for (what, times) in live_for_real(&plan).expect("the rules hold").seen {
            *seen.entry(what).or_insert(0) += times;
        }
    }
    assert!(seen.len() == 13 && seen.values().all(|times| *times >= 20), "{seen:#?}");
}

#[test]
fn a_core_that_is_broken_on_purpose_breaks_the_rule() {
    for (defect, rule) in [
        (Defect::StartsAllAtOnce, Rule::StartOrder),
        (Defect::StopsAllAtOnce, Rule::StopOrder),
        (Defect::ForgetsIncarnations, Rule::Settled),
        (Defect::ForgetsTheBudget, Rule::Settled),
        (Defect::ForgetsTheOperator, Rule::OperatorsWish),
        (Defect::ForgetsThePolicy, Rule::Settled),
        (Defect::SkipsTheBackoff, Rule::Backoff),
        (Defect::SkipsTheStop, Rule::Deadlines),
        (Defect::NeverAbandons, Rule::NothingStuck),
        (Defect::NamesTheLastFault, Rule::Finish),
        (Defect::FinishesEarly, Rule::Finish),
        (Defect::AnswersNobody, Rule::Answered),
    ] {
        let mut broken = HashMap::new();
        for plan in worlds() {
            let lived = live_through(&plan, &mut BrokenCore::new(plan.supervisor.clone(), defect));
            if let Err(violation) = lived {
                *broken.entry(violation.rule).or_insert(0) += 1;
            }
        }
        assert!(broken.get(&rule) >= Some(&20), "{defect:?} should break {rule:?} but broke {broken:?}");
    }
}

fn live_for_real(plan: &Plan) -> Result<Witness, Violation> {
    live_through(plan, &mut SupervisorCore::new(plan.supervisor.clone()))
}

/// The same thousand worlds each time.
fn worlds() -> impl Iterator<Item = Plan> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..1_000).map(move |_| plans().new_tree(&mut runner).expect("a plan").current())
}
