//! The worker `orders`: one mail becomes one order, one answer, or one question to a person.
//!
//! ```text
//! task ─▶ raw bytes ─▶ read_order ─▶ verdict ─┬─ accept ─▶ order rows + reply task + fact, all with the settlement
//!                                             ├─ answer ─▶ reply task
//!                                             ├─ park   ─▶ a person decides
//!                                             └─ ignore
//! ```

use std::sync::Arc;

use mail_order_domain::{Disposition, Order, ReplyText, Shop, Verdict};
use runtime::core::task::TaskId;
use runtime::prelude::*;
use serde_json::Value;

use crate::extract::Extractor;
use crate::handlers::replies::Reply;
use crate::sources::IncomingMail;
use crate::{Reading, read_order};

/// What the worker needs beside its task.
pub struct OrderDesk {
    /// What is sold, and to whom.
    pub shop: Shop,
    /// Reads foreign documents.
    pub extractor: Extractor,
    /// Where replies go.
    pub replies: Arc<Route>,
}

/// How a mail ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MailOutcome {
    /// The verdict's code, or `oversize` or `duplicate`.
    pub verdict: String,
    /// Who sent it.
    pub from: String,
    /// Its subject.
    pub subject: String,
    /// The order that was created.
    pub order: Option<Value>,
    /// The task of the mail that this one repeats.
    pub duplicate_of: Option<String>,
    /// Whether the customer is answered.
    pub answered: bool,
    /// What an operator may want to know.
    pub notes: Vec<String>,
}

impl OrderDesk {
    /// Handles one mail.
    ///
    /// # Errors
    /// Parks what a person must decide; asks for another attempt when an attachment was not read for a passing reason.
    pub async fn take(self: Arc<Self>, ctx: Context, mail: IncomingMail) -> HandlerResult<MailOutcome> {
        let Some(hash) = mail.content else {
            return self.oversize(&ctx, &mail);
        };
        let raw = raw_mail(&ctx, &hash).await?;
        let reading = match read_order(&raw, &self.shop, &self.extractor).await {
            Ok(reading) => reading,
            Err(error) if ctx.task().attempts_left() => {
                let text = format!("{error}: {}", error.code().code());
                return Err(NotDone::retry(text));
            }
            Err(error) => *error.last_word,
        };
        let identity = match &reading.message_id {
            None => None,
            Some(message_id) => match known_as(&ctx, message_id).await? {
                Known::No => Some(message_id.clone()),
                Known::As { task, .. } if task == ctx.task().id.to_string() => None,
                Known::As { hash: known, task } if known == hash => return Ok(duplicate(reading, task)),
                Known::As { .. } if ctx.approved() => None,
                Known::As { task, .. } => {
                    return Err(question(format!(
                        "Message-ID {message_id} already stands for the mail of task {task}, which has other content"
                    )));
                }
            },
        };
        self.decide(&ctx, reading, hash, identity)
    }

    fn decide(
        &self,
        ctx: &Context,
        reading: Reading,
        hash: String,
        identity: Option<String>,
    ) -> HandlerResult<MailOutcome> {
        match reading.verdict.disposition() {
            Disposition::Park if !ctx.approved() => {
                let (code, from, subject) = (reading.verdict.code(), &reading.from, &reading.subject);
                return Err(question(format!("{code}: mail from {from:?}, subject {subject:?}")));
            }
            // A person has seen it, and there is nothing in it for the bot to do.
            Disposition::Park | Disposition::Ignore => return Ok(outcome(&reading, false)),
            Disposition::Accept | Disposition::Answer => {}
        }
        let task = ctx.task().id;
        if let Some(message_id) = identity {
            ctx.write(claim_identity(message_id, hash.clone(), task));
        }
        if let Verdict::Order { order } = &reading.verdict {
            ctx.write(create_order(order.clone(), task, hash, reading.message_id.clone()));
            ctx.emit(order_created(order, task)?);
        }
        if let Some(reply) = &reading.reply {
            ctx.enqueue(self.reply_task(ctx, reply, &reading)?);
        }
        Ok(outcome(&reading, reading.reply.is_some()))
    }

    fn reply_task(&self, ctx: &Context, reply: &ReplyText, reading: &Reading) -> Result<NewTask, NotDone> {
        let reply = Reply {
            answers: ctx.task().id,
            to: reply.to.clone(),
            subject: reply.subject.clone(),
            body: reply.body.clone(),
            in_reply_to: reading.message_id.clone(),
        };
        Ok(NewTask::of(self.replies.clone(), &reply)?)
    }

