//! Telling a customer something, once and at a decent hour.
//!
//! ```text
//! drafts ─debounce─▶ promotion ─render─▶ letter ─▶ sent
//! (many)             (one per topic)     (the only place with a name and an address)
//! ```
//!
//! Drafts of one topic for one customer gather until none has come for a while (the window), though not for ever, and
//! not in the customer's quiet hours. What then goes out is one promotion. Which drafts go together follows from the
//! drafts' own times, never from when a worker looked: looking often and looking once give the same promotions, with
//! the same ids.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::truth::{Customer, CustomerId, DraftId};
use crate::zone::Zone;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The customer's membership.
    Membership,
    /// Something held for the customer.
    Reservation,
    /// Money given back.
    Refund,
    /// Products the customer may like.
    Recommendation,
}

impl Topic {
    /// Its name in ids and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Membership => "membership",
            Self::Reservation => "reservation",
            Self::Refund => "refund",
            Self::Recommendation => "recommendation",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Membership => "Your membership",
            Self::Reservation => "What we hold for you",
            Self::Refund => "Your refund",
            Self::Recommendation => "You may like this",
        }
    }
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Its number; unique.
    pub id: DraftId,
    /// Whom to tell.
    pub recipient: CustomerId,
    /// What it is about.
    pub topic: Topic,
    /// What to say: one line.
    pub line: String,
    /// When it came up.
    pub at: Timestamp,
}

/// When drafts go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionRules {
    /// So long no further draft of the topic must have come; not negative.
    pub window: SignedDuration,
    /// The first draft waits no longer than this, quiet hours aside; not negative.
    pub longest_wait: SignedDuration,
    /// When nobody is to be disturbed, if ever.
    pub quiet: Option<QuietHours>,
}

/// A stretch of the local day, over midnight when it ends before it begins. Its end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// Its first moment.
    pub from: Time,
    /// The first moment after it.
    pub until: Time,
}

impl QuietHours {
    /// The first moment from `at` on that is not quiet.
    fn first_loud(self, at: Timestamp, zone: &Zone) -> Timestamp {
        let local = at.to_zoned(zone.rules().clone());
        let (date, time) = (local.date(), local.time());
        let (from, until) = (self.from, self.until);
        let ends_on = if from <= until && (from..until).contains(&time) || from > until && time < until {
            date
        } else if from > until && time >= from {
            date.saturating_add(1.day())
        } else {
            return at;
        };
        // Where a change of clocks skips the end, it is as much later; where it comes twice, the first one counts.
        let end = ends_on.to_datetime(until).to_zoned(zone.rules().clone());
        end.map_or(at, |end| end.timestamp().max(at))
    }
}

/// Names a promotion, and with it the letter. Made of numbers and a topic only: it stands in keys, logs and mail headers,
/// where no name and no address belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromotionId(String);

impl PromotionId {
    fn of_first(draft: &Draft) -> Self {
        Self(format!("promotion-{}-{}-{}", draft.recipient, draft.topic.name(), draft.id))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PromotionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Where a promotion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionState {
    /// It is to be sent.
    Promoted,
    /// It was.
    Sent,
}

/// Drafts that go out together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Its name.
    pub id: PromotionId,
    /// Whom to tell.
    pub recipient: CustomerId,
    /// What it is about.
    pub topic: Topic,
    /// What it is made of, oldest first; at least one.
    pub drafts: Vec<DraftId>,
    /// When it was time.
    pub due_at: Timestamp,
    /// Where it stands.
    pub state: PromotionState,
}

impl Promotion {
    /// It was sent; `None` when it was before, and the caller must not count it again.
    #[must_use]
    pub fn sent(&self) -> Option<Self> {
        let sent = || Self { state: PromotionState::Sent, ..self.clone() };
        (self.state == PromotionState::Promoted).then(sent)
    }

