//! The method table: what each method of the API needs. A method that is not in it is refused to everybody.
//!
//! Whoever adds a method adds its row; a test that walks the descriptors says so otherwise.

use runtime_core::access::Role;

use crate::auth::methods::About::{
    Filter, Name, NewPrincipal, NewSchedule, NewTask, NodeOrRoot, Nothing, People, ScheduleAnew, Whole,
};
use Role::{Admin, Operator, Viewer};

/// Which part of a request says what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Nothing in particular: any grant will do.
    Nothing,
    /// The runtime as a whole: only a grant for everything will do.
    Whole,
    /// The resource whose name this field holds.
    Name(&'static str),
    /// The node whose name this field holds; the whole tree when it is empty.
    NodeOrRoot(&'static str),
    /// The tasks that the filter in this field selects. It has to name the app or the queue, or they may be anybody's.
    Filter(&'static str),
    /// A task to be made: `app` and `queue`.
    NewTask,
    /// A schedule to be made: `spec`.
    NewSchedule,
    /// A principal to be made: `principal_id`. Of the runtime as a whole: whoever may make one may do anything.
    NewPrincipal,
    /// A principal or a token whose name this field holds. Of the runtime as a whole.
    People(&'static str),
    /// A schedule that is to be something else: `name` and `spec`.
    ScheduleAnew,
}

/// When a method has to look at much before it answers: what it costs then grows with what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Much {
    /// It never has to.
    Never,
    /// Always.
    Always,
    /// When this field says so.
    When(&'static str),
}

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodRule {
    pub(crate) method: &'static str,
    pub(crate) role: Role,
    pub(crate) about: About,
    pub(crate) changes: bool,
    pub(crate) reads_payloads: bool,
    pub(crate) needs_reason: bool,
    pub(crate) answers_once: bool,
    pub(crate) needs_force: bool,
    pub(crate) looks_at_much: Much,
}

/// A method that looks.
const fn look(role: Role, method: &'static str, about: About) -> MethodRule {
    MethodRule {
        method,
        role,
        about,
        changes: false,
        reads_payloads: false,
        needs_reason: false,
        answers_once: false,
        needs_force: false,
        looks_at_much: Much::Never,
    }
}

/// A method that has to look at much before it answers. Few of these go on at once.
const fn wide(rule: MethodRule) -> MethodRule {
    MethodRule { looks_at_much: Much::Always, ..rule }
}

/// A method that has to when it is asked for that.
const fn wide_when(field: &'static str, rule: MethodRule) -> MethodRule {
    MethodRule { looks_at_much: Much::When(field), ..rule }
}

/// A method that shows payloads: its caller has to have the permission to read them as well, which no role has by itself.
const fn look_at_payloads(role: Role, method: &'static str, about: About) -> MethodRule {
    MethodRule { reads_payloads: true, ..look(role, method, about) }
}

/// A method that changes something. It is in the audit log, and its request may have an id.
const fn change(role: Role, method: &'static str, about: About) -> MethodRule {
    MethodRule { changes: true, ..look(role, method, about) }
}

/// A change that is not made without a reason: it ends, stops or forgets something, or loses what would come meanwhile. What holds work, lets
/// it go, makes or changes something can be taken back by its opposite, and needs none.
const fn with_reason(rule: MethodRule) -> MethodRule {
    MethodRule { needs_reason: true, ..rule }
}

/// A change whose answer is for its caller alone, and once: no request id brings it back.
const fn answers_once(rule: MethodRule) -> MethodRule {
    MethodRule { answers_once: true, ..rule }
}

/// A change that is made with `force` alone: without, its request only looks.
const fn with_force(rule: MethodRule) -> MethodRule {
    MethodRule { needs_force: true, ..rule }
}

impl MethodRule {
    /// The method, as `QueueService/PauseQueue`; those of other packages with their package.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The least role that may call it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it is refused without a reason.
    pub fn needs_reason(&self) -> bool {
        self.needs_reason
    }

    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        self.changes
    }
}

/// The rows, by service. In the order of the service table of the operating guide.
pub(crate) const RULES: &[MethodRule] = &[
    look(Viewer, "SystemService/GetInfo", Nothing),
    look(Viewer, "SystemService/GetOverview", Whole),
    look(Viewer, "SystemService/GetCapabilities", Nothing),
    with_reason(change(Operator, "SystemService/StartDrain", Whole)),
    change(Operator, "SystemService/StopDrain", Whole),
    with_reason(change(Admin, "SystemService/Shutdown", Whole)),
    wide(look(Viewer, "TreeService/GetTree", NodeOrRoot("name"))),
    look(Viewer, "TreeService/GetNode", Name("name")),
    wide(look(Viewer, "TreeService/ListRestarts", NodeOrRoot("name"))),
    change(Operator, "TreeService/StartNode", Name("name")),
    with_reason(change(Operator, "TreeService/StopNode", Name("name"))),
    change(Operator, "TreeService/RestartNode", Name("name")),
    change(Operator, "TreeService/PauseNode", Name("name")),
    change(Operator, "TreeService/ResumeNode", Name("name")),
    with_reason(change(Operator, "TreeService/DrainNode", Name("name"))),
    change(Operator, "TreeService/ResizeNode", Name("name")),
    wide(look(Viewer, "WorkerService/ListWorkers", Whole)),
    look(Viewer, "WorkerService/GetWorker", Name("name")),
    change(Operator, "WorkerService/RunWorker", Name("name")),
    wide(look(Viewer, "QueueService/ListQueues", Whole)),
    look(Viewer, "QueueService/GetQueue", Name("name")),
    look(Viewer, "QueueService/GetQueueStats", Name("name")),
    change(Operator, "QueueService/PauseQueue", Name("name")),
    change(Operator, "QueueService/ResumeQueue", Name("name")),
    change(Operator, "QueueService/UpdateQueue", Name("name")),
    change(Operator, "QueueService/DrainQueue", Name("name")),
    wide(with_reason(with_force(change(Admin, "QueueService/PurgeQueue", Name("name"))))),
    wide(look(Viewer, "TaskService/ListTasks", Filter("filter"))),
    look(Viewer, "TaskService/GetTask", Name("name")),
    wide(look(Viewer, "TaskService/CountTasks", Filter("filter"))),
    look_at_payloads(Viewer, "TaskService/GetTaskPayload", Name("name")),
    change(Operator, "TaskService/EnqueueTask", NewTask),
    change(Operator, "TaskService/RetryTask", Name("name")),
    wide(change(Operator, "TaskService/RetryTasks", Filter("filter"))),
    change(Operator, "TaskService/ResolveTask", Name("name")),
    with_reason(change(Operator, "TaskService/CancelTask", Name("name"))),
    wide(with_reason(change(Operator, "TaskService/CancelTasks", Filter("filter")))),
    change(Operator, "TaskService/ReplayTask", Name("name")),
    with_reason(change(Operator, "TaskService/DiscardTask", Name("name"))),
    change(Operator, "TaskService/RescheduleTask", Name("name")),
    with_reason(change(Admin, "TaskService/DeleteTask", Name("name"))),
    wide(look(Viewer, "DeadLetterService/ListDeadLetters", Filter("filter"))),
    wide(look(Viewer, "DeadLetterService/CountDeadLetters", Filter("filter"))),
    wide(change(Operator, "DeadLetterService/ReplayDeadLetters", Filter("filter"))),
    wide(with_reason(change(Operator, "DeadLetterService/DiscardDeadLetters", Filter("filter")))),
    look(Viewer, "OperationService/GetOperation", Name("name")),
    wide(look(Viewer, "OperationService/ListOperations", Whole)),
    with_reason(change(Operator, "OperationService/CancelOperation", Name("name"))),
    look(Viewer, "OperationService/WatchOperation", Name("name")),
    wide(look(Viewer, "EventService/ListEvents", Nothing)),
    wide_when("initial_state", look(Viewer, "EventService/WatchEvents", Nothing)),
    wide(look(Viewer, "ScheduleService/ListSchedules", Whole)),
    look(Viewer, "ScheduleService/GetSchedule", Name("name")),
    look(Viewer, "ScheduleService/PreviewTimes", Name("name")),
    with_reason(change(Operator, "ScheduleService/PauseSchedule", Name("name"))),
    change(Operator, "ScheduleService/ResumeSchedule", Name("name")),
    change(Operator, "ScheduleService/TriggerSchedule", Name("name")),
    change(Operator, "ScheduleService/BackfillSchedule", Name("name")),
    change(Operator, "ScheduleService/CreateSchedule", NewSchedule),
    change(Operator, "ScheduleService/UpdateSchedule", ScheduleAnew),
    with_reason(change(Operator, "ScheduleService/DeleteSchedule", Name("name"))),
    wide(look(Admin, "PrincipalService/ListPrincipals", Whole)),
    change(Admin, "PrincipalService/CreatePrincipal", NewPrincipal),
    change(Admin, "PrincipalService/UpdatePrincipal", People("principal.name")),
    with_reason(change(Admin, "PrincipalService/DeletePrincipal", People("name"))),
    answers_once(change(Admin, "PrincipalService/CreateToken", People("principal"))),
    wide(look(Admin, "PrincipalService/ListTokens", Whole)),
    with_reason(change(Admin, "PrincipalService/RevokeToken", People("name"))),
    wide(look(Admin, "AuditService/ListAuditEntries", Whole)),
    look(Viewer, "ConfigService/GetConfig", Whole),
    look(Viewer, "ConfigService/GetSchema", Nothing),
    look(Operator, "ConfigService/ValidateConfig", Whole),
    change(Admin, "ConfigService/ReloadConfig", Whole),
    with_reason(change(Operator, "ConfigService/ClearOverride", Name("name"))),
    look(Viewer, "DiagnosticsService/GetLogFilter", Nothing),
    change(Operator, "DiagnosticsService/SetLogFilter", Whole),
    wide(look(Admin, "DiagnosticsService/DumpState", Whole)),
    look(Viewer, "grpc.health.v1.Health/Check", Nothing),
    look(Viewer, "grpc.health.v1.Health/Watch", Nothing),
    look(Viewer, "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Nothing),
];

/// Every row.
pub fn method_rules() -> &'static [MethodRule] {
    RULES
}

/// The row of a method, by the path of its requests: `/runtime.admin.v1.QueueService/PauseQueue`.
pub fn method_rule(path: &str) -> Option<&'static MethodRule> {
    find(RULES, path)
}

/// The row of a method in a table.
pub(super) fn find(rules: &'static [MethodRule], path: &str) -> Option<&'static MethodRule> {
    let method = short(path);
    rules.iter().find(|rule| rule.method == method)
}

/// A method as the table and the audit log call it.
pub(super) fn short(path: &str) -> &str {
    let method = path.strip_prefix('/').unwrap_or(path);
    method.strip_prefix("runtime.admin.v1.").unwrap_or(method)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method of the API and of the health service, as paths.
    fn methods() -> Vec<String> {
        let sets = [runtime_proto::FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let files = sets.map(|set| FileDescriptorSet::decode(set).expect("a descriptor set").file);
        let path = |package: &str, service: &str, method: &str| format!("/{package}.{service}/{method}");
        files
            .iter()
            .flatten()
            .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)))
            .flat_map(|(package, service)| {
                service.method.iter().map(move |method| path(package, service.name(), method.name()))
            })
            .collect()
    }

    /// What is missing, and what to do about it.
    fn missing(rules: &'static [MethodRule]) -> Vec<String> {
        methods()
            .into_iter()
            .filter(|path| find(rules, path).is_none())
            .map(|path| {
                format!(
                    "{0} has no row: add look(ROLE, {0:?}, ABOUT) or change(ROLE, {0:?}, ABOUT) to RULES",
                    short(&path)
                )
            })
            .collect()
    }

    #[test]
    fn every_method_has_a_row_and_every_row_a_method() {
        assert_eq!(missing(RULES), Vec::<String>::new());
        let methods = methods();
        let known: BTreeSet<&str> = methods.iter().map(|path| short(path)).collect();
        for rule in RULES.iter().filter(|rule| !rule.method.starts_with("grpc.reflection.")) {
            assert!(known.contains(rule.method), "{} is no method", rule.method);
        }
        let rows: BTreeSet<&str> = RULES.iter().map(|rule| rule.method).collect();
        assert_eq!(rows.len(), RULES.len(), "one row a method");
    }

    #[test]
    fn a_forgotten_row_is_found_and_the_method_is_refused() {
        let forgotten = missing(&RULES[1..]);
        let said = |line: &String| line.starts_with("SystemService/GetInfo has no row: add look(ROLE, ");
        assert!(forgotten.iter().any(said), "{forgotten:?}");
        assert_eq!(find(&RULES[1..], "/runtime.admin.v1.SystemService/GetInfo"), None);
        assert_eq!(find(RULES, "/runtime.admin.v2.SystemService/GetInfo"), None);
    }

    /// The roles that the conventions give, by what a role may call besides those below it.
    const GIVEN: [(Role, &[&str]); 3] = [
        (
            Role::Viewer,
            &[
                "SystemService/GetInfo",
                "SystemService/GetCapabilities",
                "SystemService/GetOverview",
                "TreeService/GetTree",
                "TreeService/GetNode",
                "TreeService/ListRestarts",
                "WorkerService/ListWorkers",
                "WorkerService/GetWorker",
                "QueueService/ListQueues",
                "QueueService/GetQueue",
                "QueueService/GetQueueStats",
                "TaskService/ListTasks",
                "TaskService/GetTask",
                "TaskService/CountTasks",
                "DeadLetterService/ListDeadLetters",
                "DeadLetterService/CountDeadLetters",
                "ScheduleService/ListSchedules",
                "ScheduleService/GetSchedule",
                "ScheduleService/PreviewTimes",
                "EventService/WatchEvents",
                "EventService/ListEvents",
                "OperationService/GetOperation",
                "OperationService/ListOperations",
                "ConfigService/GetConfig",
                "ConfigService/GetSchema",
                "DiagnosticsService/GetLogFilter",
            ],
        ),
        (
            Role::Operator,
            &[
                "SystemService/StartDrain",
                "SystemService/StopDrain",
                "TreeService/StartNode",
                "TreeService/StopNode",
                "TreeService/RestartNode",
                "TreeService/PauseNode",
                "TreeService/ResumeNode",
                "TreeService/ResizeNode",
                "WorkerService/RunWorker",
                "QueueService/PauseQueue",
                "QueueService/ResumeQueue",
                "QueueService/UpdateQueue",
                "TaskService/EnqueueTask",
                "TaskService/RetryTask",
                "TaskService/CancelTask",
                "TaskService/RescheduleTask",
                "TaskService/ResolveTask",
                "DeadLetterService/ReplayDeadLetters",
                "DeadLetterService/DiscardDeadLetters",
                "ScheduleService/PauseSchedule",
                "ScheduleService/ResumeSchedule",
                "ScheduleService/TriggerSchedule",
                "ScheduleService/BackfillSchedule",
                "OperationService/CancelOperation",
                "ConfigService/ValidateConfig",
                "DiagnosticsService/SetLogFilter",
            ],
        ),
        (
            Role::Admin,
            &[
                "SystemService/Shutdown",
                "QueueService/PurgeQueue",
                "TaskService/DeleteTask",
                "ConfigService/ReloadConfig",
                "DiagnosticsService/DumpState",
                "PrincipalService/ListPrincipals",
                "PrincipalService/CreatePrincipal",
                "PrincipalService/UpdatePrincipal",
                "PrincipalService/DeletePrincipal",
                "PrincipalService/CreateToken",
                "PrincipalService/ListTokens",
                "PrincipalService/RevokeToken",
                "AuditService/ListAuditEntries",
            ],
        ),
    ];

    #[test]
    fn the_roles_are_those_of_the_conventions() {
        let methods = methods();
        for (role, method) in
            GIVEN.iter().flat_map(|(role, methods)| methods.iter().map(|method| (*role, *method)))
        {
            let Some(path) = methods.iter().find(|path| short(path) == method) else { continue };
            let rule = find(RULES, path).expect("a row");
            assert_eq!(rule.role, role, "{method}");
        }
    }

    /// Changes that cannot be previewed, and why.
    const WITHOUT_PREVIEW: [(&str, &str); 6] = [
        ("TaskService/EnqueueTask", "what does not fit is refused before anything is made"),
        ("ScheduleService/TriggerSchedule", "PreviewTimes shows what its task would be told"),
        ("ScheduleService/BackfillSchedule", "PreviewTimes shows the ticks of the period"),
        ("QueueService/PurgeQueue", "without force it is one"),
        ("PrincipalService/CreateToken", "a token is shown once, when it is made"),
        ("PrincipalService/RevokeToken", "it does one thing, to the one that is named"),
    ];

    /// Changes of something that was there before, without a state that could have been read: and why.
    const WITHOUT_ETAG: [(&str, &str); 15] = [
        ("SystemService/StartDrain", "drains or does not: begun twice it was begun once"),
        ("SystemService/StopDrain", "as StartDrain"),
        ("SystemService/Shutdown", "there is one end"),
        ("WorkerService/RunWorker", "changes no worker"),
        ("QueueService/PurgeQueue", "is about tasks, not about the queue"),
        ("TaskService/RetryTasks", "is about what fits a filter"),
        ("TaskService/CancelTasks", "is about what fits a filter"),
        ("DeadLetterService/ReplayDeadLetters", "is about what fits a filter"),
        ("DeadLetterService/DiscardDeadLetters", "is about what fits a filter"),
        ("ScheduleService/TriggerSchedule", "changes no schedule"),
        ("ScheduleService/BackfillSchedule", "changes no schedule"),
        ("PrincipalService/UpdatePrincipal", "the principal itself has it"),
        ("ConfigService/ReloadConfig", "the sources say what it is to be"),
        ("DiagnosticsService/SetLogFilter", "comes back by itself"),
        ("TaskService/EnqueueTask", "its key says whether it is there"),
    ];

    #[test]
    fn every_change_takes_a_request_id_and_a_reason() {
        let pool =
            prost_reflect::DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
        for rule in RULES.iter().filter(|rule| rule.changes) {
            let (_, method) = rule.method.split_once('/').expect("a service and a method");
            let name = format!("runtime.admin.v1.{method}Request");
            let request = pool.get_message_by_name(&name).expect("a request");
            let takes = |field| request.get_field_by_name(field).is_some();
            assert!(takes("request_id"), "{name} takes no request_id: add it, the layer does the rest");
            assert!(takes("reason"), "{name} takes no reason");
            let previewed = !WITHOUT_PREVIEW.iter().any(|(known, _)| *known == rule.method);
            assert_eq!(
                takes("validate_only"),
                previewed,
                "{name}: a preview, or the reason why there is none"
            );
            let is_new = method.starts_with("Create");
            let guarded = !is_new && !WITHOUT_ETAG.iter().any(|(known, _)| *known == rule.method);
            assert_eq!(takes("etag"), guarded, "{name}: an etag, or the reason why there is none");
        }
    }

    #[test]
    fn what_concerns_many_takes_turns_and_what_concerns_one_never_waits() {
        let many = ["List", "Count", "GetTree", "Dump", "Purge"];
        for rule in RULES {
            let name = rule.method.rsplit('/').next().unwrap_or_default();
            let is_bulk = rule.about == Filter("filter");
            let expected = is_bulk || many.iter().any(|many| name.starts_with(many));
            let much = match rule.method {
                "EventService/WatchEvents" => Much::When("initial_state"),
                _ if expected => Much::Always,
                _ => Much::Never,
            };
            assert_eq!(rule.looks_at_much, much, "{}", rule.method);
        }
    }

    #[test]
    fn what_looks_by_its_name_changes_nothing_and_what_changes_is_for_operators() {
        let looks =
            ["Get", "List", "Count", "Watch", "Preview", "Check", "Validate", "Dump", "ServerReflection"];
        for rule in RULES {
            let name = rule.method.rsplit('/').next().unwrap_or_default();
            assert_eq!(!rule.changes, looks.iter().any(|look| name.starts_with(look)), "{}", rule.method);
            assert!(!rule.changes || rule.role >= Role::Operator, "{}", rule.method);
        }
    }
}
