//! How things are, for those who begin to watch: in the same fields as their events.

use jiff::Timestamp;
use runtime_core::control::{
    Command, DependencyView, DrainView, LogFilterView, OperationCommand, Override, OverrideCommand,
    OverrideSubject, QueueView, ScheduleCommand, ScheduleView, SettingView,
};
use runtime_core::error::ErrorCode;
use runtime_core::journal::{Changed, Place, Subject, Value};
use runtime_core::name::{QueueName, Route};
use runtime_core::node::NodeView;
use runtime_core::operation::Operation;
use runtime_core::task::Task;
use runtime_core::worker::WorkerDescriptor;
use runtime_proto::v1;
use tonic::Status;

use super::Asked;
use crate::convert;
use crate::door::Door;
use crate::page::MAX_PAGE_SIZE;
use crate::status::{Resource, refusal};

/// How every resource is that is asked for and may be seen: of tasks those that the filter names, of operations the newest.
pub(super) async fn of(door: &Door, asked: &Asked, now: Timestamp) -> Result<Vec<v1::Event>, Status> {
    let system = Resource::system();
    let wants = |kind, collection| asked.filter.asks_for(kind, collection);
    let workers = door.ask(&system, |reply| Command::ListWorkers { reply }).await?;
    let mut told = Telling { asked, workers, now, events: Vec::new() };
    if wants("node_", "nodes/") {
        let root = runtime_core::node::NodePath::root();
        let tree = door.ask(&system, |reply| Command::GetTree { root, reply }).await?;
        tree.iter().for_each(|node| told.node(node));
    }
    if wants("queue_", "queues/") {
        let said = |reply| Command::Overrides(OverrideCommand::List { reply });
        let overrides = door.ask(&system, said).await?;
        let all = door.ask(&system, |reply| Command::ListQueues { reply }).await?;
        all.iter().for_each(|queue| told.queue(queue, &overrides));
    }
    if wants("schedule_", "schedules/") {
        let list = |reply| Command::Schedules(ScheduleCommand::List { reply });
        door.ask(&system, list).await?.iter().for_each(|view| told.schedule(view));
    }
    if wants("operation_", "operations/") {
        let (before, page_size) = (None, MAX_PAGE_SIZE);
        let list = |reply| Command::Operations(OperationCommand::List { before, page_size, reply });
        door.ask(&system, list).await?.iter().for_each(|operation| told.operation(operation));
    }
    let (breakers, instance) = (wants("breaker_", "apps/"), wants("drain_", "instance"));
    if breakers || instance {
        let overview = door.ask(&system, |reply| Command::GetOverview { reply }).await?;
        if breakers {
            overview.dependencies.iter().for_each(|dependency| told.dependency(dependency));
        }
        if instance {
            told.instance(overview.drain.as_ref());
        }
    }
    if let Ok(process) = door.instance() {
        if wants("config_", "config") {
            told.config(&process.settings());
        }
        if wants("log_filter_", "log-filter") {
            told.log_filter(&process.log_filter());
        }
    }
    for id in asked.filter.tasks() {
        let about = Resource::new("task", convert::task_name(id));
        match door.answer(|reply| Command::GetTask { id, reply }).await {
            Ok(detail) => told.task(&detail.task),
            // Of a task that may not be seen it is not told either whether it is there.
            Err(error) if error.code == ErrorCode::NotFound && !asked.sees_all => {}
            Err(error) => return Err(refusal(&error, &about)),
        }
    }
    Ok(told.events)
}

struct Telling<'a> {
    asked: &'a Asked,
    workers: Vec<WorkerDescriptor>,
    now: Timestamp,
    events: Vec<v1::Event>,
}

