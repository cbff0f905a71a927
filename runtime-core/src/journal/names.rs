//! What an entry is about, and where that belongs.

use std::fmt;

use crate::access::{Role, TokenId};
use crate::name::{AppName, DependencyName, PrincipalName, QueueName, Route, ScheduleName, WorkerName};
use crate::node::NodePath;
use crate::operation::OperationId;
use crate::task::TaskId;

/// What an entry is about. Displayed as its resource name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A node.
    Node(NodePath),
    /// A queue.
    Queue(QueueName),
    /// A task.
    Task(TaskId),
    /// A schedule.
    Schedule(ScheduleName),
    /// An operation.
    Operation(OperationId),
    /// What workers of an app depend on.
    Dependency(AppName, DependencyName),
    /// The configuration.
    Config,
    /// The log filter.
    LogFilter,
    /// The running process.
    Instance,
    /// Somebody who may call.
    Principal(PrincipalName),
    /// What somebody is known by; never its text.
    Token(TokenId),
}

impl Subject {
    /// The least role that may look at it.
    pub fn role(&self) -> Role {
        match self {
            Self::Principal(_) | Self::Token(_) => Role::Admin,
            _ => Role::Viewer,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(path) => write!(f, "nodes{path}"),
            Self::Queue(queue) => write!(f, "queues/{queue}"),
            Self::Task(id) => write!(f, "tasks/{id}"),
            Self::Schedule(schedule) => write!(f, "schedules/{schedule}"),
            Self::Operation(id) => write!(f, "operations/{id}"),
            Self::Dependency(app, name) => write!(f, "apps/{app}/dependencies/{name}"),
            Self::Config => f.write_str("config"),
            Self::LogFilter => f.write_str("log-filter"),
            Self::Instance => f.write_str("instance"),
            Self::Principal(name) => write!(f, "principals/{name}"),
            Self::Token(id) => write!(f, "tokens/{id}"),
        }
    }
}

/// Where entries belong: what they can be selected by without a look at each. Shared by all entries of one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The app.
    pub app: Option<AppName>,
    /// The queue.
    pub queue: Option<QueueName>,
    /// The worker.
    pub worker: Option<WorkerName>,
}

impl Place {
    /// That of a route.
    pub fn of_route(route: &Route) -> Self {
        Self { app: Some(route.app.clone()), queue: Some(route.queue.clone()), worker: None }
    }

    /// That of a node, as far as its path says it: its app, and the worker that it is.
    pub fn of_node(path: &NodePath) -> Self {
        let mut parts = path.as_str().strip_prefix("/engine/apps/").unwrap_or_default().split('/');
        let app = parts.next().and_then(|app| AppName::new(app).ok());
        let worker = match (parts.next(), parts.next()) {
            (Some("workers"), Some(worker)) => WorkerName::new(worker).ok(),
            _ => None,
        };
        Self { app, queue: None, worker }
    }

    /// The names of its app and its queue: whoever may look at one of them may see what happens to every task there.
    pub fn names(&self) -> Vec<String> {
        let app = self.app.iter().map(|app| format!("apps/{app}"));
        app.chain(self.queue.iter().map(|queue| format!("queues/{queue}"))).collect()
    }

    /// Under which names somebody may see `subject`: whoever may look at one of them may see what happens to it.
    pub fn names_of(&self, subject: &Subject) -> Vec<String> {
        let app = self.app.iter().map(|app| format!("apps/{app}"));
        let queue = self.queue.iter().map(|queue| format!("queues/{queue}"));
        let worker = self.worker.iter().map(|worker| format!("workers/{worker}"));
        let itself = [subject.to_string()].into_iter();
        match subject {
            Subject::Task(_) | Subject::Schedule(_) | Subject::Operation(_) => {
                itself.chain(app).chain(queue).collect()
            }
            Subject::Node(_) => itself.chain(app).chain(worker).collect(),
            Subject::Queue(_) | Subject::Dependency(..) => itself.chain(app).collect(),
            Subject::Config
            | Subject::LogFilter
            | Subject::Instance
            | Subject::Principal(_)
            | Subject::Token(_) => itself.collect(),
        }
    }
}
