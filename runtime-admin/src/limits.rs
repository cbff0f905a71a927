//! The limits of an admin server, which may be changed while it serves: whoever is bound by one looks at it when it matters.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::flow::RateLimit;
use tokio::sync::watch;

/// How much of everything there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminLimits {
    /// Most connections at once. When one more comes, the one that has been idle longest leaves.
    pub connections: usize,
    /// Most peers at once that have not introduced themselves. When one more comes, the first of them goes.
    pub handshakes: usize,
    /// How long a peer may take to introduce itself: TLS, and the first words of HTTP/2.
    pub handshake: Duration,
    /// How long a connection may be without a call.
    pub idle: Duration,
    /// How old a connection may become; what goes on over it may end.
    pub age: Duration,
    /// Most streams at once of one connection; more wait. Of connections that begin from now on.
    pub streams: u32,
    /// Most calls at once, streams included. More are answered with `RESOURCE_EXHAUSTED`, unless they are the only one of their connection.
    pub calls: usize,
    /// Most of them that one principal may have. More are answered with `RESOURCE_EXHAUSTED`. Nobody is limited where nobody is asked who they
    /// are.
    pub calls_of_each: usize,
    /// Most bytes of requests that are held at once, beyond the first 32 KiB of each.
    pub request_bytes: usize,
    /// Most looks at much at once (lists, counts, whole trees, previews); more wait for their turn.
    pub looks: usize,
    /// Most of them that one principal may have under way and waiting. More are answered with `RESOURCE_EXHAUSTED`.
    pub looks_of_each: usize,
    /// How often one principal may call; `None` as often as it likes. Nobody is limited where nobody is asked who they are.
    pub rate_per_principal: Option<RateLimit>,
    /// How many denials of one peer or principal are written into the audit log; the others are counted.
    pub denials_of_each: RateLimit,
    /// How many denials of all of them are.
    pub denials_of_all: RateLimit,
}

impl Default for AdminLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshakes: 256,
            handshake: Duration::from_secs(5),
            idle: Duration::from_mins(5),
            age: Duration::from_hours(1),
            streams: 100,
            calls: 1024,
            calls_of_each: 256,
            request_bytes: 32 * 1024 * 1024,
            looks: 3,
            looks_of_each: 32,
            rate_per_principal: None,
            denials_of_each: a_second(10, 100),
            denials_of_all: a_second(200, 200),
        }
    }
}

/// So many a second, and so many at once.
fn a_second(tokens: u32, at_once: u32) -> RateLimit {
    let [tokens, at_once] = [tokens, at_once].map(|n| NonZeroU32::new(n).expect("not zero"));
    RateLimit::new(tokens, Duration::from_secs(1), at_once).expect("a rate that can be kept")
}

/// The limits in force. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct LiveLimits(Arc<watch::Sender<AdminLimits>>);

impl LiveLimits {
    /// These.
    pub fn new(limits: AdminLimits) -> Self {
        Self(Arc::new(watch::Sender::new(limits)))
    }

    /// Those in force.
    pub fn now(&self) -> AdminLimits {
        *self.0.borrow()
    }

    /// Puts others in force, for whatever happens from now on.
    pub fn set(&self, limits: AdminLimits) {
        self.0.send_replace(limits);
    }
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self::new(AdminLimits::default())
    }
}
