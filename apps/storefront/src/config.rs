//! The `[app]` section of the configuration.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use storefront_domain::{PeriodKind, PromotionRules, QuietHours, Zone};

use crate::business_time::{BusinessTime, ClockConfig};

/// What the storefront has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StorefrontConfig {
    /// Where the HTTP API listens.
    pub listen: SocketAddr,
    /// File the bound address is written to once it listens. Unset: none.
    #[schemars(example = &"http.addr")]
    pub address_file: Option<PathBuf>,
    /// Stores, products, stock and customers of a new shop (JSON). Unset: the bundled ones.
    #[schemars(example = &"catalogue.json")]
    pub catalogue: Option<PathBuf>,
    /// Longest time a request may take, in milliseconds; after it the caller is asked to come again.
    pub request_timeout_ms: NonZeroU64,
    /// Largest body of a request, in bytes.
    pub max_body_bytes: NonZeroUsize,
    /// Requests answered at once; who comes beyond that is asked to come again.
    pub max_requests: NonZeroUsize,
    /// Connections at once; when one more comes, the one that has been idle longest is closed.
    pub max_connections: NonZeroUsize,
    /// Longest time until the head of a connection's next request is there, in milliseconds; idle connections are closed after it.
    pub head_timeout_ms: NonZeroU64,
    /// How time goes.
    pub clock: ClockConfig,
    /// How long after its moment work that is due by business time is done, in milliseconds of real time: what a
    /// customer sent in time and is still on its way counts.
    pub on_its_way_ms: u64,
    /// How long rows gather before a projection takes them in, in milliseconds.
    pub gather_ms: NonZeroU64,
    /// Whether each day that has ended is added up once more, by a schedule.
    pub nightly_sweep: bool,
    /// How long stock is held for a buyer, in minutes.
    pub hold_minutes: NonZeroU32,
    /// How stores are paid.
    pub settlements: SettlementsConfig,
    /// How customers are told something.
    pub notifications: NotificationsConfig,
}

impl Default for StorefrontConfig {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            address_file: None,
            catalogue: None,
            request_timeout_ms: const { NonZeroU64::new(2_000).expect("not zero") },
            max_body_bytes: const { NonZeroUsize::new(16 * 1024).expect("not zero") },
            max_requests: const { NonZeroUsize::new(1_024).expect("not zero") },
            max_connections: const { NonZeroUsize::new(4_096).expect("not zero") },
            head_timeout_ms: const { NonZeroU64::new(10_000).expect("not zero") },
            clock: ClockConfig::Wall,
            on_its_way_ms: 250,
            gather_ms: const { NonZeroU64::new(200).expect("not zero") },
            nightly_sweep: true,
            hold_minutes: const { NonZeroU32::new(15).expect("not zero") },
            settlements: SettlementsConfig::default(),
            notifications: NotificationsConfig::default(),
        }
    }
}

impl StorefrontConfig {
    /// The shop's clock.
    #[must_use]
    pub fn time(&self) -> BusinessTime {
        BusinessTime::new(self.clock, Duration::from_millis(self.on_its_way_ms))
    }
}

/// How often a store is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Each day.
    Day,
    /// Each week, from Monday.
    Week,
    /// Each month.
    Month,
}

impl From<Every> for PeriodKind {
    fn from(every: Every) -> Self {
        match every {
            Every::Day => Self::Day,
            Every::Week => Self::Week,
            Every::Month => Self::Month,
        }
    }
}

/// How stores are paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SettlementsConfig {
    /// The period of a settlement.
    pub every: Every,
    /// How long after its end a period stays open for what is recorded late, in hours.
    pub closing_hours: u32,
    /// Where the payment provider's HTTP API listens: beside the shop, or a proxy that speaks TLS for it.
    pub provider: SocketAddr,
    /// Longest time of one call, in milliseconds.
    pub provider_timeout_ms: NonZeroU64,
}

impl Default for SettlementsConfig {
    fn default() -> Self {
        Self {
            every: Every::Week,
            closing_hours: 6,
            provider: ([127, 0, 0, 1], 8181).into(),
            provider_timeout_ms: const { NonZeroU64::new(5_000).expect("not zero") },
        }
    }
}

/// How customers are told something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NotificationsConfig {
    /// Address the letters come from.
    pub from: String,
    /// Maildir the letters are delivered to, for a mail server or a person to send.
    pub spool: PathBuf,
    /// The time zone of the quiet hours.
    #[schemars(with = "String")]
    pub zone: Zone,
    /// Minutes without a further draft of the topic after which those that wait go out.
    pub window_minutes: u32,
    /// Minutes after which they go out in any case, quiet hours aside.
    pub longest_wait_minutes: u32,
    /// When nobody is disturbed. Equal times: never.
    #[schemars(with = "String")]
    pub quiet_from: Time,
    /// When the quiet hours end.
    #[schemars(with = "String")]
    pub quiet_until: Time,
}

impl Default for NotificationsConfig {
    fn default() -> Self {
        Self {
            from: "shop@shop.example".to_owned(),
            spool: "data/letters".into(),
            zone: Zone::named("Europe/Berlin").expect("a zone"),
            window_minutes: 10,
            longest_wait_minutes: 60,
            quiet_from: Time::constant(21, 0, 0, 0),
            quiet_until: Time::constant(8, 0, 0, 0),
        }
    }
}

impl NotificationsConfig {
    /// The rules of the domain.
    #[must_use]
    pub fn rules(&self) -> PromotionRules {
        let quiet = QuietHours { from: self.quiet_from, until: self.quiet_until };
        PromotionRules {
            window: SignedDuration::from_mins(self.window_minutes.into()),
            longest_wait: SignedDuration::from_mins(self.longest_wait_minutes.into()),
            quiet: (quiet.from != quiet.until).then_some(quiet),
        }
    }
}
