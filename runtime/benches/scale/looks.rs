//! What operators look at: every call of the admin API that lists, counts or sums, by filters that find much, little and nothing.

use runtime::admin::v1;
use runtime::admin::v1::audit_service_client::AuditServiceClient;
use runtime::admin::v1::dead_letter_service_client::DeadLetterServiceClient;
use runtime::admin::v1::event_service_client::EventServiceClient;
use runtime::admin::v1::operation_service_client::OperationServiceClient;
use runtime::admin::v1::principal_service_client::PrincipalServiceClient;
use runtime::admin::v1::queue_service_client::QueueServiceClient;
use runtime::admin::v1::schedule_service_client::ScheduleServiceClient;
use runtime::admin::v1::system_service_client::SystemServiceClient;
use runtime::admin::v1::task_service_client::TaskServiceClient;
use runtime::admin::v1::tree_service_client::TreeServiceClient;
use runtime::admin::v1::worker_service_client::WorkerServiceClient;
use runtime::core::task::TaskId;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

use crate::empty::check;

/// One look of an operator: one call, one page.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    Empty,
    ListTasks(&'static str),
    /// So many pages on.
    DeepPage(&'static str, usize),
    CountTasks(&'static str),
    GetTask,
    ListDeadLetters(&'static str),
    CountDeadLetters(&'static str),
    ListQueues,
    GetQueue(&'static str),
    GetQueueStats(&'static str),
    GetOverview,
    GetTree,
    ListRestarts,
    ListWorkers,
    ListSchedules,
    ListOperations,
    ListEvents(&'static str),
    ListAuditEntries(&'static str),
    ListPrincipals,
    ListTokens,
}

pub(crate) const LOOKS: &[Look] = &[
    Look::Empty,
    Look::ListTasks(""),
    Look::DeepPage("", 200),
    Look::ListTasks("state=ready"),
    Look::ListTasks("state=parked"),
    Look::ListTasks("state=parked OR state=dead"),
    Look::ListTasks("queue=mail"),
    Look::ListTasks("queue=mail OR queue=loans"),
    Look::ListTasks("queue=quiet"),
    Look::ListTasks("app=books"),
    Look::ListTasks("tenant=t7"),
    Look::ListTasks("tenant=rare"),
    Look::ListTasks("tenant=nobody"),
    Look::ListTasks("scope=store=42"),
    Look::ListTasks("scope:store=1"),
    Look::ListTasks("scope:depot="),
    Look::ListTasks("scope:nowhere="),
    Look::ListTasks("code=poison"),
    Look::ListTasks("state=done AND queue=quiet"),
    Look::ListTasks("NOT (state=done OR state=ready OR state=scheduled)"),
    Look::ListTasks("created<2001-01-01T00:00:00Z"),
    Look::CountTasks(""),
    Look::CountTasks("state=dead AND queue=mail"),
    Look::CountTasks("app=books AND NOT state=done"),
    Look::CountTasks("tenant=t7"),
    Look::CountTasks("tenant=nobody"),
    Look::CountTasks("scope=store=42"),
    Look::CountTasks("scope:store=1"),
    Look::CountTasks("scope:nowhere="),
    Look::CountTasks("created<2001-01-01T00:00:00Z"),
    Look::GetTask,
    Look::ListDeadLetters(""),
    Look::DeepPage("state=dead", 200),
    Look::ListDeadLetters("queue=mail"),
    Look::ListDeadLetters("queue=mail OR queue=loans"),
    Look::ListDeadLetters("tenant=t7"),
    Look::ListDeadLetters("tenant=rare"),
    Look::ListDeadLetters("tenant=nobody"),
    Look::ListDeadLetters("code=poison"),
    Look::ListDeadLetters("scope:store=1"),
    Look::ListDeadLetters("scope:depot="),
    Look::ListDeadLetters("class=retryable AND NOT queue=mail"),
    Look::CountDeadLetters(""),
    Look::CountDeadLetters("queue=mail"),
    Look::CountDeadLetters("code=poison"),
    Look::CountDeadLetters("tenant=rare"),
    Look::CountDeadLetters("tenant=t0"),
    Look::CountDeadLetters("tenant=t0 OR tenant=t7"),
    Look::CountDeadLetters("NOT tenant=t0"),
    Look::CountDeadLetters("tenant:t"),
    Look::CountDeadLetters("scope=store=42"),
    Look::CountDeadLetters("scope:store=1"),
    Look::CountDeadLetters("NOT scope=store=42"),
    Look::CountDeadLetters("finished>=2001-01-01T00:00:00Z"),
    Look::CountDeadLetters("created<2001-01-01T00:00:00Z"),
    Look::ListQueues,
    Look::GetQueue("mail"),
    Look::GetQueueStats("mail"),
    Look::GetOverview,
    Look::GetTree,
    Look::ListRestarts,
    Look::ListWorkers,
    Look::ListSchedules,
    Look::ListOperations,
    Look::ListEvents(""),
    Look::ListEvents("type:task_"),
    Look::ListEvents("principal=nobody"),
    Look::ListAuditEntries(""),
    Look::ListAuditEntries("kind=denial"),
    Look::ListAuditEntries("principal=ann"),
    Look::ListAuditEntries("principal=nobody"),
    Look::ListAuditEntries("method:QueueService/ AND kind=mutation"),
    Look::ListAuditEntries("resource=queues/nowhere"),
    Look::ListAuditEntries("request_id=never-asked"),
    Look::ListAuditEntries("principal=ann OR outcome=not_found"),
    Look::ListPrincipals,
    Look::ListTokens,
];

/// Somebody who looks.
pub(crate) struct Operator {
    /// To the product's admin API.
    pub(crate) admin: Channel,
    /// To a server that does nothing.
    pub(crate) empty: HealthClient<Channel>,
    /// A task that there is.
    pub(crate) task: TaskId,
}

/// What a call gave.
macro_rules! ask {
    ($operator:ident, $client:ident, $method:ident, $request:expr) => {
        $client::new($operator.admin.clone())
            .max_decoding_message_size(runtime::admin::MAX_MESSAGE_BYTES)
            .$method($request)
            .await
            .expect("an answer")
            .into_inner()
    };
}

impl Operator {
    /// Where a deep page begins.
    pub(crate) async fn deep(&self, filter: &str, pages: usize) -> String {
        let mut page_token = String::new();
        for _ in 0..pages {
            let request = v1::ListTasksRequest { filter: filter.into(), page_size: 50, page_token };
            page_token = ask!(self, TaskServiceClient, list_tasks, request).next_page_token;
        }
        page_token
    }

    /// Takes a look; what it found, for the table.
    pub(crate) async fn take(&mut self, look: &Look, page_token: &str) -> String {
        let page_token = page_token.to_owned();
        match look {
            Look::Empty => {
                check(&mut self.empty).await;
                String::new()
            }
            Look::ListTasks(filter) | Look::DeepPage(filter, _) => {
                let request = v1::ListTasksRequest { filter: (*filter).into(), page_size: 50, page_token };
                let page = ask!(self, TaskServiceClient, list_tasks, request);
                page_of(page.tasks.len(), "tasks", &page.next_page_token)
            }
            Look::CountTasks(filter) => {
                let request = v1::CountTasksRequest { filter: (*filter).into() };
                let count = ask!(self, TaskServiceClient, count_tasks, request);
                format!("{}{}", if count.at_least { "at least " } else { "" }, count.total)
            }
            Look::GetTask => {
                let request = v1::GetTaskRequest { name: format!("tasks/{}", self.task) };
                format!("{} attempts", ask!(self, TaskServiceClient, get_task, request).attempts.len())
            }
            Look::ListDeadLetters(filter) => {
                let request =
                    v1::ListDeadLettersRequest { filter: (*filter).into(), page_size: 50, page_token };
                let page = ask!(self, DeadLetterServiceClient, list_dead_letters, request);
                page_of(page.tasks.len(), "tasks", &page.next_page_token)
            }
            Look::CountDeadLetters(filter) => {
                let request = v1::CountDeadLettersRequest { filter: (*filter).into() };
                let found = ask!(self, DeadLetterServiceClient, count_dead_letters, request);
                format!("{} in {} groups", found.total, found.groups.len())
            }
            Look::ListQueues => {
                let page = ask!(self, QueueServiceClient, list_queues, v1::ListQueuesRequest::default());
                page_of(page.queues.len(), "queues", &page.next_page_token)
            }
            Look::GetQueue(queue) => {
                let request = v1::GetQueueRequest { name: format!("queues/{queue}") };
                let detail = ask!(self, QueueServiceClient, get_queue, request).queue.expect("a queue");
                format!("{} heads", detail.heads.len())
            }
            Look::GetQueueStats(queue) => {
                let request = v1::GetQueueStatsRequest { name: format!("queues/{queue}") };
                let stats = ask!(self, QueueServiceClient, get_queue_stats, request).stats;
                format!("{} live", stats.expect("stats").live)
            }
            Look::GetOverview => {
                let overview = ask!(self, SystemServiceClient, get_overview, v1::GetOverviewRequest {});
                format!("{} queues", overview.overview.expect("an overview").queues.len())
            }
            Look::GetTree => {
                let tree = ask!(self, TreeServiceClient, get_tree, v1::GetTreeRequest::default());
                format!("{} nodes", tree.nodes.len())
            }
            Look::ListRestarts => {
                let page = ask!(self, TreeServiceClient, list_restarts, v1::ListRestartsRequest::default());
                page_of(page.restarts.len(), "restarts", &page.next_page_token)
            }
            Look::ListWorkers => {
                let page = ask!(self, WorkerServiceClient, list_workers, v1::ListWorkersRequest::default());
                page_of(page.workers.len(), "workers", &page.next_page_token)
            }
            Look::ListSchedules => {
                let request = v1::ListSchedulesRequest::default();
                let page = ask!(self, ScheduleServiceClient, list_schedules, request);
                page_of(page.schedules.len(), "schedules", &page.next_page_token)
            }
            Look::ListOperations => {
                let request = v1::ListOperationsRequest::default();
                let page = ask!(self, OperationServiceClient, list_operations, request);
                page_of(page.operations.len(), "operations", &page.next_page_token)
            }
            Look::ListEvents(filter) => {
                let request = v1::ListEventsRequest { filter: (*filter).into(), page_size: 50, page_token };
                let page = ask!(self, EventServiceClient, list_events, request);
                page_of(page.events.len(), "events", &page.next_page_token)
            }
            Look::ListAuditEntries(filter) => {
                let request =
                    v1::ListAuditEntriesRequest { filter: (*filter).into(), page_size: 50, page_token };
                let page = ask!(self, AuditServiceClient, list_audit_entries, request);
                page_of(page.entries.len(), "entries", &page.next_page_token)
            }
            Look::ListPrincipals => {
                let request = v1::ListPrincipalsRequest::default();
                let page = ask!(self, PrincipalServiceClient, list_principals, request);
                page_of(page.principals.len(), "principals", &page.next_page_token)
            }
            Look::ListTokens => {
                let request = v1::ListTokensRequest::default();
                let page = ask!(self, PrincipalServiceClient, list_tokens, request);
                page_of(page.tokens.len(), "tokens", &page.next_page_token)
            }
        }
    }
}

fn page_of(found: usize, what: &str, next_page_token: &str) -> String {
    format!("{found} {what}{}", if next_page_token.is_empty() { "" } else { ", more" })
}

impl Look {
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Empty => "an empty call".into(),
            Self::ListTasks(filter) => format!("ListTasks {filter}"),
            Self::DeepPage(filter, pages) => format!("ListTasks {filter} (page {pages})"),
            Self::CountTasks(filter) => format!("CountTasks {filter}"),
            Self::ListDeadLetters(filter) => format!("ListDeadLetters {filter}"),
            Self::CountDeadLetters(filter) => format!("CountDeadLetters {filter}"),
            Self::GetQueue(queue) => format!("GetQueue {queue}"),
            Self::GetQueueStats(queue) => format!("GetQueueStats {queue}"),
            Self::ListEvents(filter) => format!("ListEvents {filter}"),
            Self::ListAuditEntries(filter) => format!("ListAuditEntries {filter}"),
            Self::GetTask
            | Self::ListQueues
            | Self::GetOverview
            | Self::GetTree
            | Self::ListRestarts
            | Self::ListWorkers
            | Self::ListSchedules
            | Self::ListOperations
            | Self::ListPrincipals
            | Self::ListTokens => format!("{self:?}"),
        }
    }
}
