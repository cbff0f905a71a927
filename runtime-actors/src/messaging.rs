//! What spans say by the semantic conventions for messaging (version 1.44), so that whoever reads traces need not know our names: a task is a
//! message, its queue is the destination, its worker the group of consumers.
//!
//! | span              | kind     | operation name, type | says besides             |
//! | ----------------- | -------- | -------------------- | ------------------------ |
//! | `enqueue {queue}` | PRODUCER | `enqueue`, `send`    | the task, once it is one |
//! | `process {queue}` | CONSUMER | `process`, `process` | the task, its worker, the code of its error |
//! | `settle {queue}`  | INTERNAL | `settle`, `settle`   | the task, its worker     |
//!
//! A span is about one task, so none counts a batch. These attributes go to the receiver of traces alone: log lines say the same under the
//! platform's own names.

use runtime_core::name::{QueueName, WorkerName};
use runtime_core::task::{Task, TaskId};
use runtime_core::trace::TraceBridge;
use tracing::Span;

use crate::metrics::{
    ERROR_TYPE, MESSAGING_DESTINATION, MESSAGING_OPERATION, MESSAGING_SYSTEM, PROCESS, SYSTEM,
};

/// Which kind of step it is, of the closed list of the conventions.
const OPERATION_TYPE: &str = "messaging.operation.type";
/// The task.
const MESSAGE_ID: &str = "messaging.message.id";
/// The worker.
const CONSUMER_GROUP: &str = "messaging.consumer.group.name";

/// A task is about to be made.
pub(crate) fn enqueues(traces: &dyn TraceBridge, span: &Span, queue: &QueueName) {
    step(traces, span, "enqueue", "send", queue);
}

/// The task is made.
pub(crate) fn enqueued(traces: &dyn TraceBridge, span: &Span, task: TaskId) {
    traces.annotate(span, &[(MESSAGE_ID, &task)]);
}

/// An attempt begins.
pub(crate) fn processes(traces: &dyn TraceBridge, span: &Span, task: &Task, worker: &WorkerName) {
    step(traces, span, PROCESS, "process", &task.route.queue);
    whose(traces, span, task, worker);
}

/// The outcome of an attempt is about to be written.
pub(crate) fn settles(traces: &dyn TraceBridge, span: &Span, task: &Task, worker: &WorkerName) {
    step(traces, span, "settle", "settle", &task.route.queue);
    whose(traces, span, task, worker);
}

/// An attempt failed.
pub(crate) fn failed(traces: &dyn TraceBridge, span: &Span, code: &str) {
    traces.annotate(span, &[(ERROR_TYPE, &code)]);
    traces.fail(span);
}

fn step(traces: &dyn TraceBridge, span: &Span, name: &str, kind: &str, queue: &QueueName) {
    traces.annotate(
        span,
        &[
            (MESSAGING_SYSTEM, &SYSTEM),
            (MESSAGING_OPERATION, &name),
            (OPERATION_TYPE, &kind),
            (MESSAGING_DESTINATION, queue),
        ],
    );
}

fn whose(traces: &dyn TraceBridge, span: &Span, task: &Task, worker: &WorkerName) {
    traces.annotate(span, &[(MESSAGE_ID, &task.id), (CONSUMER_GROUP, worker)]);
}
