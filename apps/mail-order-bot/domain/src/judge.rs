//! From a letter to its verdict. The order of the questions is the whole story: is it from a machine, does it order
//! anything, do we know who asks, can every line be taken, does everything agree.

use serde::{Deserialize, Serialize};

use crate::check::{Checked, check, quantity_claim, sku_of};
use crate::draft::OrderDraft;
use crate::intent::{Intent, intent_of};
use crate::number::Decimal;
use crate::order::Order;
use crate::problem::{Contradiction, LineProblem};
use crate::reading::{DocumentReading, own_words, read_document};
use crate::shop::Shop;
use crate::sku::Sku;
use crate::table::{Content, Document};
use crate::verdict::{NotAnOrderReason, Verdict};

/// A mail as far as the business is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letter {
    /// The address it was sent from.
    pub sender: String,
    /// Its subject.
    pub subject: String,
    /// Its own text and every attachment that was read.
    pub documents: Vec<Document>,
    /// Attachments that could not be read.
    pub obstacles: Vec<Obstacle>,
    /// Whether a machine sent it, as its headers say.
    pub automatic: bool,
}

/// An attachment that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// Its name.
    pub attachment: String,
    /// Why.
    pub code: ObstacleCode,
}

/// Why an attachment could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleCode {
    /// A document of a kind the shop does not read.
    Unsupported,
    /// Not what its name says, or damaged.
    Unreadable,
    /// Protected by a password.
    Encrypted,
    /// Reading it took too long.
    ExtractTimeout,
    /// The program that reads it broke.
    ExtractCrashed,
    /// Reading it took too much memory.
    ExtractMemory,
    /// It holds more text than an order can have.
    ExtractOutput,
    /// Larger than an attachment may be.
    TooLarge,
    /// More attachments than a mail may have.
    TooMany,
    /// It would unpack to more than an attachment may hold.
    ExpansionLimit,
}

impl ObstacleCode {
    /// Whether a limit was applied before the attachment was opened.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::TooLarge | Self::TooMany | Self::ExpansionLimit)
    }

    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Unreadable => "unreadable",
            Self::Encrypted => "encrypted",
            Self::ExtractTimeout => "extract_timeout",
            Self::ExtractCrashed => "extract_crashed",
            Self::ExtractMemory => "extract_memory",
            Self::ExtractOutput => "extract_output",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::ExpansionLimit => "expansion_limit",
        }
    }
}

impl Shop {
    /// The verdict on a letter. It depends on nothing but the letter and the shop.
    #[must_use]
    pub fn judge(&self, letter: &Letter) -> Verdict {
        if letter.automatic {
            return Verdict::NotAnOrder { reason: NotAnOrderReason::Automatic };
        }
        let words = Words::of(letter);
        let readings: Vec<_> =
            letter.documents.iter().map(|document| self.read(document, letter, &words)).collect();
        let drafts: Vec<_> = readings
            .iter()
            .zip(&letter.documents)
            .filter(|(reading, _)| !reading.draft.lines.is_empty())
            .map(|(reading, document)| (document.name.as_deref(), &reading.draft))
            .collect();
        let missing: Vec<LineProblem> =
            readings.iter().flat_map(|reading| reading.missing_columns.iter().cloned()).collect();
        let known = self.customers.find(&letter.sender);
        let obstacle = obstacle(letter, known.is_some() && drafts.is_empty() && missing.is_empty());

        if drafts.is_empty() && missing.is_empty() && obstacle.is_none() {
            return Verdict::NotAnOrder { reason: self.why_not(letter, &words) };
        }
        if words.intent == Intent::OtherBusiness {
            return Verdict::NotAnOrder { reason: NotAnOrderReason::OtherBusiness };
        }
        let Some(customer) = known else {
            return Verdict::UnknownCustomer { address: letter.sender.clone() };
        };
        if let Some(Obstacle { attachment, code }) = obstacle.cloned() {
            return match code.is_refusal() {
                true => Verdict::RefusedAttachment { attachment, reason: code },
                false => Verdict::UnreadableAttachment { attachment, reason: code },
            };
        }
        if drafts.is_empty() {
            return Verdict::InvalidLines { problems: missing };
        }
        let (checked, contradictions) = self.check_all(&drafts);
        match (checked, contradictions) {
            (Checked { problems, .. }, contradictions) if !contradictions.is_empty() => {
                Verdict::Contradictory { contradictions, problems }
            }
            (Checked { lines, problems, total: Some(total), .. }, _) if problems.is_empty() => {
                let (customer, customer_name) = (customer.id.clone(), customer.name.clone());
                Verdict::Order { order: Order { customer, customer_name, lines, total } }
            }
            (Checked { problems, .. }, _) => Verdict::InvalidLines { problems },
        }
    }

