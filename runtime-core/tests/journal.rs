//! The journal as plain data: whatever is written and however a reader goes away and comes back, inside the rings it misses nothing and is
//! told nothing twice; and what is no longer there is said to be gone, never left out.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use runtime_core::journal::{
    Changed, Changes, Class, Classes, Cursor, Entry, EventType, Journal, JournalLimits, Place, Subject, Told,
    Value, coalesced,
};

/// The `n`th entry that was ever written.
fn entry(class: Class, n: u64) -> Entry {
    let kind = match class {
        Class::Tree => EventType::QueueUpdated,
        Class::Tasks => EventType::TaskSettled,
    };
    let queue = Subject::Queue(format!("q{}", n % 3).parse().expect("a name"));
    let changes = Changes::one("n", Value::Number(n - 1), Value::Number(n));
    Entry::new(Timestamp::UNIX_EPOCH, kind, queue, changes)
}

fn number(entry: &Entry) -> u64 {
    match &entry.changes.fields()[0].after {
        Value::Number(n) => *n,
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(Class, usize),
    /// Reads, and takes so many of what it gets.
    Read(usize),
    /// Goes away and comes back with the cursor that it has.
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), 1_usize..7)
            .prop_map(|(tasks, n)| Step::Write(if tasks { Class::Tasks } else { Class::Tree }, n)),
        (1_usize..20).prop_map(Step::Read),
        Just(Step::Reconnect),
    ]
}

fn classes() -> impl Strategy<Value = Classes> {
    prop_oneof![
        Just(Classes { tree: true, tasks: false }),
        Just(Classes { tree: false, tasks: true }),
        Just(Classes { tree: true, tasks: true }),
    ]
}

/// From where somebody who comes back goes on.
type Resume = fn(&Journal, Cursor) -> Cursor;

/// What is wrong with what a reader was told, if anything is.
fn run(steps: &[Step], of: Classes, limits: JournalLimits, resume: Resume) -> Result<(), String> {
    let mut journal = Journal::new(7, limits);
    let mut cursor = journal.tip();
    let (mut wanted, mut told) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Write(class, count) => {
                let first = journal.written() + 1;
                let numbers = first..first + *count as u64;
                let entries = numbers.clone().map(|n| entry(*class, n)).collect();
                journal.write(*class, Arc::new(Place::default()), entries);
                if matches!(
                    (class, of),
                    (Class::Tree, Classes { tree: true, .. }) | (Class::Tasks, Classes { tasks: true, .. })
                ) {
                    wanted.extend(numbers);
                }
            }
            Step::Reconnect => cursor = resume(&journal, cursor),
            Step::Read(most) => {
                let Ok(page) = journal.read(cursor, of, *most) else {
                    // It may only say so when something that it had not told is gone.
                    let oldest = journal.oldest(of);
                    if cursor.sequence >= oldest.sequence {
                        return Err("expired although all is there".into());
                    }
                    return Ok(());
                };
                let found: Vec<(u64, u64)> = page
                    .batches()
                    .iter()
                    .flat_map(|batch| batch.after(page.after()))
                    .map(|(sequence, entry)| (sequence, number(entry)))
                    .collect();
                if let Some((sequence, n)) = found.iter().find(|(sequence, n)| sequence != n) {
                    return Err(format!("entry {n} stands at {sequence}"));
                }
                // A reader may stop in the middle of a batch.
                let taken = found.len().min(*most);
                told.extend(found[..taken].iter().map(|(_, n)| *n));
                cursor = match found.get(taken.wrapping_sub(1)) {
                    Some((sequence, _)) if taken < found.len() => Cursor { sequence: *sequence, ..cursor },
                    _ => page.next(),
                };
                if wanted[..told.len().min(wanted.len())] != told[..] {
                    return Err(format!("told {told:?} of {wanted:?}"));
                }
            }
        }
    }
    Ok(())
}

const ROOMY: JournalLimits = JournalLimits { tree: 1_000, tasks: 1_000 };

fn with_the_cursor(_: &Journal, cursor: Cursor) -> Cursor {
    cursor
}

