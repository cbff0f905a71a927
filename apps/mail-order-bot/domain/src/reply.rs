//! What is written back: a confirmation that repeats the whole order, or a refusal that names every line, its place
//! and the cause, so that the customer can mend it without asking.

mod english;
mod french;
mod german;
mod italian;
mod spanish;

use serde::{Deserialize, Serialize};

use self::english::English;
use self::french::French;
use self::german::German;
use self::italian::Italian;
use self::spanish::Spanish;
use crate::customers::Customer;
use crate::draft::{ColumnRef, LineRef};
use crate::judge::{Letter, ObstacleCode};
use crate::language::Language;
use crate::money::Money;
use crate::order::{Order, OrderLine};
use crate::problem::{Claim, Contradiction, LineProblem, ProblemKind};
use crate::shop::Shop;
use crate::unit::Unit;
use crate::verdict::{Disposition, Verdict};

/// Most causes that one reply names; nobody reads more.
const MAX_CAUSES: usize = 100;

/// A reply to a customer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyText {
    /// The customer's address: the one the mail came from, never one that the mail asks replies to be sent to.
    pub to: String,
    /// The language it is in, which is the customer's.
    pub language: Language,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
}

impl Shop {
    /// What to answer, if anything. Machines and strangers get no answer.
    #[must_use]
    pub fn reply(&self, letter: &Letter, verdict: &Verdict) -> Option<ReplyText> {
        if !matches!(verdict.disposition(), Disposition::Accept | Disposition::Answer) {
            return None;
        }
        let customer = self.customers.find(&letter.sender)?;
        let voice: &dyn Voice = match customer.language {
            Language::De => &German,
            Language::En => &English,
            Language::Fr => &French,
            Language::Es => &Spanish,
            Language::It => &Italian,
        };
        let body = body(voice, customer, verdict)?;
        let subject = subject(&letter.subject, voice);
        Some(ReplyText { to: letter.sender.clone(), language: voice.language(), subject, body })
    }
}

/// Everything that is said to customers, in one language. What is said when, and around what, is the same in all of
/// them and stands below.
trait Voice {
    fn language(&self) -> Language;
    /// The subject of a reply to a mail without one.
    fn no_subject(&self) -> &'static str;
    fn greeting(&self, name: &str) -> String;
    fn closing(&self) -> &'static str;
    /// Says that the order was booked as follows.
    fn booked(&self) -> &'static str;
    /// Stands before the price of one unit.
    fn each(&self) -> &'static str;
    /// Stands before the total.
    fn total(&self) -> &'static str;
    /// Says that nothing was ordered, and why follows.
    fn refusal(&self) -> &'static str;
    /// Says what the customer can do about it.
    fn what_to_do(&self) -> &'static str;
    /// Stands for the causes that are left out.
    fn and_more(&self, count: usize) -> String;
    /// What the customer wrote.
    fn quoted(&self, text: &str) -> String;
    /// What the customer wrote, where nothing is written.
    fn nothing(&self) -> &'static str;
    /// `said` stands in `place`.
    fn said_in(&self, said: &str, place: &str) -> String;
    fn mail_text(&self) -> &'static str;
    fn mail_line(&self, line: u32) -> String;
    /// A line of a document, or a row of a sheet of one.
    fn document_line(&self, document: &str, sheet: Option<&str>, line: u32) -> String;
    fn column(&self, column: &ColumnRef) -> String;
    fn problem(&self, kind: &ProblemKind) -> String;
    /// What is wrong about an article whose lines disagree; the claims follow.
    fn disagreement(&self, contradiction: &Contradiction) -> &'static str;
    fn line_total(&self, claimed: &str, computed: &str) -> String;
    fn order_total(&self, claimed: &str, computed: &str) -> String;
    fn documents(&self, one: &str, other: &str) -> String;
    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String;

    fn money(&self, amount: Money) -> String {
        amount.to_text(self.language())
    }

    fn unit(&self, unit: Unit) -> &'static str {
        unit.to_text(self.language())
    }
}

fn subject(subject: &str, voice: &dyn Voice) -> String {
    let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let subject: String = subject.chars().filter(|c| !c.is_control()).take(150).collect();
    match subject.is_empty() {
        true => format!("Re: {}", voice.no_subject()),
        false if subject.to_lowercase().starts_with("re:") => subject,
        false => format!("Re: {subject}"),
    }
}

