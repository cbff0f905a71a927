//! Schedules held in memory, and `runtimectl schedule …` before them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::control::{Backfilled, CommandError, PreviewedTick, ScheduleCommand, ScheduleView};
use runtime_core::input::Misfits;
use runtime_core::name::ScheduleName;
use runtime_core::schedule::{
    CatchUpPolicy, DeclaredBy, Paused, ScheduleSpec, ScheduleState, SkipReason, Skipped, Timing,
};
use runtime_core::store::{Enqueued, Revision, StoredSchedule};
use runtime_core::task::TaskState;
use serde_json::json;

use crate::cli::transcript;
use crate::control::{at, id};
use crate::world::setup;

/// Schedules by name, with ticks as the rules have them and nobody who fires.
pub(crate) struct ScheduleBook(BTreeMap<ScheduleName, ScheduleView>);

impl ScheduleBook {
    /// One that runs, one that is paused, one that no longer fits, one that nobody declares.
    pub(crate) fn new() -> Self {
        let mut book = Self(BTreeMap::new());
        let nightly = |name: &str| {
            let input = json!({ "store": 42, "date": { "$tick": "date", "minus": "P1D" } });
            spec(name, input, Timing::cron("30 3 * * *", "Europe/Berlin").expect("times"))
        };
        let all = CatchUpPolicy::All { window_secs: 259_200 };
        let running =
            book.put(ScheduleSpec { catch_up: all, jitter_secs: 90, ..nightly("nightly") }, DeclaredBy::App);
        running.lag = Some(Duration::from_millis(1_500));
        running.stored.state.last_tick = Some(at(7_200));
        running.stored.state.last_task = Some(id(3));
        let missed = SkipReason::Missed;
        running.skipped = Some(Skipped { first: at(180_000), last: at(93_600), reason: missed });
        let every = Timing::every(Duration::from_mins(5)).expect("an interval");
        let paused = book.put(spec("often", json!({ "store": 1 }), every), DeclaredBy::RunTime);
        paused.stored.state.pause(Paused { reason: "an audit".into(), by: "ada".into(), at: at(60) });
        let unfit = book.put(nightly("outdated"), DeclaredBy::RunTime);
        (unfit.unfit, unfit.next_tick) = (true, None);
        unfit.problem = Some("its input does not fit worker settle: input/day: is missing".into());
        let orphan = book.put(nightly("forgotten"), DeclaredBy::App);
        orphan.stored.state.orphan();
        orphan.next_tick = None;
        book
    }

    fn put(&mut self, spec: ScheduleSpec, declared_by: DeclaredBy) -> &mut ScheduleView {
        let (name, next_tick) = (spec.name.clone(), spec.timing.next_after(at(0), &spec.window()));
        let state = ScheduleState::new(declared_by, at(86_400));
        let stored = StoredSchedule { spec, state, revision: Revision::FIRST };
        let etag = stored.etag();
        let (lag, skipped, problem, unfit) = (None, None, None, false);
        let view = ScheduleView { stored, next_tick, lag, skipped, problem, unfit, etag };
        self.0.insert(name.clone(), view);
        self.0.get_mut(&name).expect("just put")
    }

    fn find(&mut self, name: &ScheduleName) -> Result<&mut ScheduleView, CommandError> {
        self.0.get_mut(name).ok_or_else(|| CommandError::not_found(format!("no schedule {name}")))
    }

    fn change(
        &mut self,
        name: &ScheduleName,
        change: impl FnOnce(&mut ScheduleState),
    ) -> Result<ScheduleView, CommandError> {
        let view = self.find(name)?;
        change(&mut view.stored.state);
        view.etag = view.stored.etag();
        Ok(view.clone())
    }

