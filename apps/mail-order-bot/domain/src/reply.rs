//! What is written back: a confirmation that repeats the whole order, or a refusal that names every line, its place
//! and the cause, so that the customer can mend it without asking.

mod english;
mod german;

use serde::{Deserialize, Serialize};

use self::english::English;
use self::german::German;
use crate::customers::Customer;
use crate::draft::{ColumnRef, LineRef};
use crate::judge::{Letter, ObstacleCode};
use crate::language::Language;
use crate::order::Order;
use crate::problem::{Contradiction, LineProblem, ProblemKind};
use crate::shop::Shop;
use crate::verdict::{Disposition, Verdict};

/// Most causes that one reply names; nobody reads more.
const MAX_CAUSES: usize = 100;

/// A reply to a customer, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyText {
    /// The customer's address: the one the mail came from, never one that the mail asks replies to be sent to.
    pub to: String,
    /// The language it is in: German for German customers, English for all others.
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
            Language::En | Language::Fr | Language::Es | Language::It => &English,
        };
        let body = body(voice, customer, verdict)?;
        let subject = subject(&letter.subject, voice);
        Some(ReplyText { to: letter.sender.clone(), language: voice.language(), subject, body })
    }
}

/// Everything that is said to customers, in one language.
trait Voice {
    fn language(&self) -> Language;
    /// The subject of a reply to a mail without one.
    fn no_subject(&self) -> &'static str;
    fn greeting(&self, name: &str) -> String;
    fn closing(&self) -> &'static str;
    /// The order, line by line.
    fn confirmation(&self, order: &Order) -> String;
    /// Says that nothing was ordered, and why follows.
    fn refusal(&self) -> &'static str;
    /// Says what the customer can do about it.
    fn what_to_do(&self) -> &'static str;
    /// Stands for the causes that are left out.
    fn and_more(&self, count: usize) -> String;
    fn place(&self, at: &LineRef, column: Option<&ColumnRef>) -> String;
    fn problem(&self, kind: &ProblemKind) -> String;
    fn contradiction(&self, contradiction: &Contradiction) -> String;
    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String;
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
                [voice.greeting(&customer.name), voice.confirmation(order), voice.closing().to_owned()];
            return Some(parts.join("\n\n") + "\n");
        }
        Verdict::InvalidLines { problems } => {
            problems.iter().map(|problem| sentence(voice, problem)).collect()
        }
        Verdict::Contradictory { contradictions, problems } => {
            let contradictions = contradictions.iter().map(|found| voice.contradiction(found));
            contradictions.chain(problems.iter().map(|problem| sentence(voice, problem))).collect()
        }
        Verdict::UnreadableAttachment { attachment, reason }
        | Verdict::RefusedAttachment { attachment, reason } => {
            vec![voice.obstacle(attachment, *reason)]
        }
        Verdict::NotAnOrder { .. } | Verdict::UnknownCustomer { .. } | Verdict::UnreadableMail { .. } => {
            return None;
        }
    };
    let more = causes.len().saturating_sub(MAX_CAUSES);
    let mut causes: Vec<_> =
        causes.into_iter().take(MAX_CAUSES).map(|cause: String| format!("- {cause}")).collect();
    if more > 0 {
        causes.push(format!("- {}", voice.and_more(more)));
    }
    let parts = [
        voice.greeting(&customer.name),
        voice.refusal().to_owned(),
        causes.join("\n"),
        voice.what_to_do().to_owned(),
        voice.closing().to_owned(),
    ];
    Some(parts.join("\n\n") + "\n")
}

fn sentence(voice: &dyn Voice, problem: &LineProblem) -> String {
    let place = voice.place(&problem.at, problem.column.as_ref());
    let about = problem.sku.as_ref().map(|sku| format!(" ({sku})")).unwrap_or_default();
    format!("{place}{about}: {}", voice.problem(&problem.kind))
}