fn body(voice: &dyn Voice, customer: &Customer, verdict: &Verdict) -> Option<String> {
    let causes = match verdict {
        Verdict::Order { order } => {
            let parts =
                [voice.greeting(&customer.name), confirmation(voice, order), voice.closing().to_owned()];
            return Some(parts.join("\n\n") + "\n");
        }
        Verdict::InvalidLines { problems } => {
            problems.iter().map(|problem| of_line(voice, problem)).collect()
        }
        Verdict::Contradictory { contradictions, problems } => {
            let contradictions = contradictions.iter().map(|found| of_contradiction(voice, found));
            contradictions.chain(problems.iter().map(|problem| of_line(voice, problem))).collect()
        }
        Verdict::UnreadableAttachment { attachment, reason }
        | Verdict::RefusedAttachment { attachment, reason } => {
            vec![voice.obstacle(&voice.quoted(attachment), *reason)]
        }
        Verdict::NotAnOrder { .. } | Verdict::UnknownCustomer { .. } | Verdict::UnreadableMail { .. } => {
            return None;
        }
    };
    let parts = [
        voice.greeting(&customer.name),
        voice.refusal().to_owned(),
        listed(voice, causes),
        voice.what_to_do().to_owned(),
        voice.closing().to_owned(),
    ];
    Some(parts.join("\n\n") + "\n")
}

/// The order, line by line.
fn confirmation(voice: &dyn Voice, order: &Order) -> String {
    let line = |line: &OrderLine| {
        let OrderLine { quantity, sku, name, .. } = line;
        let (unit, each) = (voice.unit(line.unit), voice.each());
        let (price, total) = (voice.money(line.unit_price), voice.money(line.total));
        format!("  {quantity} x {sku} {name} ({unit}) {each} {price} = {total}")
    };
    let lines: Vec<_> = order.lines.iter().map(line).collect();
    let total = voice.money(order.total);
    format!("{}\n\n{}\n\n  {}: {total}", voice.booked(), lines.join("\n"), voice.total())
}

fn listed(voice: &dyn Voice, causes: Vec<String>) -> String {
    let more = causes.len().saturating_sub(MAX_CAUSES);
    let mut items: Vec<_> = causes.into_iter().take(MAX_CAUSES).collect();
    if more > 0 {
        items.push(voice.and_more(more));
    }
    items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}

fn of_line(voice: &dyn Voice, problem: &LineProblem) -> String {
    let mut place = place(voice, &problem.at);
    if let Some(column) = &problem.column {
        place = format!("{place}, {}", voice.column(column));
    }
    let about = problem.sku.as_ref().map(|sku| format!(" ({sku})")).unwrap_or_default();
    format!("{place}{about}: {}", voice.problem(&problem.kind))
}

fn of_contradiction(voice: &dyn Voice, contradiction: &Contradiction) -> String {
    match contradiction {
        Contradiction::Quantities { sku, claims }
        | Contradiction::Units { sku, claims }
        | Contradiction::Prices { sku, claims }
        | Contradiction::Repeated { sku, claims } => {
            let said: Vec<_> = claims.iter().take(MAX_CAUSES).map(|claim| of_claim(voice, claim)).collect();
            format!("{sku} {}: {}", voice.disagreement(contradiction), said.join(", "))
        }
        Contradiction::LineTotal { at, sku, claimed, computed } => {
            let said = voice.line_total(&voice.quoted(claimed), &voice.money(*computed));
            format!("{} ({sku}): {said}", place(voice, at))
        }
        Contradiction::OrderTotal { at, claimed, computed } => {
            let said = voice.order_total(&voice.quoted(claimed), &voice.money(*computed));
            format!("{}: {said}", place(voice, at))
        }
        Contradiction::Documents { one, other } => {
            let name = |document: &Option<String>| {
                document.as_ref().map_or_else(|| voice.mail_text().to_owned(), |name| voice.quoted(name))
            };
            voice.documents(&name(one), &name(other))
        }
    }
}

fn of_claim(voice: &dyn Voice, claim: &Claim) -> String {
    let said = if claim.text.is_empty() { voice.nothing().to_owned() } else { voice.quoted(&claim.text) };
    voice.said_in(&said, &place(voice, &claim.at))
}

fn place(voice: &dyn Voice, at: &LineRef) -> String {
    match &at.document {
        Some(document) => voice.document_line(&voice.quoted(document), at.sheet.as_deref(), at.line),
        None => voice.mail_line(at.line),
    }
}
