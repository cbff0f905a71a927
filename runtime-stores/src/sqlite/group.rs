//! Group commit: one thread takes everything that waits, runs it in one transaction, commits once, then answers everybody.
//!
//! ```text
//! operators ─▶ lane ─┐
//! callers ─▶ channel ┴▶ BEGIN · member · member · … · COMMIT ─▶ wake queues ─▶ answer each caller
//! ```
//!
//! Nobody waits for a timer: whoever comes while a commit is under way rides in the next one. Those whom the last commit answered often
//! come back at once, so the writer goes on looking as long as they do; a lone caller waits for nobody. When a group fails, for a reason that may
//! lie in one member, its members are run again one by one, so that the culprit alone is refused.
//!
//! What operators command does not wait behind what workers settle: it has a lane of its own. Whoever stands there when a group begins is
//! written at once, alone, but never twice in a row, so that work goes on; whoever comes while a group is at work is written with it.
//!
//! A group that only grants or extends leases does not wait for the disk. What a power cut may take away is then the leases since the
//! last commit that did, and whoever held them went with the power; a crash of the process takes nothing.

use runtime_core::store::StoreError;
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::writer::Writer;

/// Calls that may wait for the writer before callers wait to ask.
const CALLS: usize = 4_096;

/// Commands of operators that may, besides.
const COMMANDS: usize = 256;

/// Most calls of one group. Bounds how long the first waits for the last.
const MAX_GROUP: usize = 1024;

/// How often the writer looks into an empty inbox before it sleeps, letting others run in between: some ten microseconds where nobody else
/// wants to. Waking a thread takes longer than a small commit.
const LOOKS_BEFORE_SLEEP: u32 = 64;

/// How often it looks in vain for those whom it has just answered.
const LOOKS_FOR_MORE: u32 = 8;

/// One call on its way through the writer.
pub(super) trait Member: Send {
    /// Does the work within the open transaction. May be called again after the transaction was undone.
    fn run(&mut self, writer: &mut Writer<'_>) -> Result<(), Fault>;

    /// Whether what it writes must be on disk before the caller hears of it.
    fn needs_disk(&self) -> bool;

    /// Tells the caller, who may be gone.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

type Run<Q, A> = fn(&mut Writer<'_>, &Q) -> Result<A, Fault>;

/// A question, how it is worked on, and where the answer goes. The question goes back with it: freeing it is the asker's work.
pub(super) struct Ask<Q, A> {
    question: Q,
    run: Run<Q, A>,
    needs_disk: bool,
    answer: Option<A>,
    reply: oneshot::Sender<(Result<A, StoreError>, Q)>,
}

pub(super) type Answer<Q, A> = oneshot::Receiver<(Result<A, StoreError>, Q)>;

impl<Q, A> Ask<Q, A> {
    pub(super) fn new(question: Q, needs_disk: bool, run: Run<Q, A>) -> (Box<Self>, Answer<Q, A>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { question, run, needs_disk, answer: None, reply }), answer)
    }
}

impl<Q: Send, A: Send> Member for Ask<Q, A> {
    fn run(&mut self, writer: &mut Writer<'_>) -> Result<(), Fault> {
        self.answer = Some((self.run)(writer, &self.question)?);
        Ok(())
    }

    fn needs_disk(&self) -> bool {
        self.needs_disk
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let Self { question, answer, reply, .. } = *self;
        let result = match (failed, answer) {
            (None, Some(answer)) => Ok(answer),
            (Some(error), _) => Err(error),
            (None, None) => Err(StoreError::Closed),
        };
        drop(reply.send((result, question)));
    }
}

/// What reaches the writer.
pub(super) enum ToWriter {
    Member(Box<dyn Member>),
    /// Somebody stands in the operators' lane.
    Command,
    /// Whether there is room again. No member of a group: if there is none, nobody else is refused for it.
    LookForRoom(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<()>),
}

/// The way to the writer.
pub(super) struct Callers {
    calls: mpsc::Sender<ToWriter>,
    commands: mpsc::Sender<Box<dyn Member>>,
}

impl Callers {
    pub(super) async fn call(&self, call: ToWriter) -> Result<(), StoreError> {
        self.calls.send(call).await.map_err(|_| StoreError::Closed)
    }