impl Telling<'_> {
    fn tell(&mut self, subject: &Subject, place: &Place, fields: &[Changed]) {
        if self.asked.sees(place, subject) && self.asked.filter.fits_state(place, subject) {
            self.events.push(convert::snapshot(subject, place, self.now, fields));
        }
    }

    fn node(&mut self, node: &NodeView) {
        let mut place = Place::of_node(&node.path);
        let worker = self.workers.iter().find(|known| Some(&known.name) == place.worker.as_ref());
        place.queue = worker.map(|worker| worker.route.queue.clone());
        let mut fields = vec![
            Changed::is("state", Value::Word(node.state.as_str())),
            Changed::is("desired", Value::Word(node.desired.as_str())),
            Changed::is("health", Value::Word(node.health.level())),
        ];
        fields.extend(node.health.reason().map(|text| Changed::is("health_text", Value::text(text))));
        fields.extend(node.slots.map(|(_, slots)| Changed::is("slots", Value::Number(slots))));
        fields.push(Changed::is("restarts", Value::Number(node.restarts)));
        self.tell(&Subject::Node(node.path.clone()), &place, &fields);
    }

    fn queue(&mut self, view: &QueueView, overrides: &[Override]) {
        let queue = &view.stats.queue;
        let mut fields = vec![Changed::is("paused", Value::Word(if view.paused { "yes" } else { "no" }))];
        let of_queue = |known: &&Override| known.subject == OverrideSubject::Queue(queue.clone());
        let says =
            overrides.iter().filter(of_queue).map(|known| Changed::is("says", Value::text(&known.says)));
        fields.extend(says);
        let mut apps: Vec<_> = self.workers_of(queue).map(|worker| worker.route.app.clone()).collect();
        apps.dedup();
        let app = if apps.len() == 1 { apps.pop() } else { None };
        let place = Place { app, queue: Some(queue.clone()), worker: None };
        self.tell(&Subject::Queue(queue.clone()), &place, &fields);
    }

    fn workers_of<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a WorkerDescriptor> {
        self.workers.iter().filter(|worker| worker.route.queue == *queue)
    }

    fn schedule(&mut self, view: &ScheduleView) {
        let spec = &view.stored.spec;
        let paused = view.stored.state.paused.is_some();
        let next = view.next_tick.map_or(Value::Nothing, |at| Value::text(at.to_string()));
        let fields = [
            Changed::is("paused", Value::Word(if paused { "yes" } else { "no" })),
            Changed::is("next_tick", next),
        ];
        self.tell(&Subject::Schedule(spec.name.clone()), &Place::of_route(&spec.route), &fields);
    }

    fn operation(&mut self, operation: &Operation) {
        let Operation { id, spec, state, counts, .. } = operation;
        let place = Place { app: spec.filter.app.clone(), queue: spec.filter.queue.clone(), worker: None };
        let fields = [
            Changed::is("kind", Value::Word(spec.kind.as_str())),
            Changed::is("state", Value::Word(state.as_str())),
            Changed::is("done", Value::Number(counts.done)),
            Changed::is("matched", Value::Number(spec.matched)),
        ];
        self.tell(&Subject::Operation(*id), &place, &fields);
    }

    fn dependency(&mut self, dependency: &DependencyView) {
        let DependencyView { app, name, breaker, .. } = dependency;
        let mut fields = vec![Changed::is("state", Value::Word(breaker.state.as_str()))];
        fields.extend(breaker.until.map(|until| Changed::is("until", Value::text(until.to_string()))));
        let place = Place { app: Some(app.clone()), ..Place::default() };
        self.tell(&Subject::Dependency(app.clone(), name.clone()), &place, &fields);
    }

    fn instance(&mut self, drain: Option<&DrainView>) {
        let word = Value::Word(if drain.is_some() { "yes" } else { "no" });
        self.tell(&Subject::Instance, &Place::default(), &[Changed::is("draining", word)]);
    }

    /// How far it is that of its sources; the values are asked for elsewhere.
    fn config(&mut self, settings: &[SettingView]) {
        let waiting = settings.iter().filter(|setting| setting.waits.is_some()).count();
        let fields = [
            Changed::is("keys", Value::number(settings.len())),
            Changed::is("wait_for_restart", Value::number(waiting)),
        ];
        self.tell(&Subject::Config, &Place::default(), &fields);
    }

    fn log_filter(&mut self, filter: &LogFilterView) {
        let mut fields = vec![Changed::is("filter", Value::text(&filter.in_force))];
        let back = filter.comes_back_in.map(|left| Value::text(format!("{} s", left.as_secs())));
        fields.extend(back.map(|left| Changed::is("comes_back_in", left)));
        self.tell(&Subject::LogFilter, &Place::default(), &fields);
    }

    fn task(&mut self, task: &Task) {
        let route: &Route = &task.route;
        let fields = [
            Changed::is("state", Value::Word(task.state.as_str())),
            Changed::is("attempt", Value::Number(task.attempt.into())),
        ];
        self.tell(&Subject::Task(task.id), &Place::of_route(route), &fields);
    }
}