    /// Reads one document. Running text that only mentions articles orders nothing.
    fn read(&self, document: &Document, letter: &Letter, words: &Words) -> DocumentReading {
        let is_mail_text = document.name.is_none();
        let own = |content: &Content| match content {
            Content::Text(text) => Content::Text(own_words(text, &letter.subject)),
            Content::Table(table) => Content::Table(table.clone()),
        };
        let reading = if is_mail_text {
            let contents = document.contents.iter().map(own).collect();
            read_document(&Document { name: None, contents })
        } else {
            read_document(document)
        };
        let asks =
            words.intent != Intent::None || !is_mail_text && text_of(document, intent_of) == Intent::Order;
        if reading.is_running_text && !(asks && self.knows_any(&reading.draft)) {
            return DocumentReading::default();
        }
        reading
    }

    /// Whether a draft names at least one article that exists, or that could be a slip of one.
    fn knows_any(&self, draft: &OrderDraft) -> bool {
        let known =
            |sku: &Sku| self.catalogue.product(sku).is_some() || self.catalogue.suggestion(sku).is_some();
        draft.lines.iter().filter_map(sku_of).any(|sku| known(&sku))
    }

    fn why_not(&self, letter: &Letter, words: &Words) -> NotAnOrderReason {
        let mentions = || {
            letter.documents.iter().any(|document| {
                let document = Document { name: None, contents: document.contents.clone() };
                self.knows_any(&read_document(&document).draft)
            })
        };
        if words.is_empty && letter.documents.iter().all(|document| document.name.is_none()) {
            NotAnOrderReason::Empty
        } else if mentions() {
            NotAnOrderReason::NoRequest
        } else {
            NotAnOrderReason::NoLines
        }
    }

    /// Checks every document. Several may hold the order only when they order the same.
    fn check_all(&self, drafts: &[(Option<&str>, &OrderDraft)]) -> (Checked, Vec<Contradiction>) {
        let mut all = drafts.iter().map(|(_, draft)| check(draft, &self.catalogue));
        let mut first = all.next().unwrap_or_default();
        let mut contradictions = std::mem::take(&mut first.contradictions);
        for checked in all {
            first.problems.extend(checked.problems);
            contradictions.extend(checked.contradictions);
        }
        let name = |document: Option<&str>| document.map(str::to_owned);
        let differing = drafts.iter().skip(1).filter(|(_, draft)| claims(draft) != claims(drafts[0].1));
        contradictions.extend(
            differing
                .map(|(other, _)| Contradiction::Documents { one: name(drafts[0].0), other: name(*other) }),
        );
        (first, contradictions)
    }
}

/// The obstacle that keeps the letter from being understood. A document of a kind that is never read is one only when
/// nothing else in the letter says what is ordered.
fn obstacle(letter: &Letter, nothing_else: bool) -> Option<&Obstacle> {
    let is_serious = |obstacle: &&Obstacle| obstacle.code != ObstacleCode::Unsupported;
    let serious = letter.obstacles.iter().find(is_serious);
    serious.or_else(|| letter.obstacles.first().filter(|_| nothing_else))
}

/// What a draft orders, whatever the order of its lines and its notation.
fn claims(draft: &OrderDraft) -> Vec<(Option<Sku>, Option<Decimal>)> {
    let quantity = |line| quantity_claim(line, draft.decimal_mark).and_then(Result::ok);
    let mut claims: Vec<_> = draft.lines.iter().map(|line| (sku_of(line), quantity(line))).collect();
    claims.sort_by_key(|(sku, quantity)| (sku.clone(), quantity.map(|quantity| quantity.to_string())));
    claims
}

/// What the sender's own words are after.
struct Words {
    intent: Intent,
    is_empty: bool,
}

impl Words {
    fn of(letter: &Letter) -> Self {
        let mut words = letter.subject.clone();
        let mut is_empty = true;
        for document in letter.documents.iter().filter(|document| document.name.is_none()) {
            for content in &document.contents {
                if let Content::Text(text) = content {
                    is_empty &= text.trim().is_empty();
                    words.push('\n');
                    words.push_str(&own_words(text, &letter.subject));
                }
            }
        }
        Self { intent: intent_of(&words), is_empty }
    }
}

fn text_of(document: &Document, read: impl Fn(&str) -> Intent) -> Intent {
    let texts = document.contents.iter().filter_map(|content| match content {
        Content::Text(text) => Some(text.as_str()),
        Content::Table(_) => None,
    });
    texts.map(read).find(|intent| *intent == Intent::Order).unwrap_or(Intent::None)
}
