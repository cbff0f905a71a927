//! One source for every kind of mailbox: the mailbox is worked by a task of its own.
//!
//! ```text
//! pump ── next ──◀── batches ──┐
//!                              ├── session task: look · take · mark · wait ── mailbox
//! pump ── finished ── marks ──▶┘
//! ```
//!
//! The pump may drop a call of `next` at any moment. A dialogue with a mail server cannot be dropped at any moment, so it
//! is not held there: `next` only receives from a channel. Dropping the source, or opening it again, ends the task.

use std::collections::VecDeque;

use async_trait::async_trait;
use runtime::core::error::TaskError;
use runtime::core::source::{Finished, Found, Source};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::unavailable;

/// A mailbox that can be opened, again and again.
pub(super) trait MailAccount: Send + 'static {
    /// The mailbox while it is open.
    type Session: MailSession;

    /// Connects.
    fn open(&mut self) -> impl Future<Output = Result<Self::Session, TaskError>> + Send;
}

/// An open mailbox. None of these calls is dropped half-way, except when all of it is closed.
pub(super) trait MailSession: Send + 'static {
    /// Looks for mails that this session has not seen yet and notes their names.
    fn look(&mut self) -> impl Future<Output = Result<(), TaskError>> + Send;

    /// Whether names are noted whose mails were not taken.
    fn has_more(&self) -> bool;

    /// Reads some of the noted mails, bounded in number and bytes. Those that vanished in between are left out.
    fn take(&mut self) -> impl Future<Output = Result<Vec<Found>, TaskError>> + Send;

    /// Rests until a look may be worth while (true), or `called` is ready (false).
    fn wait(
        &mut self,
        called: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<bool, TaskError>> + Send;

    /// Moves finished mails away. Those that are gone already are no error.
    fn mark(&mut self, finished: &[Finished]) -> impl Future<Output = Result<(), TaskError>> + Send;
}

/// Mails of one session that are taken in advance: one batch here, one in the making.
const BATCHES: usize = 1;

/// The source.
pub(super) struct MailSource<A> {
    account: A,
    open: Option<Open>,
}

/// What `MailSource` holds while it is open.
struct Open {
    /// Taken out of `batches`, not yet returned.
    ready: VecDeque<Found>,
    batches: mpsc::Receiver<Vec<Found>>,
    marks: mpsc::Sender<Mark>,
    session: AbortOnDropHandle<Result<(), TaskError>>,
}

/// The wish to mark what is finished. The reply is dropped when the session breaks first.
struct Mark {
    finished: Vec<Finished>,
    reply: oneshot::Sender<()>,
}

impl<A> MailSource<A> {
    pub(super) fn new(account: A) -> Self {
        Self { account, open: None }
    }

    fn opened(&mut self) -> Result<&mut Open, TaskError> {
        self.open.as_mut().ok_or_else(|| unavailable("the mailbox is not open"))
    }

    /// Why the session ended. Cancel-safe.
    async fn fault(&mut self) -> TaskError {
        let Some(open) = &mut self.open else { return unavailable("the mailbox is not open") };
        let ended = (&mut open.session).await;
        self.open = None;
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) => unavailable("the mailbox was closed"),
            Err(error) => unavailable(format!("the session with the mailbox broke: {error}")),
        }
    }
}

#[async_trait]
impl<A: MailAccount> Source for MailSource<A> {
    async fn open(&mut self) -> Result<(), TaskError> {
        self.open = None;
        let session = self.account.open().await?;
        let (batch_sender, batches) = mpsc::channel(BATCHES);
        let (marks, mark_receiver) = mpsc::channel(1);
        let session = AbortOnDropHandle::new(tokio::spawn(serve(session, batch_sender, mark_receiver)));
        self.open = Some(Open { ready: VecDeque::new(), batches, marks, session });
        Ok(())
    }

    async fn next(&mut self, up_to: usize) -> Result<Vec<Found>, TaskError> {
        let open = self.opened()?;
        if open.ready.is_empty() {
            match open.batches.recv().await {
                Some(batch) => open.ready.extend(batch),
                None => return Err(self.fault().await),
            }
        }
        let some = open.ready.len().min(up_to);
        Ok(open.ready.drain(..some).collect())
    }

    async fn finished(&mut self, finished: &[Finished]) -> Result<(), TaskError> {
        let (reply, marked) = oneshot::channel();
        let mark = Mark { finished: finished.to_vec(), reply };
        if self.opened()?.marks.send(mark).await.is_ok() && marked.await.is_ok() {
            return Ok(());
        }
        Err(self.fault().await)
    }
}

/// Works the mailbox until it breaks: marking goes before taking, taking before looking.
async fn serve<S: MailSession>(
    mut session: S,
    batches: mpsc::Sender<Vec<Found>>,
    mut marks: mpsc::Receiver<Mark>,
) -> Result<(), TaskError> {
    session.look().await?;
    let mut asked = None;
    while !batches.is_closed() {
        if let Some(Mark { finished, reply }) = asked.take().or_else(|| marks.try_recv().ok()) {
            session.mark(&finished).await?;
            // Whoever asked may be gone; the mails are marked all the same.
            let _ = reply.send(());
        } else if session.has_more()
            && let Ok(room) = batches.try_reserve()
        {
            let batch = session.take().await?;
            if !batch.is_empty() {
                room.send(batch);
            }
        } else {
            let has_more = session.has_more();
            let called = async {
                tokio::select! {
                    mark = marks.recv() => asked = mark,
                    _ = batches.reserve(), if has_more => {}
                    () = batches.closed() => {}
                }
            };
            if session.wait(called).await? {
                session.look().await?;
            }
        }
    }
    Ok(())
}
