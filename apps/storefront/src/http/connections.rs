//! Connections of the shop's callers. Nobody keeps one for nothing: whoever says nothing, or says it slowly, is cut off, and when all
//! places are taken the caller that has been idle longest makes room for who comes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait after the system refused to accept, for example because no file descriptor is free.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(100);

/// How long who was asked to leave may take to do so.
const LEAVE: Duration = Duration::from_secs(1);

/// How many connections there may be, and how long one may be without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionLimits {
    /// Connections at once.
    pub(super) most: usize,
    /// How long the head of a request may take, from the connection's beginning or the end of the answer before.
    pub(super) head: Duration,
}

/// Answers requests until it is to stop; requests under way are finished.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let (seats, connections) = (Arc::new(Seats::of(limits.most)), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Whoever comes while all others are being answered is sent away by the end of the connection.
                let Some(seat) = seats.take() else { continue };
                connections.spawn(converse(stream, router.clone(), limits.head, seat, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of the shop");
                tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// One connection, to its end.
async fn converse(stream: TcpStream, router: Router, head: Duration, seat: Seat, stop: CancellationToken) {
    drop(stream.set_nodelay(true));
    let router = TowerToHyperService::new(router);
    let answer = service_fn(|request| {
        let answering = router.call(request);
        seat.busy(true);
        async {
            let answer = answering.await;
            seat.busy(false);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    let stopping = tokio::select! {
        ended = &mut connection => return told(ended),
        () = seat.leave.cancelled() => false,
        () = stop.cancelled() => true,
    };
    connection.as_mut().graceful_shutdown();
    if stopping {
        told(connection.await);
    } else if let Ok(ended) = tokio::time::timeout(LEAVE, connection).await {
        told(ended);
    }
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the shop broke");
    }
}

/// Who is connected, in the order of who has been idle longest.
struct Seats {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Counts arrivals and ends of requests: the smaller, the longer ago.
    moment: u64,
    /// By the moment of their last change.
    idle: BTreeMap<u64, CancellationToken>,
    /// Connections in all.
    taken: usize,
}

/// The place of one connection, given back when dropped.
struct Seat {
    seats: Arc<Seats>,
    leave: CancellationToken,
    /// Where it stands among the idle ones.
    since: Mutex<Option<u64>>,
}

impl Seats {
    fn of(most: usize) -> Self {
        Self { most, table: Mutex::default() }
    }

    /// A place for who comes, if need be that of the one that has been idle longest; `None` when nobody is idle.
    fn take(self: &Arc<Self>) -> Option<Seat> {
        let mut table = self.table();
        if table.taken >= self.most {
            let (_, leaves) = table.idle.pop_first()?;
            leaves.cancel();
            table.taken -= 1;
        }
        table.taken += 1;
        let leave = CancellationToken::new();
        let since = table.becomes_idle(leave.clone());
        Some(Seat { seats: Arc::clone(self), leave, since: Mutex::new(Some(since)) })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn becomes_idle(&mut self, leave: CancellationToken) -> u64 {
        self.moment += 1;
        self.idle.insert(self.moment, leave);
        self.moment
    }
}

impl Seat {
    /// A request has begun, or has been answered. Who has lost the place keeps none.
    fn busy(&self, busy: bool) {
        let (mut table, mut since) = (self.seats.table(), self.since());
        if let Some(moment) = since.take() {
            table.idle.remove(&moment);
        }
        if !busy && !self.leave.is_cancelled() {
            *since = Some(table.becomes_idle(self.leave.clone()));
        }
    }

    fn since(&self) -> MutexGuard<'_, Option<u64>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (mut table, since) = (self.seats.table(), self.since().take());
        // Whoever was asked to leave has given the place back already.
        if !self.leave.is_cancelled() {
            table.taken -= 1;
        }
        if let Some(moment) = since {
            table.idle.remove(&moment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_been_idle_longest_makes_room_and_who_is_answered_does_not() {
        let seats = Arc::new(Seats::of(2));
        let [first, second] = [(); 2].map(|()| seats.take().expect("a place"));
        first.busy(true);
        first.busy(false);
        let third = seats.take().expect("the second makes room");
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        first.busy(true);
        third.busy(true);
        assert!(seats.take().is_none(), "nobody is idle");
        drop(second);
        assert!(seats.take().is_none(), "it had given its place back");
        drop(first);
        let fourth = seats.take().expect("a place is free");
        assert_eq!(seats.table().taken, 2);
        drop((third, fourth));
        let table = seats.table();
        assert_eq!((table.taken, table.idle.len()), (0, 0));
    }
}
