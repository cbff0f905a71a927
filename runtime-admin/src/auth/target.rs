//! What a request is about, by every name it goes by: a node under an app is covered by a grant for the app, a task by one for its queue.
//!
//! Only where no grant covers everything is anybody asked for those names.

use std::collections::BTreeSet;

use runtime_core::access::{Principal, Role, Target};
use runtime_core::control::{Command, OperationCommand, ScheduleCommand};
use runtime_core::name::{QueueName, Route, WorkerName};
use runtime_core::worker::WorkerDescriptor;

use super::confined::confined;
use super::methods::About;
use super::reading::Asked;
use crate::convert::{
    app_name, node_from_wire, operation_from_wire, queue_name, schedule_from_wire, task_from_wire,
};
use crate::door::Door;
use crate::filter;

/// Where the apps stand in the tree.
const APPS: &str = "nodes/engine/apps/";

/// What the audit log calls the thing that a request is about; empty for the runtime as a whole.
pub(super) fn resource(about: About, asked: &Asked) -> String {
    match about {
        About::Nothing | About::Whole => String::new(),
        About::Name(field) | About::NodeOrRoot(field) | About::People(field) => asked.text(field),
        About::NewPrincipal => format!("principals/{}", asked.text("principal_id")),
        About::Filter(field) => match asked.text(field) {
            filter if filter.is_empty() => "tasks".to_owned(),
            filter => format!("tasks?{filter}"),
        },
        About::NewTask => asked.text("queue"),
        About::NewSchedule => format!("schedules/{}", asked.text("schedule_id")),
        About::ScheduleAnew => asked.text("name"),
    }
}

/// Whether a principal may do what needs `role` to what the request is about.
pub(super) async fn may(principal: &Principal, role: Role, about: About, asked: &Asked, door: &Door) -> bool {
    principal.may(role, &Target::Whole) || principal.may(role, &target(about, asked, door).await)
}

async fn target(about: About, asked: &Asked, door: &Door) -> Target {
    match about {
        About::Nothing => Target::Nothing,
        About::Whole | About::NewPrincipal | About::People(_) => Target::Whole,
        About::Name(field) => match asked.text(field) {
            name if name.starts_with("operations/") => of_operation(&name, door).await,
            name => Target::thing(names(name, door).await),
        },
        About::NodeOrRoot(field) => match asked.text(field) {
            name if name.is_empty() => Target::Whole,
            name => Target::thing(names(name, door).await),
        },
        About::Filter(field) => of_filter(&asked.text(field)),
        About::NewTask => Target::Things(vec![new_task(asked.text("app"), asked.text("queue"), door).await]),
        About::NewSchedule => Target::Things(vec![tasks_of_spec(asked, door).await]),
        About::ScheduleAnew => {
            Target::Things(vec![names(asked.text("name"), door).await, tasks_of_spec(asked, door).await])
        }
    }
}

/// A task that does not exist yet. Its app covers it only where the queue is the app's: whoever may steer one app must not make the workers
/// of another one run.
async fn new_task(app: String, queue: String, door: &Door) -> Vec<String> {
    let others = match queue.strip_prefix("queues/").map(str::parse) {
        Some(Ok(name)) => of_queue(&name, door).await,
        _ => Vec::new(),
    };
    [queue].into_iter().chain(others.into_iter().filter(|other| *other == app)).collect()
}

/// The tasks that a schedule would make.
async fn tasks_of_spec(asked: &Asked, door: &Door) -> Vec<String> {
    new_task(asked.text("spec.app"), asked.text("spec.queue"), door).await
}

/// Tasks of the apps and queues that the filter names. One that is no filter is refused by its service.
fn of_filter(filter: &str) -> Target {
    filter::tasks(filter).map_or(Target::Whole, |filter| confined(&filter))
}

/// Every name of a thing. One that is not there goes by its own name alone.
async fn names(name: String, door: &Door) -> Vec<String> {
    let others = match name.split_once('/') {
        Some(("nodes", _)) if node_from_wire(&name).is_ok() => of_node(&name),
        Some(("queues", queue)) => match queue.parse() {
            Ok(queue) => of_queue(&queue, door).await,
            Err(_) => Vec::new(),
        },
        Some(("workers", worker)) => match worker.parse() {
            Ok(worker) => of_worker(&worker, door).await,
            Err(_) => Vec::new(),
        },
        Some(("schedules", _)) => of_schedule(&name, door).await,
        Some(("tasks", _)) => of_task(&name, door).await,
        _ => Vec::new(),
    };
    [name].into_iter().chain(others).collect()
}

/// The app a node stands under, and the worker it is.
fn of_node(name: &str) -> Vec<String> {
    let Some(below) = name.strip_prefix(APPS) else { return Vec::new() };
    let mut parts = below.split('/');
    let app = parts.next().map(|app| format!("apps/{app}"));
    let worker = match (parts.next(), parts.next()) {
        (Some("workers"), Some(worker)) => Some(format!("workers/{worker}")),
        _ => None,
    };
    app.into_iter().chain(worker).collect()
}

/// The app whose workers alone take from a queue.
async fn of_queue(queue: &QueueName, door: &Door) -> Vec<String> {
    let workers = workers(door).await;
    let apps: BTreeSet<String> = workers
        .iter()
        .filter(|worker| worker.route.queue == *queue)
        .map(|worker| app_name(&worker.route.app))
        .collect();
    if apps.len() == 1 { apps.into_iter().collect() } else { Vec::new() }
}

async fn of_worker(name: &WorkerName, door: &Door) -> Vec<String> {
    let workers = workers(door).await;
    workers
        .iter()
        .find(|worker| worker.name == *name)
        .map(|worker| of_route(&worker.route))
        .unwrap_or_default()
}

async fn of_schedule(name: &str, door: &Door) -> Vec<String> {
    let Ok((name, _)) = schedule_from_wire(name) else { return Vec::new() };
    let view = door.answer(|reply| Command::Schedules(ScheduleCommand::Get { name, reply })).await;
    view.map(|view| of_route(&view.stored.spec.route)).unwrap_or_default()
}

async fn of_task(name: &str, door: &Door) -> Vec<String> {
    let Ok((id, _)) = task_from_wire(name) else { return Vec::new() };
    let detail = door.answer(|reply| Command::GetTask { id, reply }).await;
    detail.map(|detail| of_route(&detail.task.route)).unwrap_or_default()
}

/// What its filter is about: whoever may steer all of that may steer it.
async fn of_operation(name: &str, door: &Door) -> Target {
    let Ok((id, _)) = operation_from_wire(name) else { return Target::Whole };
    let found = door.answer(|reply| Command::Operations(OperationCommand::Get { id, reply })).await;
    found.map_or(Target::Whole, |operation| confined(&operation.spec.filter))
}

async fn workers(door: &Door) -> Vec<WorkerDescriptor> {
    door.answer(|reply| Command::ListWorkers { reply }).await.unwrap_or_default()
}

fn of_route(route: &Route) -> Vec<String> {
    vec![app_name(&route.app), queue_name(&route.queue)]
}
