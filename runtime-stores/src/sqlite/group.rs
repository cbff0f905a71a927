//! Group commit: one thread takes everything that waits, runs it in one transaction, commits once, then answers everybody.
//!
//! ```text
//! callers ─▶ channel ─▶ BEGIN · member · member · … · COMMIT ─▶ wake queues ─▶ answer each caller
//! ```
//!
//! Nobody waits for a timer: whoever comes while a commit is under way rides in the next one. Those whom the last commit answered often
//! come back at once, so the writer goes on looking as long as they do; a lone caller waits for nobody. When a group fails, for a reason that may
//! lie in one member, its members are run again one by one, so that the culprit alone is refused.
//!
//! A group that only grants or extends leases does not wait for the disk. What a power cut may take away is then the leases since the
//! last commit that did, and whoever held them went with the power; a crash of the process takes nothing.

use runtime_core::store::StoreError;
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::writer::Writer;

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
    /// Whether there is room again. No member of a group: if there is none, nobody else is refused for it.
    LookForRoom(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<()>),
}

/// Works until closed, or until nobody is left who could ask.
pub(super) fn serve(
    writer: &mut Writer<'_>,
    inbox: &mut mpsc::Receiver<ToWriter>,
) -> Option<oneshot::Sender<()>> {
    let mut group: Vec<Box<dyn Member>> = Vec::new();
    let mut answered = 0;
    loop {
        let mut closing = None;
        let mut next = Some(match look(inbox, LOOKS_BEFORE_SLEEP) {
            Some(message) => message,
            None => inbox.blocking_recv()?,
        });
        while let Some(message) = next.take() {
            match message {
                ToWriter::Member(member) => group.push(member),
                ToWriter::LookForRoom(reply) => drop(reply.send(writer.look_for_room())),
                ToWriter::Close(done) => closing = Some(done),
            }
            if group.len() < MAX_GROUP && closing.is_none() {
                next = look(inbox, if group.len() < answered { LOOKS_FOR_MORE } else { 0 });
            }
        }
        answered = group.len();
        commit(writer, &mut group);
        if closing.is_some() {
            inbox.close();
            while let Ok(message) = inbox.try_recv() {
                match message {
                    ToWriter::Member(member) => member.answer(Some(StoreError::Closed)),
                    ToWriter::LookForRoom(reply) => drop(reply.send(Err(StoreError::Closed))),
                    ToWriter::Close(done) => drop(done.send(())),
                }
            }
            return closing;
        }
    }
}

/// The next call, if it is there, or comes within so many looks.
fn look(inbox: &mut mpsc::Receiver<ToWriter>, looks: u32) -> Option<ToWriter> {
    for _ in 0..looks {
        if let Ok(message) = inbox.try_recv() {
            return Some(message);
        }
        std::thread::yield_now();
    }
    inbox.try_recv().ok()
}

fn commit(writer: &mut Writer<'_>, group: &mut Vec<Box<dyn Member>>) {
    if group.is_empty() {
        return;
    }
    match attempt(writer, group) {
        Ok(()) => group.drain(..).for_each(|member| member.answer(None)),
        Err(fault) if group.len() > 1 && !fault.concerns_all() => {
            tracing::warn!(error = %fault.0, members = group.len(), "a group failed, its members are run one by one");
            for mut member in group.drain(..) {
                let failed = attempt(writer, std::slice::from_mut(&mut member)).err();
                member.answer(failed.map(StoreError::from));
            }
        }
        Err(fault) => {
            tracing::warn!(error = %fault.0, members = group.len(), "nothing of the group was written");
            group.drain(..).for_each(|member| member.answer(Some(fault.0.clone())));
        }
    }
}

fn attempt(writer: &mut Writer<'_>, group: &mut [Box<dyn Member>]) -> Result<(), Fault> {
    let needs_disk = group.iter().any(|member| member.needs_disk());
    let done = writer.begin(needs_disk).and_then(|()| {
        group.iter_mut().try_for_each(|member| member.run(writer))?;
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