    /// The same for an operator, who goes first.
    pub(super) async fn command(&self, command: Box<dyn Member>) -> Result<(), StoreError> {
        self.commands.send(command).await.map_err(|_| StoreError::Closed)?;
        // Where there is no room for this, the writer does not sleep, and looks into the lane before it would.
        drop(self.calls.try_send(ToWriter::Command));
        Ok(())
    }
}

/// Where the writer finds what reaches it.
pub(super) struct Inbox {
    calls: mpsc::Receiver<ToWriter>,
    commands: mpsc::Receiver<Box<dyn Member>>,
}

/// A way to a writer, and its end.
pub(super) fn way() -> (Callers, Inbox) {
    let (to_calls, calls) = mpsc::channel(CALLS);
    let (to_commands, commands) = mpsc::channel(COMMANDS);
    (Callers { calls: to_calls, commands: to_commands }, Inbox { calls, commands })
}

impl Inbox {
    /// Whoever stands in the operators' lane joins the group. Whether there was anybody.
    fn take_commands(&mut self, group: &mut Vec<Box<dyn Member>>) -> bool {
        let before = group.len();
        group.extend(std::iter::from_fn(|| self.commands.try_recv().ok()));
        group.len() > before
    }

    /// The next call, if it is there, or comes within so many looks.
    fn look(&mut self, looks: u32) -> Option<ToWriter> {
        for _ in 0..looks {
            if let Ok(message) = self.calls.try_recv() {
                return Some(message);
            }
            std::thread::yield_now();
        }
        self.calls.try_recv().ok()
    }