    fn preview(
        &mut self,
        name: &ScheduleName,
        after: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<PreviewedTick>, CommandError> {
        let spec = &self.find(name)?.stored.spec;
        let times = spec.timing.preview(after.unwrap_or(at(0)), &spec.window(), count).into_iter();
        times.map(|at| Ok(PreviewedTick { tick: spec.tick(at), input: spec.input_at(at)? })).collect()
    }

    fn create(&mut self, spec: ScheduleSpec) -> Result<ScheduleView, CommandError> {
        if spec.input["store"].is_string() {
            return Err(Misfits::one("input/store", "the value is not of type \"integer\"").into());
        }
        Ok(self.put(spec, DeclaredBy::RunTime).clone())
    }

    fn update(&mut self, spec: ScheduleSpec) -> Result<ScheduleView, CommandError> {
        let view = self.find(&spec.name)?;
        if view.stored.state.declared_by == DeclaredBy::App {
            return Err(CommandError::precondition("it was declared by its app"));
        }
        view.stored.spec = spec;
        view.etag = view.stored.etag();
        (view.unfit, view.problem) = (false, None);
        view.next_tick = view.stored.spec.timing.next_after(at(0), &view.stored.spec.window());
        Ok(view.clone())
    }

    pub(crate) fn answer(&mut self, command: ScheduleCommand) {
        match command {
            ScheduleCommand::List { reply } => reply.send(Ok(self.0.values().cloned().collect())),
            ScheduleCommand::Get { name, reply } => reply.send(self.find(&name).cloned()),
            ScheduleCommand::Preview { name, after, count, reply } => {
                reply.send(self.preview(&name, after, count));
            }
            ScheduleCommand::Pause { name, reason, by, reply, .. } => {
                let paused = Paused { reason, by, at: at(0) };
                reply.send(self.change(&name, |state| state.pause(paused)));
            }
            ScheduleCommand::Resume { name, reply, .. } => {
                reply.send(self.change(&name, |state| state.resume(at(0))));
            }
            ScheduleCommand::Trigger { name, reply } => {
                let made = self.find(&name).map(|view| match view.stored.state.last_task {
                    Some(id) => Enqueued::Duplicate { id, state: TaskState::Done },
                    None => Enqueued::Accepted { id: id(9) },
                });
                reply.send(made);
            }
            ScheduleCommand::Backfill { name, until, reply, .. } => {
                let done = Backfilled { made: vec![id(7), id(8)], known: 1, next_from: Some(until) };
                reply.send(self.find(&name).map(|_| done));
            }
            ScheduleCommand::Create { spec, reply, .. } => reply.send(self.create(*spec)),
            ScheduleCommand::Update { spec, terms, reply } => {
                let fits = self.find(&spec.name).map_or(true, |known| terms.fit(&known.etag));
                let changed = CommandError::changed("the schedule was changed since");
                reply.send(if fits { self.update(*spec) } else { Err(changed) });
            }
            ScheduleCommand::Delete { name, terms, reply } if terms.validate_only => {
                reply.send(self.find(&name).map(drop));
            }
            ScheduleCommand::Delete { name, reply, .. } => {
                let gone = self.0.remove(&name).map(drop);
                reply.send(gone.ok_or_else(|| CommandError::not_found(format!("no schedule {name}"))));
            }
        }
    }
}

fn spec(name: &str, input: serde_json::Value, timing: Timing) -> ScheduleSpec {
    let route = json!({ "app": "shop", "queue": "mail", "handler": "settle" });
    let route = serde_json::from_value(route).expect("a route");
    ScheduleSpec::new(name.parse().expect("a name"), route, input, timing)
}

#[tokio::test]
async fn schedules_are_listed_and_looked_at() {
    let served = setup().await;
    let text = transcript(
        &served,
        &[
            &["schedule", "list"],
            &["schedule", "list", "-o", "wide"],
            &["schedule", "list", "-o", "name"],
            &["schedule", "get", "nightly"],
            &["schedule", "get", "often"],
            &["schedule", "get", "outdated"],
            &["schedule", "get", "forgotten", "-o", "json"],
            &["schedule", "get", "nobody"],
            &["schedule", "preview", "nightly", "--count", "3"],
            &[
                "schedule",
                "preview",
                "nightly",
                "--after",
                "2026-10-24T00:00:00Z",
                "--count",
                "2",
                "-o",
                "jsonl",
            ],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn schedules_are_steered() {
    let served = setup().await;
    let text = transcript(
        &served,
        &[
            &["schedule", "pause", "nightly", "--reason", "bank holiday"],
            &["schedule", "resume", "nightly"],
            &["schedule", "trigger", "nightly"],
            &["schedule", "trigger", "often", "-o", "name"],
            &[
                "schedule",
                "backfill",
                "often",
                "--from",
                "2026-09-01T00:00:00Z",
                "--until",
                "2026-09-02T00:00:00Z",
            ],
            &["schedule", "delete", "often"],
            &["schedule", "delete", "often", "--reason", "too often", "--yes"],
            &["schedule", "delete", "often", "--reason", "too often", "--yes"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn schedules_are_made_and_changed() {
    let served = setup().await;
    let yesterday = r#"{"store":1,"date":{"$tick":"date","minus":"P1D"}}"#;
    let text = transcript(
        &served,
        &[
            &[
                "schedule",
                "create",
                "plain",
                "--worker",
                "settle",
                "--payload",
                yesterday,
                "--every-secs",
                "600",
            ],
            &[
                "schedule",
                "create",
                "full",
                "--worker",
                "settle",
                "--payload",
                yesterday,
                "--cron",
                "30 3 * * *",
                "--zone",
                "Europe/Berlin",
                "--start",
                "2026-10-01T00:00:00Z",
                "--end",
                "2027-01-01T00:00:00Z",
                "--jitter",
                "90s",
                "--overlap",
                "buffer-one",
                "--catch-up",
                "all",
                "--catch-up-window",
                "72h",
                "--tenant",
                "north",
                "--scope",
                "store=1",
                "--priority",
                "-3",
            ],
            &["schedule", "update", "full", "--zone", "UTC", "--clear", "end,jitter", "--catch-up", "last"],
            &[
                "schedule",
                "update",
                "full",
                "--every-secs",
                "60",
                "--overlap",
                "allow-all",
                "--priority",
                "0",
            ],
            &["schedule", "update", "often", "--zone", "UTC"],
            &["schedule", "update", "outdated", "--payload", r#"{"day":{"$tick":"date"}}"#],
            &["schedule", "update", "nightly", "--priority", "1"],
            &["schedule", "update", "nobody", "--priority", "1"],
            &[
                "schedule",
                "create",
                "unfit",
                "--worker",
                "settle",
                "--payload",
                r#"{"store":"1"}"#,
                "--every-secs",
                "600",
            ],
            &["schedule", "create", "nowhere", "--worker", "sleep", "--payload", "{}", "--every-secs", "600"],
            &["schedule", "create", "never", "--worker", "settle", "--payload", "{}", "--cron", "0 0 30 2 *"],
            &["schedule", "create", "untimed", "--worker", "settle", "--payload", "{}"],
            &[
                "schedule",
                "create",
                "windowless",
                "--worker",
                "settle",
                "--payload",
                "{}",
                "--every-secs",
                "600",
                "--catch-up",
                "all",
            ],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}