    /// A mail that was too large to be taken in: nothing of it is known but that it is there.
    fn oversize(&self, ctx: &Context, mail: &IncomingMail) -> HandlerResult<MailOutcome> {
        if !ctx.approved() {
            return Err(question(format!(
                "a mail of {} bytes is larger than the limit and was not read",
                mail.size
            )));
        }
        Ok(MailOutcome {
            verdict: "oversize".to_owned(),
            from: String::new(),
            subject: String::new(),
            order: None,
            duplicate_of: None,
            answered: false,
            notes: Vec::new(),
        })
    }
}

fn question(question: String) -> NotDone {
    NotDone::Park { reason: ParkReason::NeedsDecision { question } }
}

fn outcome(reading: &Reading, answered: bool) -> MailOutcome {
    let order = match &reading.verdict {
        Verdict::Order { order } => serde_json::to_value(order).ok(),
        _ => None,
    };
    MailOutcome {
        verdict: reading.verdict.code().to_owned(),
        from: reading.from.clone(),
        subject: reading.subject.clone(),
        order,
        duplicate_of: None,
        answered,
        notes: reading.notes.clone(),
    }
}

fn duplicate(reading: Reading, of: String) -> MailOutcome {
    MailOutcome {
        verdict: "duplicate".to_owned(),
        order: None,
        duplicate_of: Some(of),
        ..outcome(&reading, false)
    }
}

async fn raw_mail(ctx: &Context, hash: &str) -> Result<Vec<u8>, NotDone> {
    let rows = ctx.store().query_app("SELECT bytes FROM mail_raw WHERE hash = ?1", vec![hash.into()]).await?;
    match rows.first() {
        Some(row) => Ok(row.blob(0)?.to_vec()),
        None => Err(NotDone::reject(format!("the raw mail {hash} is not in the store"))),
    }
}

/// What a Message-ID stands for.
enum Known {
    No,
    As { hash: String, task: String },
}

async fn known_as(ctx: &Context, message_id: &str) -> Result<Known, NotDone> {
    let sql = "SELECT hash, task FROM mail_identity WHERE message_id = ?1";
    let rows = ctx.store().query_app(sql, vec![message_id.into()]).await?;
    match rows.first() {
        None => Ok(Known::No),
        Some(row) => Ok(Known::As { hash: row.text(0)?.to_owned(), task: row.text(1)?.to_owned() }),
    }
}

/// Claims a Message-ID. When another task claimed it meanwhile the insert fails, the settlement is undone, and the next attempt sees
/// whose it is.
fn claim_identity(message_id: String, hash: String, task: TaskId) -> AppWrite {
    AppWrite::new(move |tx| {
        let sql = "INSERT INTO mail_identity (message_id, hash, task) VALUES (?1, ?2, ?3)";
        tx.execute(sql, &[message_id.as_str().into(), hash.as_str().into(), task.to_string().into()])?;
        Ok(())
    })
}

fn create_order(order: Order, task: TaskId, hash: String, message_id: Option<String>) -> AppWrite {
    AppWrite::new(move |tx| {
        let number = tx.query("SELECT COALESCE(MAX(number), 1000) + 1 FROM orders", &[])?;
        let number = number.first().map_or(Ok(1001), |row| row.integer(0))?;
        let now = tx.now().as_millisecond();
        tx.execute(
            "INSERT INTO orders (number, task, hash, message_id, customer, customer_name, total_minor, currency, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            &[
                number.into(),
                task.to_string().into(),
                hash.as_str().into(),
                message_id.clone().into(),
                order.customer.as_str().into(),
                order.customer_name.as_str().into(),
                order.total.minor.into(),
                order.total.currency.to_string().into(),
                now.into(),
            ],
        )?;
        for (position, line) in (1_i64..).zip(&order.lines) {
            tx.execute(
                "INSERT INTO order_lines (number, position, sku, name, quantity, unit, unit_price_minor, total_minor)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                &[
                    number.into(),
                    position.into(),
                    line.sku.to_string().into(),
                    line.name.as_str().into(),
                    line.quantity.into(),
                    line.unit.to_string().into(),
                    line.unit_price.minor.into(),
                    line.total.minor.into(),
                ],
            )?;
        }
        Ok(())
    })
}

fn order_created(order: &Order, task: TaskId) -> Result<NewEvent, NotDone> {
    let body = serde_json::json!({ "task": task, "customer": order.customer, "total": order.total });
    let body = serde_json::to_vec(&body).map_err(|error| NotDone::reject(error.to_string()))?;
    Ok(NewEvent { kind: "order_created".to_owned(), body })
}