    /// Writes the letter. `drafts` may hold others too.
    ///
    /// # Errors
    /// When the customer is somebody else, or a draft is missing.
    pub fn render<'a>(
        &self,
        drafts: impl IntoIterator<Item = &'a Draft>,
        customer: &Customer,
    ) -> Result<Letter, RenderError> {
        if customer.id != self.recipient {
            return Err(RenderError::OtherCustomer { asked: customer.id, recipient: self.recipient });
        }
        let lines: BTreeMap<DraftId, &str> =
            drafts.into_iter().map(|draft| (draft.id, draft.line.as_str())).collect();
        let mut text = format!("Dear {},\n\n", customer.name);
        for id in &self.drafts {
            let line = lines.get(id).ok_or(RenderError::DraftMissing { draft: *id })?;
            text.push_str(&format!("- {line}\n"));
        }
        text.push_str("\nYour shop\n");
        let subject = match self.drafts.len() {
            1 => self.topic.subject().to_owned(),
            several => format!("{} ({several} news)", self.topic.subject()),
        };
        Ok(Letter { reference: self.id.clone(), to: customer.email.clone(), subject, text })
    }
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The promotion it carries; free of personal data.
    pub reference: PromotionId,
    /// The mail address. Personal data.
    pub to: String,
    /// The subject; free of personal data.
    pub subject: String,
    /// The text. Personal data.
    pub text: String,
}

/// Why a letter could not be written. Free of personal data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// The customer is not the recipient.
    #[error("customer {asked} is not the recipient {recipient}")]
    OtherCustomer {
        /// Who was given.
        asked: CustomerId,
        /// Whom it is for.
        recipient: CustomerId,
    },
    /// A draft of the promotion is not there.
    #[error("draft {draft} is missing")]
    DraftMissing {
        /// Which.
        draft: DraftId,
    },
}

impl PromotionRules {
    /// The promotions that are due at `now`, of drafts that were not promoted before; by recipient, topic and time. The
    /// order of the drafts does not matter, nor does one that comes twice.
    #[must_use]
    pub fn promote<'a>(
        &self,
        waiting: impl IntoIterator<Item = &'a Draft>,
        zone: &Zone,
        now: Timestamp,
    ) -> Vec<Promotion> {
        let mut due = self.batches(waiting, zone);
        due.retain(|promotion| promotion.due_at <= now);
        due
    }

    /// When the next of these drafts are to be promoted, if no more come; `None` of none.
    #[must_use]
    pub fn next_due<'a>(
        &self,
        waiting: impl IntoIterator<Item = &'a Draft>,
        zone: &Zone,
    ) -> Option<Timestamp> {
        self.batches(waiting, zone).into_iter().map(|promotion| promotion.due_at).min()
    }

    /// Drafts in order of time; one that came before its forerunners' time was up goes with them.
    fn batches<'a>(&self, waiting: impl IntoIterator<Item = &'a Draft>, zone: &Zone) -> Vec<Promotion> {
        let sorted =
            waiting.into_iter().map(|draft| ((draft.recipient, draft.topic, draft.at, draft.id), draft));
        let sorted: BTreeMap<_, _> = sorted.collect();
        let mut seen = BTreeSet::new();
        let mut batches: Vec<Promotion> = Vec::new();
        let mut first_at = Timestamp::MIN;
        for draft in sorted.into_values().filter(|draft| seen.insert(draft.id)) {
            let joins = batches.last().is_some_and(|last| {
                (last.recipient, last.topic) == (draft.recipient, draft.topic) && draft.at < last.due_at
            });
            if !joins {
                first_at = draft.at;
                batches.push(Promotion {
                    id: PromotionId::of_first(draft),
                    recipient: draft.recipient,
                    topic: draft.topic,
                    drafts: Vec::new(),
                    due_at: draft.at,
                    state: PromotionState::Promoted,
                });
            }
            let batch = batches.last_mut().expect("the draft has a batch");
            batch.drafts.push(draft.id);
            batch.due_at = self.due(first_at, draft.at, zone);
        }
        batches
    }

    fn due(&self, first: Timestamp, last: Timestamp, zone: &Zone) -> Timestamp {
        let after = |at: Timestamp, wait| at.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let due = after(last, self.window).min(after(first, self.longest_wait));
        self.quiet.map_or(due, |quiet| quiet.first_loud(due, zone))
    }
}

#[cfg(test)]
mod tests;
