//! The registry: which nodes the tree has, and in which order they start.
//!
//! ```text
//! /                              one_for_one
//! ├─ engine                      rest_for_one
//! │   ├─ store
//! │   ├─ completion
//! │   ├─ templates
//! │   ├─ events
//! │   └─ apps                    one_for_one
//! │       └─ <app>               rest_for_one: health, then workers, then sources; stopped the other way round
//! └─ control                     one_for_one: its crashes never touch the engine
//!     ├─ status
//!     ├─ schedules
//!     ├─ operations
//!     ├─ commands
//!     └─ admin                   started last
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::event::EventSubscriber;
use runtime_core::flow::BreakerPolicy;
use runtime_core::handler::Handler;
use runtime_core::name::{AppName, DependencyName};
use runtime_core::node::{NodeKind, NodePath};
use runtime_core::rebuild::Rebuild;
use runtime_core::schedule::ScheduleSpec;
use runtime_core::supervision::{ChildSpec, RestartBudget, Strategy, SupervisorSpec};
use runtime_core::worker::WorkerDescriptor;

use crate::attempt::WorkerRun;
use crate::commands::{ActorCommandProcessor, Doors};
use crate::completion::CompletionActor;
use crate::events::DomainEventActor;
use crate::executor::{ExecutorMsg, TaskExecutorActor};
use crate::health::{HealthPlan, HealthReporter};
use crate::metrics::WorkerMeter;
use crate::operations::{OperationActor, OperationMsg};
use crate::platform::Platform;
use crate::schedules::{ScheduleActor, ScheduleMsg};
use crate::server::{EndpointPlan, Place, Serve, ServerActor};
use crate::services::breakers::Breakers;
use crate::services::events::DomainEventService;
use crate::services::operator_run::RunTarget;
use crate::services::status::{Identity, Serving, WorkerStatusService, app_path};
use crate::source_pump::{SourcePlan, SourcePump};
use crate::status::WorkerStatusActor;
use crate::store_keeper::StoreActor;
use crate::supervisor::{ChildPlan, StopOrder, Supervisor};
use crate::table::NodeAddress;
use crate::templates::TemplateCacheActor;

/// A worker: what it is, and the code it runs.
#[derive(Clone)]
pub struct WorkerPlan {
    /// What it is.
    pub descriptor: Arc<WorkerDescriptor>,
    /// The code.
    pub handler: Arc<dyn Handler>,
    /// How its projection is made again.
    pub rebuild: Option<Arc<dyn Rebuild>>,
}

/// An app: what its modules registered.
#[derive(Clone)]
pub struct AppPlan {
    /// Its name.
    pub name: AppName,
    /// Its workers.
    pub workers: Vec<WorkerPlan>,
    /// Its sources.
    pub sources: Vec<SourcePlan>,
    /// Its endpoints: sources that the outside calls.
    pub endpoints: Vec<EndpointPlan>,
    /// Its schedules.
    pub schedules: Vec<ScheduleSpec>,
    /// Its health reporters.
    pub health: Vec<HealthPlan>,
    /// Who hears of its facts.
    pub subscribers: Vec<Arc<dyn EventSubscriber>>,
    /// How the breakers of what its workers depend on behave; a dependency that is not here has the default policy.
    pub dependencies: BTreeMap<DependencyName, BreakerPolicy>,
}

/// What the tree is built from.
pub(crate) struct Registry {
    pub(crate) platform: Arc<Platform>,
    pub(crate) apps: Vec<AppPlan>,
    pub(crate) admin: Option<Serve>,
    pub(crate) identity: Identity,
}

/// How much longer than the grace of attempts a worker may take to stop, and a supervisor than its children.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// How much longer than its children a supervisor may take to start: room for their restarts.
const START_MARGIN: Duration = Duration::from_mins(1);

impl Registry {
    /// The root, with everything under it declared in the table.
    pub(crate) fn build(self) -> ChildPlan {
        let root = NodePath::root();
        self.declare(&root, NodeKind::Supervisor);
        let events = Arc::new(DomainEventService::new(
            self.platform.store.clone(),
            self.apps.iter().flat_map(|app| app.subscribers.iter().cloned()).collect(),
        ));
        let mut breakers = Vec::new();
        let engine = self.engine(&root.child("engine"), &events, &mut breakers);
        let control = self.control(&root.child("control"), events, breakers);
        (self.branch(&root, Strategy::OneForOne, StopOrder::RightToLeft, vec![engine, control]).plan)()
    }

