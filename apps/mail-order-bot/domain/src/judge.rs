//! From a letter to its verdict. The order of the questions is the whole story: is it from a machine, does it order
//! anything, do we know who asks, can every line be taken, does everything agree.

use serde::{Deserialize, Serialize};

use crate::check::{Checked, MAX_LINES, check, quantity_claim, sku_of};
use crate::draft::OrderDraft;
use crate::intent::{Intent, intent_of};
use crate::number::Decimal;
use crate::order::Order;
use crate::problem::{Contradiction, LineProblem};
use crate::reading::{DocumentReading, is_reply, own_words, read_document};
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
    /// Without any text: a scan, or a drawing.
    NoText,
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
    /// Whether an order may be hidden by it even where the rest of the mail orders something.
    fn is_serious(self) -> bool {
        !matches!(self, Self::Unsupported | Self::NoText)
    }

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
            Self::NoText => "no_text",
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
            letter.documents.iter().map(|document| read(document, &letter.subject)).collect();
        let mentions = readings.iter().any(|reading| self.knows_any(&reading.draft));
        let (readings, documents): (Vec<_>, Vec<_>) = readings
            .into_iter()
            .zip(&letter.documents)
            .filter(|(reading, document)| self.is_asked_for(reading, document, &words))
            .unzip();
        let drafts: Vec<_> = readings
            .iter()
            .zip(&documents)
            .filter(|(reading, _)| !reading.draft.lines.is_empty())
            .map(|(reading, document)| (document.name.as_deref(), &reading.draft))
            .collect();
        let missing: Vec<LineProblem> =
            readings.iter().flat_map(|reading| reading.missing_columns.iter().cloned()).collect();
        let known = self.customers.find(&letter.sender);
        let obstacle = obstacle(letter, known.is_some() && drafts.is_empty() && missing.is_empty());

        if drafts.is_empty() && missing.is_empty() && obstacle.is_none() {
            return Verdict::NotAnOrder { reason: why_not(letter, &words, known.is_some(), mentions) };
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

    /// Whether what a document says is meant as an order. Tables are; running text that only mentions articles is not.
    fn is_asked_for(&self, reading: &DocumentReading, document: &Document, words: &Words) -> bool {
        let asks = words.intent != Intent::None || document.name.is_some() && asks_in_text(document);
        !reading.is_running_text || asks && self.knows_any(&reading.draft)
    }

    /// Whether a draft names at least one article that exists, or that could be a slip of one.
    fn knows_any(&self, draft: &OrderDraft) -> bool {
        let known =
            |sku: &Sku| self.catalogue.product(sku).is_some() || self.catalogue.suggestion(sku).is_some();
        draft.lines.iter().take(MAX_LINES).filter_map(sku_of).any(|sku| known(&sku))
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

/// Reads one document; of the mail's own text, what its sender wrote.
fn read(document: &Document, subject: &str) -> DocumentReading {
    if document.name.is_some() {
        return read_document(document);
    }
    let own = |content: &Content| match content {
        Content::Text(text) => Content::Text(own_words(text, subject)),
        Content::Table(table) => Content::Table(table.clone()),
    };
    read_document(&Document { name: None, contents: document.contents.iter().map(own).collect() })
}

/// What a letter is that orders nothing.
fn why_not(letter: &Letter, words: &Words, is_customer: bool, mentions: bool) -> NotAnOrderReason {
    match words.intent {
        _ if words.is_empty && letter.documents.iter().all(|document| document.name.is_none()) => {
            NotAnOrderReason::Empty
        }
        Intent::OtherBusiness if is_customer => NotAnOrderReason::OtherBusiness,
        _ if mentions => NotAnOrderReason::NoRequest,
        Intent::Order if is_customer => NotAnOrderReason::Unclear,
        _ => NotAnOrderReason::NoLines,
    }
}

/// The obstacle that keeps the letter from being understood. A document of a kind that is never read, or one without text, is one
/// only when nothing else in the letter says what is ordered.
fn obstacle(letter: &Letter, nothing_else: bool) -> Option<&Obstacle> {
    let serious = letter.obstacles.iter().find(|obstacle| obstacle.code.is_serious());
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
        let mut words = String::new();
        if !is_reply(&letter.subject) {
            words.push_str(&letter.subject);
        }
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

fn asks_in_text(document: &Document) -> bool {
    document.contents.iter().any(|content| match content {
        Content::Text(text) => intent_of(text) == Intent::Order,
        Content::Table(_) => false,
    })
}
