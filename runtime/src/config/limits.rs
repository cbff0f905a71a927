//! The limits of the admin plane.

use std::num::NonZeroU32;
use std::time::Duration;

use runtime_admin::AdminLimits;
use runtime_core::flow::RateLimit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of the admin plane. A reload puts all of them in force; connections that are open keep the times they began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminLimitsConfig {
    /// How often one principal may call in a second, with authentication.
    #[schemars(range(max = 1_000_000))]
    pub requests_per_sec: NonZeroU32,
    /// How often one principal may call at once after a pause, with authentication.
    #[schemars(range(max = 1_000_000))]
    pub requests_at_once: NonZeroU32,
    /// Denials of one peer or principal that the audit log takes in a second; the others are counted.
    #[schemars(range(max = 1_000_000))]
    pub denials_per_sec: NonZeroU32,
    /// Denials of one peer or principal that the audit log takes at once after a pause.
    #[schemars(range(max = 1_000_000))]
    pub denials_at_once: NonZeroU32,
    /// Denials of everybody that the audit log takes in a second.
    #[schemars(range(max = 1_000_000))]
    pub all_denials_per_sec: NonZeroU32,
    /// Most connections at once. When one more comes, the one that has been idle longest leaves.
    #[schemars(range(min = 8, max = 65_536))]
    pub connections: u32,
    /// Most peers at once that have not introduced themselves. When one more comes, the first of them goes.
    #[schemars(range(min = 8, max = 65_536))]
    pub handshakes: u32,
    /// How long a peer may take to introduce itself, in seconds.
    #[schemars(range(min = 1, max = 60))]
    pub handshake_secs: u64,
    /// How long a connection may be without a call, in seconds.
    #[schemars(range(min = 10, max = 86_400))]
    pub idle_secs: u64,
    /// How old a connection may become, in seconds; what goes on over it may end.
    #[schemars(range(min = 60, max = 86_400))]
    pub connection_age_secs: u64,
    /// Most calls at once over one connection; more wait.
    #[schemars(range(min = 1, max = 1_000))]
    pub streams_per_connection: u32,
    /// Most calls at once of all connections. More are shed, unless they are the only one of their connection.
    #[schemars(range(min = 8, max = 65_536))]
    pub calls: u32,
    /// Most of them that one principal may have, streams of events included, with authentication. More are refused, with when to come again.
    #[schemars(range(min = 8, max = 65_536))]
    pub calls_per_principal: u32,
    /// Most bytes of requests that are held at once, beyond the first 32 KiB of each. One request has 4 MiB at most.
    #[schemars(range(min = 4_194_304, max = 1_073_741_824))]
    pub request_bytes: u32,
    /// Most looks at much at once: lists, counts, whole trees, previews. More wait for their turn, and small calls never wait for them.
    #[schemars(range(min = 1, max = 64))]
    pub looks: u32,
    /// Most of them that one principal may have under way and waiting. More are refused, with when to come again.
    #[schemars(range(min = 1, max = 1_000))]
    pub looks_per_principal: u32,
}

impl Default for AdminLimitsConfig {
    fn default() -> Self {
        Self {
            requests_per_sec: const { NonZeroU32::new(200).expect("not zero") },
            requests_at_once: const { NonZeroU32::new(400).expect("not zero") },
            denials_per_sec: const { NonZeroU32::new(10).expect("not zero") },
            denials_at_once: const { NonZeroU32::new(100).expect("not zero") },
            all_denials_per_sec: const { NonZeroU32::new(200).expect("not zero") },
            connections: 512,
            handshakes: 256,
            handshake_secs: 5,
            idle_secs: 300,
            connection_age_secs: 3_600,
            streams_per_connection: 100,
            calls: 1_024,
            calls_per_principal: 256,
            request_bytes: 32 * 1024 * 1024,
            looks: 3,
            looks_per_principal: 32,
        }
    }
}

impl AdminLimitsConfig {
    /// As the admin server takes them.
    pub(crate) fn limits(&self) -> AdminLimits {
        // The configuration allows no rate that cannot be kept.
        let rate = |each, at_once| RateLimit::new(each, Duration::from_secs(1), at_once).ok();
        let standard = AdminLimits::default();
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        AdminLimits {
            connections: count(self.connections),
            handshakes: count(self.handshakes),
            handshake: Duration::from_secs(self.handshake_secs),
            idle: Duration::from_secs(self.idle_secs),
            age: Duration::from_secs(self.connection_age_secs),
            streams: self.streams_per_connection,
            calls: count(self.calls),
            calls_of_each: count(self.calls_per_principal),
            request_bytes: count(self.request_bytes),
            looks: count(self.looks),
            looks_of_each: count(self.looks_per_principal),
            rate_per_principal: rate(self.requests_per_sec, self.requests_at_once),
            denials_of_each: rate(self.denials_per_sec, self.denials_at_once)
                .unwrap_or(standard.denials_of_each),
            denials_of_all: rate(self.all_denials_per_sec, self.all_denials_per_sec)
                .unwrap_or(standard.denials_of_all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let limits = AdminLimitsConfig::default().limits();
        let rate = limits.rate_per_principal.expect("a rate that can be kept");
        assert_eq!(limits, AdminLimits { rate_per_principal: Some(rate), ..AdminLimits::default() });
    }

    #[test]
    fn every_rate_that_the_configuration_allows_can_be_kept() {
        let most = NonZeroU32::new(1_000_000).expect("not zero");
        for (each, at_once) in [(NonZeroU32::MIN, most), (most, NonZeroU32::MIN), (most, most)] {
            RateLimit::new(each, Duration::from_secs(1), at_once).expect("a rate that can be kept");
        }
    }
}