    fn engine(
        &self,
        path: &NodePath,
        events: &Arc<DomainEventService>,
        breakers: &mut Vec<Arc<Breakers>>,
    ) -> Make {
        self.declare(path, NodeKind::Supervisor);
        let platform = &self.platform;
        // Completion knows the address of events, which starts after it: rows are declared in start order first.
        for (name, kind) in [
            ("store", NodeKind::Store),
            ("completion", NodeKind::Completion),
            ("templates", NodeKind::Templates),
            ("events", NodeKind::Events),
        ] {
            self.declare(&path.child(name), kind);
        }
        let store = self.child(&path.child("store"), NodeKind::Store, {
            let platform = platform.clone();
            move || StoreActor::new(platform.clone())
        });
        let completion = self.child(&path.child("completion"), NodeKind::Completion, {
            let (platform, events) =
                (platform.clone(), self.address(&path.child("events"), NodeKind::Events));
            move || CompletionActor::new(platform.clone(), events.clone())
        });
        let templates = self.child(&path.child("templates"), NodeKind::Templates, {
            let registered =
                self.apps.iter().flat_map(|app| &app.workers).map(|worker| worker.descriptor.clone());
            let (platform, registered) = (platform.clone(), Arc::new(registered.collect::<Vec<_>>()));
            move || TemplateCacheActor::new(platform.clone(), registered.clone())
        });
        let events = self.child(&path.child("events"), NodeKind::Events, {
            let (platform, events) = (platform.clone(), events.clone());
            move || DomainEventActor::new(platform.clone(), events.clone())
        });
        let apps = self.apps(&path.child("apps"), breakers);
        let children = vec![store, completion, templates, events, apps];
        self.branch(path, Strategy::RestForOne, StopOrder::RightToLeft, children)
    }

    fn apps(&self, path: &NodePath, breakers: &mut Vec<Arc<Breakers>>) -> Make {
        self.declare(path, NodeKind::Supervisor);
        let apps = self.apps.iter().map(|app| self.app(app, breakers)).collect();
        self.branch(path, Strategy::OneForOne, StopOrder::Together, apps)
    }

    fn app(&self, app: &AppPlan, all_breakers: &mut Vec<Arc<Breakers>>) -> Make {
        let path = app_path(&app.name);
        self.declare(&path, NodeKind::Supervisor);
        let mut groups = Vec::new();
        if !app.health.is_empty() {
            groups
                .push(self.group(&path.child("health"), &app.health, |path, plan| self.reporter(path, plan)));
        }
        if !app.workers.is_empty() {
            let group = path.child("workers");
            // Breakers know the addresses of the workers that they hold back: rows are declared in start order first.
            self.declare(&group, NodeKind::Supervisor);
            for plan in &app.workers {
                self.declare(&group.child(plan.descriptor.name.as_str()), NodeKind::Executor);
            }
            let breakers =
                Breakers::of(app, self.platform.clock.clone(), self.platform.journal.clone(), |plan| {
                    self.address(&group.child(plan.descriptor.name.as_str()), NodeKind::Executor)
                });
            groups.push(self.group(&group, &app.workers, |path, plan| self.worker(path, plan, &breakers)));
            all_breakers.push(breakers);
        }
        if !app.sources.is_empty() || !app.endpoints.is_empty() {
            groups.push(self.sources(&path.child("sources"), app));
        }
        self.branch(&path, Strategy::RestForOne, StopOrder::RightToLeft, groups)
    }

    fn group<P>(&self, path: &NodePath, plans: &[P], make: impl Fn(&NodePath, &P) -> Make) -> Make {
        self.declare(path, NodeKind::Supervisor);
        let members = plans.iter().map(|plan| make(path, plan)).collect();
        self.branch(path, Strategy::OneForOne, StopOrder::Together, members)
    }

