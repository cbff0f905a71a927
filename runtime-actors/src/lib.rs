//! Acts: the supervised tree that runs tasks.
//!
//! ```text
//! /                              the registry: root supervisor, owns the node table; one_for_one
//! ├─ engine                      rest_for_one
//! │   ├─ store                   extends leases, sweeps, closes the back end
//! │   ├─ completion              CompletionActor → CompletionService      the only writer of outcomes
//! │   ├─ templates               TemplateCacheActor → TemplateCache       worker descriptors
//! │   ├─ events                  DomainEventActor → DomainEventService    outbox relay
//! │   └─ apps                    one_for_one
//! │       └─ <app>               rest_for_one
//! │           ├─ health/<reporter>
//! │           ├─ workers/<worker>    TaskExecutorActor → TaskExecutorService
//! │           └─ sources/<source>
//! └─ control                     one_for_one
//!     ├─ status                  WorkerStatusActor → WorkerStatusService
//!     ├─ schedules               ScheduleActor → ScheduleService
//!     ├─ operations              OperationActor → OperationService
//!     ├─ commands                ActorCommandProcessor: the one door for commands
//!     └─ admin                   the server of the admin API; started last
//! ```
//!
//! An actor is thin: an arm of `handle` is one call. The services are plain structs. Only `node` and `supervisor` speak to the actor
//! framework. Why there is one at all, and how little of it is used, is told in `ADR/0001`.
//!
//! # Every task and actor
//!
//! | task | started by | ends when | owns | receives | sends to |
//! | --- | --- | --- | --- | --- | --- |
//! | supervisor | its supervisor | asked, or gave up | its children | `SupervisorMsg` | children |
//! | start watch | supervisor | a child's state is built, or could not be | – | – | supervisor |
//! | store | engine | asked | – | `StoreMsg` | executors (lost leases) |
//! | store chores | store | store ends | – | due changes | store |
//! | store close | store, when the process stops | closed | – | – | store |
//! | completion | engine | asked and flushed | – | `CompletionMsg` | – |
//! | completion writer | completion | completion ends | the batch in flight | ended attempts | store, executors, sources, events |
//! | templates | engine | asked | – | `TemplatesMsg` | – |
//! | events | engine | asked and relayed | – | `EventsMsg` | status |
//! | relay | events; each delivery on the work pool | outbox empty, or failed | – | – | subscribers, events |
//! | executor | workers | asked and idle | slots, leased tasks | `ExecutorMsg` | attempts |
//! | lease ask | executor | answered | – | – | executor |
//! | wake, tick | executor | executor ends | – | the queue's wake-ups | executor |
//! | pauses | executor of a queue that sheds | executor ends | – | whether it is paused | store |
//! | attempt | executor, on the work pool | handler ends, timeout, abort | the task | cancel token | completion |
//! | fence | an executor that was killed | a second later | attempts that did not yield | – | completion |
//! | source | sources | asked | – | `PumpMsg` | pump |
//! | pump | source, on the work pool | asked, or panics | the source, pending tasks | ends of tasks | store |
//! | pump watch | source | pump ends | – | – | source |
//! | endpoint | sources | asked | a thread | `ServerMsg` | – |
//! | reporter | health | asked | – | `HealthMsg` | – |
//! | look | reporter; the check on the work pool | checked, or too late | – | – | reporter |
//! | status | control | asked | – | `StatusMsg` | – |
//! | schedules | control | asked | – | `ScheduleMsg` | schedule keeper |
//! | schedule keeper | schedules | schedules end | the schedules | commands about them | store, executors (cancelled tasks) |
//! | operations | control | asked | – | `OperationMsg` | operation keeper |
//! | operation keeper | operations | operations end | operations that go on | commands about them | store, executors (cancelled tasks), sources (ended tasks) |
//! | commands | control | asked | – | `Command` | whoever knows |
//! | answer | commands, completion, status | answered | a reply | – | supervisors, store |
//! | admin | control | asked | – | `ServerMsg` | – |
//! | server, and its watch | admin, endpoint | asked, or failed | the listener | requests | commands, admin |
//! | sampler | runtime | runtime stops | the last sample | answers | commands |
//! | pool watch | runtime | runtime stops | – | probes | executors, sources |
//! | timer | any node | fired | – | – | its node |

mod attempt;
mod commands;
mod completion;
mod events;
mod executor;
mod granted;
mod health;
mod journal;
mod messaging;
pub mod metrics;
mod node;
mod operations;
mod platform;
mod registry;
mod runtime;
mod schedules;
mod server;
pub mod services;
mod source_pump;
mod status;
mod store_keeper;
mod supervisor;
mod table;
mod templates;
#[cfg(test)]
mod tests;
mod work_pool;

pub use attempt::{Attempt, WorkerRun};
pub use health::HealthPlan;
pub use journal::SharedJournal;
pub use platform::{LeaseBook, Platform, Timing};
pub use registry::{AppPlan, WorkerPlan};
pub use runtime::{MakeServe, RuntimeCore, RuntimeParts, StopReport, default_work_threads, stop_within};
pub use server::{EndpointPlan, Serve, Serving};
pub use source_pump::SourcePlan;
pub use table::{NodeEntry, NodeTable};
pub use work_pool::{MAX_REPLACEMENTS, WorkPool};
