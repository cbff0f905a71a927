//! How a mail ends: one of a few verdicts, each with a stable code and one way on.

use serde::{Deserialize, Serialize};

use crate::judge::ObstacleCode;
use crate::order::Order;
use crate::problem::{Contradiction, LineProblem};

/// The verdict on one mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// An order, complete and priced.
    Order {
        /// The order.
        order: Order,
    },
    /// The mail orders nothing.
    NotAnOrder {
        /// What it is instead.
        reason: NotAnOrderReason,
    },
    /// It may well be an order, but nobody the shop knows sent it.
    UnknownCustomer {
        /// The sender.
        address: String,
    },
    /// An attachment that may hold the order cannot be read.
    UnreadableAttachment {
        /// Its name.
        attachment: String,
        /// Why.
        reason: ObstacleCode,
    },
    /// An attachment breaks a limit and was not opened.
    RefusedAttachment {
        /// Its name.
        attachment: String,
        /// Which limit.
        reason: ObstacleCode,
    },
    /// At least one line cannot be taken.
    InvalidLines {
        /// Every problem of every line.
        problems: Vec<LineProblem>,
    },
    /// The mail says things that cannot all be true.
    Contradictory {
        /// Every contradiction.
        contradictions: Vec<Contradiction>,
        /// Lines that are wrong besides.
        problems: Vec<LineProblem>,
    },
    /// The mail itself cannot be read, or has no sender.
    UnreadableMail {
        /// What is wrong with it, as a code.
        reason: String,
    },
}

/// What a mail is that is no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotAnOrderReason {
    /// Nothing in it.
    Empty,
    /// Nothing that looks like an order line.
    NoLines,
    /// A customer asks for goods, in words that name no article: a person must read it.
    Unclear,
    /// It mentions articles, but does not ask for them: a person must read it.
    NoRequest,
    /// A customer speaks of cancelling, returning or complaining: a person must read it.
    OtherBusiness,
    /// Sent by a machine: out of office, bounce, newsletter, mailing list. Never answered.
    Automatic,
}

/// What is to be done about a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Create the order and confirm it.
    Accept,
    /// Tell the customer what is wrong.
    Answer,
    /// A person must look.
    Park,
    /// Nothing.
    Ignore,
}

impl Verdict {
    /// Every code a verdict can have.
    pub const CODES: [&'static str; 8] = [
        "order",
        "not_an_order",
        "unknown_customer",
        "unreadable_attachment",
        "refused_attachment",
        "invalid_lines",
        "contradictory",
        "unreadable_mail",
    ];

    /// The stable code: one of [`Self::CODES`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Order { .. } => "order",
            Self::NotAnOrder { .. } => "not_an_order",
            Self::UnknownCustomer { .. } => "unknown_customer",
            Self::UnreadableAttachment { .. } => "unreadable_attachment",
            Self::RefusedAttachment { .. } => "refused_attachment",
            Self::InvalidLines { .. } => "invalid_lines",
            Self::Contradictory { .. } => "contradictory",
            Self::UnreadableMail { .. } => "unreadable_mail",
        }
    }

    /// What is to be done. Strangers and machines are never written to.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Order { .. } => Disposition::Accept,
            Self::NotAnOrder { reason } => match reason {
                NotAnOrderReason::Unclear | NotAnOrderReason::NoRequest | NotAnOrderReason::OtherBusiness => {
                    Disposition::Park
                }
                NotAnOrderReason::Empty | NotAnOrderReason::NoLines | NotAnOrderReason::Automatic => {
                    Disposition::Ignore
                }
            },
            Self::UnknownCustomer { .. } | Self::UnreadableMail { .. } => Disposition::Park,
            Self::UnreadableAttachment { .. }
            | Self::RefusedAttachment { .. }
            | Self::InvalidLines { .. }
            | Self::Contradictory { .. } => Disposition::Answer,
        }
    }
}
