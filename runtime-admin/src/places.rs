//! Who may be connected. Everybody is let in to introduce themselves, few at a time; whoever has done so gets a place.
//!
//! ```text
//! arrives ─▶ handshake ─▶ connection ─▶ gone
//!                │             └─ places run short: who has been idle longest is asked to leave
//!                └─ too many: who came first goes, those first who never said anything
//! ```
//!
//! So neither silent peers nor idle ones can use up what others need. Pure bookkeeping: what it decides is carried out by those who hold
//! a [`Place`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::{AdminLimits, LiveLimits};

/// Every peer that is connected.
pub(crate) struct Places {
    limits: LiveLimits,
    began: Instant,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last: u64,
    handshakes: BTreeMap<u64, Arc<Seat>>,
    connections: BTreeMap<u64, Arc<Seat>>,
    /// Asked to leave, and still there. Never more than there may be handshakes.
    leaving: BTreeMap<u64, Arc<Seat>>,
}

/// What is known of one peer.
#[derive(Default)]
struct Seat {
    spoke: AtomicBool,
    calls: AtomicUsize,
    /// When the last call ended, in ms since the beginning.
    idle_since: AtomicU64,
    /// It shall end in order.
    leave: CancellationToken,
    /// It shall end at once.
    cut: CancellationToken,
}

/// There is no place: nobody is idle.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Places {
    pub(crate) fn new(limits: LiveLimits) -> Arc<Self> {
        Arc::new(Self { limits, began: Instant::now(), table: Mutex::default() })
    }

    /// Somebody has connected, who may have to go soon if too many do.
    pub(crate) fn arrive(self: &Arc<Self>) -> Place {
        let seat = Arc::new(Seat::default());
        let mut table = self.table();
        table.last += 1;
        let id = table.last;
        let most = self.limits.now().handshakes;
        while table.handshakes.len() >= most {
            let silent = table.handshakes.iter().find(|(_, seat)| !seat.spoke.load(Ordering::Relaxed));
            let goes = silent.or_else(|| table.handshakes.first_key_value()).map(|(id, _)| *id);
            let Some(seat) = goes.and_then(|id| table.handshakes.remove(&id)) else { break };
            seat.cut.cancel();
        }
        table.handshakes.insert(id, seat.clone());
        drop(table);
        Place { places: self.clone(), id, seat }
    }

    /// Peers that introduce themselves, peers that have done so, and peers that are about to leave.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize, usize) {
        let table = self.table();
        (table.handshakes.len(), table.connections.len(), table.leaving.len())
    }

    /// Calls that go on, of all who have a place.
    #[cfg(test)]
    pub(crate) fn calls(&self) -> usize {
        self.table().connections.values().map(|seat| seat.calls.load(Ordering::Relaxed)).sum()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The place of one peer, given back when dropped. Clones are of the same peer.
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    seat: Arc<Seat>,
}

impl Place {
    /// The peer has said something.
    pub(crate) fn spoke(&self) {
        self.seat.spoke.store(true, Ordering::Relaxed);
    }

    /// The peer has introduced itself and stays, if need be in the place of who has been idle longest.
    ///
    /// # Errors
    /// [`Full`] when all places are taken by peers that wait for answers.
    pub(crate) fn settle(&self) -> Result<(), Full> {
        self.seat.idle_since.store(self.places.now(), Ordering::Relaxed);
        let mut table = self.places.table();
        if table.handshakes.remove(&self.id).is_none() {
            return Err(Full);
        }
        let AdminLimits { connections, handshakes, .. } = self.places.limits.now();
        while table.connections.len() >= connections {
            let idle = table.connections.iter().filter(|(_, seat)| seat.calls.load(Ordering::Relaxed) == 0);
            let longest = idle.min_by_key(|(_, seat)| seat.idle_since.load(Ordering::Relaxed));
            let id = longest.map(|(id, _)| *id).ok_or(Full)?;
            table.send_away(id, handshakes);
        }
        table.connections.insert(self.id, self.seat.clone());
        Ok(())
    }

    /// A call has begun; it lasts until what this returns is dropped.
    pub(crate) fn call(&self) -> UnderWay {
        let others = self.seat.calls.fetch_add(1, Ordering::Relaxed);
        UnderWay { places: self.places.clone(), seat: self.seat.clone(), others }
    }

    /// When it has been idle for this long.
    pub(crate) async fn idle_for(&self, limit: Duration) {
        loop {
            let idle = match self.seat.calls.load(Ordering::Relaxed) {
                0 => self.places.now().saturating_sub(self.seat.idle_since.load(Ordering::Relaxed)),
                _ => 0,
            };
            match limit.checked_sub(Duration::from_millis(idle)) {
                None | Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
            }
        }
    }

    /// When it shall end in order.
    pub(crate) async fn asked_to_leave(&self) {
        self.seat.leave.cancelled().await;
    }

