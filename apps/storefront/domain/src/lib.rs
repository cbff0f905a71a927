//! The business of a shop with six obligations, free of any platform: no file, no clock, no socket; values in, values
//! out, and time is handed in.
//!
//! ```text
//!  truth                         decided or projected by
//!  ───────────────────────────   ─────────────────────────────────────────────
//!  ratings ────────────────────▶ recommendations   who liked this liked that
//!  stock, reservations ────────▶ reservations      held, confirmed or given back
//!  sales, refunds ──┬──────────▶ settlements       what a store is paid
//!                   └──────────▶ rollups           by hour, day and month
//!  members, payments ──────────▶ memberships       what happens when nobody pays
//!  drafts ─────────────────────▶ notifications     one letter, at a decent hour
//! ```
//!
//! What all six have in common, and what their property tests hold them to: the result is a function of the rows, not of
//! the order, the moment or the number of times in which somebody looked at them. So every piece of work may be done
//! twice, done late, or thrown away and done again from the truth, and the bytes are the same. Nothing that is kept or
//! paid is a float.
//!
//! ```
//! use jiff::SignedDuration;
//! use storefront_domain::{PeriodKind, Sample, SettlementTerms};
//!
//! let shop = Sample::month(42);
//! let store = &shop.stores[0];
//! let sales = || shop.sales.iter().filter(|sale| sale.store == store.id);
//! let refunds = || shop.refunds.iter().filter(|refund| refund.store == store.id);
//!
//! let terms = SettlementTerms::of(store, PeriodKind::Week, SignedDuration::from_hours(6));
//! let weeks = terms.settle_all(sales(), refunds())?;
//!
//! let paid: i64 = weeks.values().map(|week| week.net.minor).sum();
//! let sold: i64 = sales().map(|sale| sale.amount.minor).sum();
//! let given_back: i64 = refunds().map(|refund| refund.amount.minor).sum();
//! assert_eq!(paid, sold - given_back);
//! # Ok::<(), storefront_domain::SettlementError>(())
//! ```

mod memberships;
mod money;
mod notifications;
mod period;
mod public_data;
mod recommendations;
mod reservations;
mod rollups;
mod sample;
mod settlements;
mod truth;
mod zone;

pub use crate::memberships::{
    Due, Member, MemberState, MembershipError, MembershipTerms, Payment, Transition,
};
pub use crate::money::{BasisPoints, Currency, Money, MoneyError, ShareError};
pub use crate::notifications::{
    Draft, Letter, Promotion, PromotionId, PromotionRules, PromotionState, QuietHours, RenderError, Topic,
};
pub use crate::period::{Bucket, Period, PeriodKind};
pub use crate::public_data::{CDNOW_PRODUCT, DataError, JourneyRow, parse_cdnow, parse_films, parse_ratings};
pub use crate::recommendations::{CategoryModel, Recommendation, RecommendationRules};
pub use crate::reservations::{
    HoldAsk, Reservation, ReservationError, ReservationEvent, ReservationState, Stock, StockMove,
};
pub use crate::rollups::{Fact, Metric, RollupKey, Rollups, Total, dirty_buckets, recompute};
pub use crate::sample::{Sample, SampleHold, SampleSize};
pub use crate::settlements::{
    OpenSettlement, PayoutLine, PayoutLineKind, RowId, Settlement, SettlementError, SettlementTerms,
};
pub use crate::truth::{
    Category, Customer, CustomerId, DraftId, MemberId, PaymentId, Product, ProductId, Rating, Refund,
    RefundId, ReservationId, Sale, SaleId, Stars, StarsError, Store, StoreId,
};
pub use crate::zone::{Zone, ZoneError};