    fn sources(&self, path: &NodePath, app: &AppPlan) -> Make {
        self.declare(path, NodeKind::Supervisor);
        let sources = app.sources.iter().map(|plan| self.source(path, plan));
        let endpoints = app.endpoints.iter().map(|plan| self.endpoint(path, plan));
        let members = sources.chain(endpoints).collect();
        self.branch(path, Strategy::OneForOne, StopOrder::Together, members)
    }

    fn reporter(&self, group: &NodePath, plan: &HealthPlan) -> Make {
        let (platform, plan) = (self.platform.clone(), plan.clone());
        self.child(&group.child(&plan.name), NodeKind::Health, move || {
            HealthReporter::new(platform.clone(), plan.clone())
        })
    }

    fn worker(&self, group: &NodePath, plan: &WorkerPlan, breakers: &Arc<Breakers>) -> Make {
        let path = group.child(plan.descriptor.name.as_str());
        let executor: NodeAddress<ExecutorMsg> = self.address(&path, NodeKind::Executor);
        executor.entry().takes_from(&plan.descriptor.route.queue);
        if let Some(instruments) = &self.platform.instruments {
            executor.entry().meter.get_or_init(|| WorkerMeter::new(instruments.clone(), &plan.descriptor));
        }
        let run = Arc::new(WorkerRun {
            platform: self.platform.clone(),
            descriptor: plan.descriptor.clone(),
            handler: plan.handler.clone(),
            breakers: breakers.clone(),
            executor,
        });
        let spec = ChildSpec {
            stop_within: self.platform.timing.grace + STOP_MARGIN,
            ..ChildSpec::new(path.name())
        };
        self.child_with(spec, &path, NodeKind::Executor, move || {
            TaskExecutorActor::new(run.clone(), run.current().slots)
        })
    }

    fn source(&self, group: &NodePath, plan: &SourcePlan) -> Make {
        let (platform, plan) = (self.platform.clone(), plan.clone());
        self.child(&group.child(plan.name.as_str()), NodeKind::Source, move || {
            SourcePump::new(platform.clone(), plan.clone())
        })
    }

    fn endpoint(&self, group: &NodePath, plan: &EndpointPlan) -> Make {
        let serve = (plan.build)(self.platform.store.clone());
        self.child(&group.child(plan.name.as_str()), NodeKind::Endpoint, move || {
            ServerActor::new(serve.clone(), Place::OwnThread)
        })
    }

    fn control(
        &self,
        path: &NodePath,
        events: Arc<DomainEventService>,
        breakers: Vec<Arc<Breakers>>,
    ) -> Make {
        self.declare(path, NodeKind::Supervisor);
        let mut children = vec![
            self.status(&path.child("status"), events, breakers),
            self.schedules(&path.child("schedules")),
            self.operations(&path.child("operations")),
            self.commands(&path.child("commands"), path),
        ];
        if let Some(serve) = self.admin.clone() {
            children.push(self.child(&path.child("admin"), NodeKind::Admin, move || {
                ServerActor::new(serve.clone(), Place::Tree)
            }));
        }
        self.branch(path, Strategy::OneForOne, StopOrder::RightToLeft, children)
    }

    fn status(&self, path: &NodePath, events: Arc<DomainEventService>, breakers: Vec<Arc<Breakers>>) -> Make {
        let serving =
            |(path, worker): (NodePath, &WorkerPlan)| Serving { path, worker: worker.descriptor.clone() };
        let serving = self.workers().map(serving).collect();
        let service = WorkerStatusService::new(self.platform.clone(), self.identity.clone(), events, serving);
        let service = Arc::new(service.with_breakers(breakers));
        let platform = self.platform.clone();
        self.child(path, NodeKind::Status, move || WorkerStatusActor::new(platform.clone(), service.clone()))
    }

    fn schedules(&self, path: &NodePath) -> Make {
        let declared = Arc::new(self.apps.iter().flat_map(|app| app.schedules.clone()).collect::<Vec<_>>());
        let platform = self.platform.clone();
        self.child(path, NodeKind::Schedules, move || ScheduleActor::new(platform.clone(), declared.clone()))
    }

    fn operations(&self, path: &NodePath) -> Make {
        let platform = self.platform.clone();
        self.child(path, NodeKind::Operations, move || OperationActor::new(platform.clone()))
    }