    /// When it shall end at once.
    pub(crate) async fn cut(&self) {
        self.seat.cut.cancelled().await;
    }

    /// It shall end at once.
    pub(crate) fn end(&self) {
        self.seat.cut.cancel();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.handshakes.remove(&self.id);
        table.connections.remove(&self.id);
        table.leaving.remove(&self.id);
    }
}

impl Table {
    fn send_away(&mut self, id: u64, leaving_at_most: usize) {
        let Some(seat) = self.connections.remove(&id) else { return };
        seat.leave.cancel();
        self.leaving.insert(id, seat);
        while self.leaving.len() > leaving_at_most {
            if let Some((_, longest)) = self.leaving.pop_first() {
                longest.cut.cancel();
            }
        }
    }
}

/// A call that goes on.
pub(crate) struct UnderWay {
    places: Arc<Places>,
    seat: Arc<Seat>,
    /// Calls of the same peer that went on when it began.
    pub(crate) others: usize,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.seat.idle_since.store(self.places.now(), Ordering::Relaxed);
        self.seat.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(handshakes: usize, connections: usize) -> Arc<Places> {
        Places::new(LiveLimits::new(AdminLimits { handshakes, connections, ..AdminLimits::default() }))
    }

    fn is_cut(place: &Place) -> bool {
        place.seat.cut.is_cancelled()
    }

    fn leaves(place: &Place) -> bool {
        place.seat.leave.is_cancelled()
    }

    async fn later() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_who_never_spoke_makes_room_for_a_newcomer() {
        let places = places(3, 9);
        let (speaks, silent, other) = (places.arrive(), places.arrive(), places.arrive());
        speaks.spoke();
        let newcomer = places.arrive();
        assert!(is_cut(&silent));
        assert!(![&speaks, &other, &newcomer].into_iter().any(is_cut));
        assert_eq!(silent.settle(), Err(Full), "who was cut does not come back");
        assert_eq!(places.counts(), (3, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_speak_the_first_goes() {
        let places = places(2, 9);
        let (first, second) = (places.arrive(), places.arrive());
        first.spoke();
        second.spoke();
        let _newcomer = places.arrive();
        assert!(is_cut(&first) && !is_cut(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_been_idle_longest_leaves_for_who_comes() {
        let places = places(9, 3);
        let [busy, first, second] = [places.arrive(), places.arrive(), places.arrive()];
        for place in [&busy, &first, &second] {
            place.settle().expect("a place");
            later().await;
        }
        let _call = busy.call();
        drop(first.call());
        places.arrive().settle().expect("a place");
        assert!(leaves(&second) && !leaves(&first) && !leaves(&busy));
        assert_eq!(places.counts(), (0, 2, 1), "the newcomer has gone, the second is on its way");
        drop(second);
        assert_eq!(places.counts(), (0, 2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_waits_for_an_answer_has_to_leave() {
        let places = places(9, 1);
        let busy = places.arrive();
        busy.settle().expect("a place");
        let call = busy.call();
        let newcomer = places.arrive();
        assert_eq!(newcomer.settle(), Err(Full));
        drop(call);
        let newcomer = places.arrive();
        assert_eq!(newcomer.settle(), Ok(()));
        assert!(leaves(&busy));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_do_not_leave_are_cut_when_they_become_many() {
        let places = places(2, 1);
        let mut connected = Vec::new();
        for _ in 0..5 {
            let place = places.arrive();
            place.settle().expect("a place");
            connected.push(place);
            later().await;
        }
        assert_eq!(places.counts(), (0, 1, 2));
        assert_eq!(connected.iter().map(is_cut).collect::<Vec<_>>(), [true, true, false, false, false]);
        assert_eq!(connected.iter().map(leaves).collect::<Vec<_>>(), [true, true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_there_may_be_fewer_those_beyond_leave_with_the_next_who_comes() {
        let places = places(9, 3);
        let connected = [places.arrive(), places.arrive(), places.arrive()];
        for place in &connected {
            place.settle().expect("a place");
            later().await;
        }
        places.limits.set(AdminLimits { connections: 1, handshakes: 9, ..AdminLimits::default() });
        assert!(!connected.iter().any(leaves));
        let newcomer = places.arrive();
        newcomer.settle().expect("a place");
        assert!(connected.iter().all(leaves) && !leaves(&newcomer));
        assert_eq!(places.counts(), (0, 1, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_counted_from_the_end_of_the_last_call() {
        let places = places(1, 1);
        let place = places.arrive();
        place.settle().expect("a place");
        let call = place.call();
        let limit = Duration::from_secs(5);
        assert!(tokio::time::timeout(limit * 3, place.idle_for(limit)).await.is_err(), "a call goes on");
        drop(call);
        let since = Instant::now();
        place.idle_for(limit).await;
        assert!(since.elapsed() >= limit, "{:?}", since.elapsed());
    }
}