proptest! {
    #[test]
    fn a_reader_that_comes_back_misses_nothing_and_is_told_nothing_twice(
        steps in prop::collection::vec(step(), 1..60),
        of in classes(),
        tree in 1_usize..30,
        tasks in 1_usize..30,
    ) {
        prop_assert_eq!(run(&steps, of, ROOMY, with_the_cursor), Ok(()));
        prop_assert_eq!(run(&steps, of, JournalLimits { tree, tasks }, with_the_cursor), Ok(()));
    }

    #[test]
    fn a_ring_keeps_as_much_as_it_may_and_no_more(writes in prop::collection::vec(1_usize..7, 1..60)) {
        let mut journal = Journal::new(1, JournalLimits { tree: 5, tasks: 20 });
        let both = Classes { tree: false, tasks: true };
        for count in writes {
            let first = journal.written() + 1;
            let entries = (first..first + count as u64).map(|n| entry(Class::Tasks, n)).collect();
            journal.write(Class::Tasks, Arc::default(), entries);
            let held = journal.written() - journal.oldest(both).sequence;
            prop_assert!(held <= 20, "{held}");
            prop_assert!(held > 13 || journal.evicted() == 0, "a batch of six at most is too much: {held}");
            prop_assert_eq!(journal.evicted(), journal.oldest(both).sequence);
        }
    }
}

/// Whether any of many runs shows that something is wrong.
fn is_caught(resume: Resume) -> bool {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = (prop::collection::vec(step(), 30..60), classes());
    (0..200).any(|_| {
        let (steps, of) = strategy.new_tree(&mut runner).expect("a value").current();
        run(&steps, of, ROOMY, resume).is_err()
    })
}

#[test]
fn the_control_a_reader_that_goes_on_elsewhere_is_caught() {
    assert!(!is_caught(with_the_cursor));
    let one_further = |journal: &Journal, cursor: Cursor| Cursor {
        sequence: (cursor.sequence + 1).min(journal.tip().sequence),
        ..cursor
    };
    assert!(is_caught(one_further), "an entry was left out");
    assert!(is_caught(|journal, _| journal.tip()), "without a cursor");
    let one_back =
        |_: &Journal, cursor: Cursor| Cursor { sequence: cursor.sequence.saturating_sub(1), ..cursor };
    assert!(is_caught(one_back), "an entry came twice");
}

#[test]
fn many_tasks_do_not_push_out_what_else_happened() {
    let mut journal = Journal::new(1, JournalLimits { tree: 4, tasks: 100 });
    let start = journal.tip();
    journal.write(Class::Tree, Arc::default(), vec![entry(Class::Tree, 1)]);
    for n in 2..=10_001 {
        journal.write(Class::Tasks, Arc::default(), vec![entry(Class::Tasks, n)]);
    }
    let tree = journal.read(start, Classes { tree: true, tasks: false }, 10).expect("it is still there");
    assert_eq!(tree.batches().len(), 1);
    assert_eq!(tree.next(), journal.tip(), "a reader of one ring knows the other is none of its business");
    assert!(journal.read(start, Classes { tree: true, tasks: true }, 10).is_err());
}

#[test]
fn a_cursor_of_another_life_or_of_the_future_is_not_taken() {
    let mut journal = Journal::new(1, ROOMY);
    journal.write(Class::Tree, Arc::default(), vec![entry(Class::Tree, 1)]);
    let both = Classes { tree: true, tasks: true };
    let tip = journal.tip();
    assert!(journal.read(tip, both, 1).is_ok());
    assert!(journal.read(Cursor { life: 2, ..tip }, both, 1).is_err());
    assert!(journal.read(Cursor { sequence: tip.sequence + 1, ..tip }, both, 1).is_err());
    assert_eq!(tip.to_string().parse(), Ok(tip));
    for bad in ["", "1", &"g".repeat(32), &"0".repeat(33), &"é".repeat(16)] {
        assert!(bad.parse::<Cursor>().is_err(), "{bad}");
    }
}

#[test]
fn events_of_one_resource_become_one_from_before_the_first_to_after_the_last() {
    let place = Place::default();
    let mut entries: Vec<Entry> = [1, 2, 4, 7].map(|n| entry(Class::Tree, n)).into();
    entries[3].changes = Changes::of([
        Changed::new("n", Value::Number(4), Value::Number(9)),
        Changed::new("other", Value::Nothing, Value::Word("x")),
    ]);
    let told = entries.iter().zip(1..).map(|(entry, sequence)| Told::one(sequence, &place, entry));
    let told = coalesced(told);
    // 1, 4 and 7 are of q1; 2 is of q2.
    assert_eq!(told.iter().map(|told| (told.sequence, told.count)).collect::<Vec<_>>(), [(2, 1), (4, 3)]);
    let changes = told[1].changes.to_vec();
    assert_eq!(
        changes,
        [
            Changed::new("n", Value::Number(0), Value::Number(9)),
            Changed::new("other", Value::Nothing, Value::Word("x")),
        ]
    );
}