    /// Nobody comes in any more, and who waits is told so.
    fn close(&mut self) {
        self.calls.close();
        self.commands.close();
        while let Ok(message) = self.calls.try_recv() {
            match message {
                ToWriter::Member(member) => member.answer(Some(StoreError::Closed)),
                ToWriter::Command => {}
                ToWriter::LookForRoom(reply) => drop(reply.send(Err(StoreError::Closed))),
                ToWriter::Close(done) => drop(done.send(())),
            }
        }
        let mut left = Vec::new();
        self.take_commands(&mut left);
        left.into_iter().for_each(|command| command.answer(Some(StoreError::Closed)));
    }
}

/// Works until closed, or until nobody is left who could ask.
pub(super) fn serve(writer: &mut Writer<'_>, inbox: &mut Inbox) -> Option<oneshot::Sender<()>> {
    let mut group: Vec<Box<dyn Member>> = Vec::new();
    let (mut answered, mut operated) = (0, false);
    loop {
        operated = !operated && inbox.take_commands(&mut group);
        if operated {
            commit(writer, &mut group, inbox);
            continue;
        }
        let mut closing = None;
        let mut next = Some(match inbox.look(LOOKS_BEFORE_SLEEP) {
            Some(message) => message,
            None => inbox.calls.blocking_recv()?,
        });
        while let Some(message) = next.take() {
            match message {
                ToWriter::Member(member) => group.push(member),
                ToWriter::Command => drop(inbox.take_commands(&mut group)),
                ToWriter::LookForRoom(reply) => drop(reply.send(writer.look_for_room())),
                ToWriter::Close(done) => {
                    inbox.take_commands(&mut group);
                    closing = Some(done);
                }
            }
            if group.len() < MAX_GROUP && closing.is_none() {
                next = inbox.look(if group.len() < answered { LOOKS_FOR_MORE } else { 0 });
            }
        }
        answered = group.len();
        commit(writer, &mut group, inbox);
        if closing.is_some() {
            inbox.close();
            return closing;
        }
    }
}

fn commit(writer: &mut Writer<'_>, group: &mut Vec<Box<dyn Member>>, inbox: &mut Inbox) {
    if group.is_empty() {
        return;
    }
    match attempt(writer, group, Some(inbox)) {
        Ok(()) => group.drain(..).for_each(|member| member.answer(None)),
        Err(fault) if group.len() > 1 && !fault.concerns_all() => {
            tracing::warn!(error = %fault.0, members = group.len(), "a group failed, its members are run one by one");
            for member in group.drain(..) {
                let mut alone = vec![member];
                let failed = attempt(writer, &mut alone, None).err();
                alone.into_iter().for_each(|member| member.answer(failed.clone().map(StoreError::from)));
            }
        }
        Err(fault) => {
            tracing::warn!(error = %fault.0, members = group.len(), "nothing of the group was written");
            group.drain(..).for_each(|member| member.answer(Some(fault.0.clone())));
        }
    }
}

/// Writes a group, and with it what operators command meanwhile, where the commit waits for the disk anyway.
fn attempt(
    writer: &mut Writer<'_>,
    group: &mut Vec<Box<dyn Member>>,
    inbox: Option<&mut Inbox>,
) -> Result<(), Fault> {
    let needs_disk = group.iter().any(|member| member.needs_disk());
    let done = writer.begin(needs_disk).and_then(|()| {
        group.iter_mut().try_for_each(|member| member.run(writer))?;
        let before = group.len();
        if let Some(inbox) = inbox.filter(|_| needs_disk) {
            inbox.take_commands(group);
        }
        group[before..].iter_mut().try_for_each(|member| member.run(writer))?;
        writer.commit()
    });
    if let Err(fault) = &done {
        writer.roll_back();
        if fault.0 == StoreError::Full {
            writer.note_full();
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use futures_util::FutureExt;
    use runtime_core::name::{InstanceName, Route};
    use runtime_core::node::{DesiredState, NodePath};
    use runtime_core::store::{AppRows, AppWrite, DesiredStates, TaskStore};
    use runtime_core::task::NewTask;

    use super::*;
    use crate::SystemClock;
    use crate::sqlite::{SqliteOptions, SqliteStore};

    const PATIENCE: Duration = Duration::from_secs(30);

    fn store(folder: &tempfile::TempDir) -> SqliteStore {
        let instance = InstanceName::new("one").expect("a name");
        let mut options = SqliteOptions::new(folder.path().join("store.db"), instance, Arc::new(SystemClock));
        options.app_write_deadline = 2 * PATIENCE;
        SqliteStore::open(options).expect("a store")
    }

    fn task() -> NewTask {
        let [app, queue, handler] = ["shop", "mail", "send"];
        let route = Route {
            app: app.parse().expect("a name"),
            queue: queue.parse().expect("a name"),
            handler: handler.parse().expect("a name"),
        };
        NewTask::new(Arc::new(route), b"1".to_vec())
    }

    /// What a write stands before, for as long as anybody has patience.
    #[derive(Clone, Default)]
    struct Gate {
        reached: Arc<AtomicBool>,
        open: Arc<(Mutex<bool>, Condvar)>,
    }

    impl Gate {
        fn write(&self) -> AppWrite {
            let gate = self.clone();
            AppWrite::new(move |_| {
                gate.reached.store(true, Ordering::Relaxed);
                let (is_open, opened) = &*gate.open;
                let closed = is_open.lock().expect("no panic while held");
                drop(opened.wait_timeout_while(closed, 2 * PATIENCE, |is_open| !*is_open));
                Ok(())
            })
        }

        fn open(&self) {
            let (is_open, opened) = &*self.open;
            *is_open.lock().expect("no panic while held") = true;
            opened.notify_all();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_command_does_not_wait_for_a_group_that_came_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let (first, second) = (Gate::default(), Gate::default());
        let path: NodePath = "/engine/apps/shop".parse().expect("a path");
        let mut under_way = Box::pin(store.write_app(first.write()));
        assert!(under_way.as_mut().now_or_never().is_none());
        while !first.reached.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        // Both of these come while the writer is at work, and before the command.
        let mut next = Box::pin(store.write_app(second.write()));
        let mut with_it = Box::pin(store.enqueue(vec![task()]));
        assert!(next.as_mut().now_or_never().is_none() && with_it.as_mut().now_or_never().is_none());
        let mut command = Box::pin(store.set_desired(vec![path], DesiredState::Paused));
        assert!(command.as_mut().now_or_never().is_none());
        first.open();
        tokio::time::timeout(PATIENCE, command).await.expect("it waits for nobody").expect("written");
        under_way.await.expect("written");
        // Control: what took the ordinary way is in the group that is held up.
        assert!(with_it.as_mut().now_or_never().is_none());
        second.open();
        next.await.expect("written");
        with_it.await.expect("written");
    }

    /// A command that is given again as soon as it was answered.
    struct Again {
        store: SqliteStore,
        enough: Arc<AtomicBool>,
    }

    impl Again {
        fn give(self) {
            let store = self.store.clone();
            let callers = store.writer().expect("open");
            drop(callers.commands.try_send(Box::new(self)));
            drop(callers.calls.try_send(ToWriter::Command));
        }
    }

    impl Member for Again {
        fn run(&mut self, _: &mut Writer<'_>) -> Result<(), Fault> {
            Ok(())
        }

        fn needs_disk(&self) -> bool {
            true
        }

        fn answer(self: Box<Self>, _: Option<StoreError>) {
            if !self.enough.load(Ordering::Relaxed) {
                self.give();
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn commands_without_end_keep_no_work_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder);
        let enough = Arc::new(AtomicBool::new(false));
        Again { store: store.clone(), enough: enough.clone() }.give();
        for _ in 0..10 {
            let enqueued = tokio::time::timeout(PATIENCE, store.enqueue(vec![task()])).await;
            enqueued.expect("it does not wait for ever").expect("written");
        }
        enough.store(true, Ordering::Relaxed);
        // The writer must not be the one who drops the store.
        while Arc::strong_count(&store.0) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