    fn commands(&self, path: &NodePath, control: &NodePath) -> Make {
        let engine = NodePath::root().child("engine");
        let doors = Doors {
            status: self.address(&control.child("status"), NodeKind::Status),
            templates: self.address(&engine.child("templates"), NodeKind::Templates),
            completion: self.address(&engine.child("completion"), NodeKind::Completion),
            schedules: self.address::<ScheduleMsg>(&control.child("schedules"), NodeKind::Schedules),
            operations: self.address::<OperationMsg>(&control.child("operations"), NodeKind::Operations),
            targets: Arc::new(
                self.workers()
                    .map(|(path, plan)| RunTarget {
                        descriptor: plan.descriptor.clone(),
                        path,
                        rebuild: plan.rebuild.clone(),
                    })
                    .collect(),
            ),
        };
        let platform = self.platform.clone();
        self.child(path, NodeKind::Commands, move || {
            ActorCommandProcessor::new(platform.clone(), doors.clone())
        })
    }

    /// All workers with their paths.
    fn workers(&self) -> impl Iterator<Item = (NodePath, &WorkerPlan)> {
        self.apps.iter().flat_map(|app| {
            let group = app_path(&app.name).child("workers");
            app.workers.iter().map(move |plan| (group.child(plan.descriptor.name.as_str()), plan))
        })
    }

    fn declare(&self, path: &NodePath, kind: NodeKind) {
        self.platform.table.declare(path.clone(), kind);
    }

    fn address<M>(&self, path: &NodePath, kind: NodeKind) -> NodeAddress<M> {
        NodeAddress::of(self.platform.table.declare(path.clone(), kind))
    }

    fn child<A: crate::node::NodeActor>(
        &self,
        path: &NodePath,
        kind: NodeKind,
        build: impl Fn() -> A + Send + Sync + 'static,
    ) -> Make {
        self.child_with(ChildSpec::new(path.name()), path, kind, build)
    }

    fn child_with<A: crate::node::NodeActor>(
        &self,
        spec: ChildSpec,
        path: &NodePath,
        kind: NodeKind,
        build: impl Fn() -> A + Send + Sync + 'static,
    ) -> Make {
        let entry = self.platform.table.declare(path.clone(), kind);
        let build = Arc::new(build);
        let plan = {
            let spec = spec.clone();
            move || {
                let build = build.clone();
                ChildPlan::new(spec.clone(), entry.clone(), move || build())
            }
        };
        Make { spec, plan: Arc::new(plan) }
    }

    /// A supervisor over these children, as a child itself.
    fn branch(&self, path: &NodePath, strategy: Strategy, stop: StopOrder, children: Vec<Make>) -> Make {
        let entry = self.platform.table.declare(path.clone(), NodeKind::Supervisor);
        let spec = supervisor_child(path, stop, &children);
        let path = path.to_string();
        let plan = {
            let spec = spec.clone();
            move || {
                let (path, children) = (path.clone(), children.clone());
                ChildPlan::new(spec.clone(), entry.clone(), move || {
                    let spec = SupervisorSpec {
                        path: path.clone(),
                        strategy,
                        budget: RestartBudget::default(),
                        children: Vec::new(),
                    };
                    Supervisor::new(spec, stop, children.iter().map(|child| (child.plan)()).collect())
                })
            }
        };
        Make { spec, plan: Arc::new(plan) }
    }
}

/// A child, made anew for every incarnation of its supervisor.
#[derive(Clone)]
struct Make {
    spec: ChildSpec,
    plan: Arc<dyn Fn() -> ChildPlan + Send + Sync>,
}

/// A supervisor gets the time that its children may take in all.
fn supervisor_child(path: &NodePath, stop: StopOrder, children: &[Make]) -> ChildSpec {
    let init: Duration = children.iter().map(|child| child.spec.init_within).sum();
    let stops = children.iter().map(|child| child.spec.stop_within + child.spec.kill_within);
    let stop = match stop {
        StopOrder::RightToLeft => stops.sum(),
        StopOrder::Together => stops.max().unwrap_or_default(),
    };
    let name = if path.is_root() { "root" } else { path.name() };
    ChildSpec { init_within: init + START_MARGIN, stop_within: stop + STOP_MARGIN, ..ChildSpec::new(name) }
}
