//! `notify`: drafts become a promotion, a promotion becomes one letter.
//!
//! ```text
//! draft ─▶ Promote (put off by each further draft) ─▶ promotion + Send, one transaction ─▶ letter ─▶ sent
//!                                                                                 unkeyed: intent, call, result
//! ```
//!
//! Post has no keys: a letter that may have left, and of which nobody knows, waits for a person and is not sent again.

use std::sync::Arc;

use runtime::core::store::{SqlRow, Store as Rows};
use runtime::prelude::*;
use storefront_domain::{
    Customer, CustomerId, Draft, DraftId, Letter, Promotion, PromotionId, PromotionState, Topic,
};

use crate::obligations::Obligations;
use crate::post::Spool;
use crate::rows::{Columns, moment, name_of, number, unreadable};

/// What is to be done for a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Notify {
    /// See which drafts of a topic go together and are due.
    Promote {
        /// The customer's number.
        recipient: u64,
        /// Of which topic.
        #[schemars(with = "String")]
        topic: Topic,
    },
    /// Send a promotion.
    Send {
        /// The customer's number.
        recipient: u64,
        /// The promotion's name.
        promotion: String,
    },
}

impl TaskInput for Notify {
    const KEY: &'static str = "customer and topic while it waits; the promotion when it is sent";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(match self {
            Self::Promote { recipient, topic } => format!("promote/customer:{recipient}/{}", topic.name()),
            Self::Send { promotion, .. } => format!("send/{promotion}"),
        })
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        let (Self::Promote { recipient, .. } | Self::Send { recipient, .. }) = self;
        Scope::new(format!("customer={recipient}")).map(Some)
    }

    /// Two looks at the same drafts at once would both find them waiting.
    fn ordering_key(&self) -> Result<Option<OrderingKey>, InvalidName> {
        match self {
            Self::Promote { recipient, topic } => {
                OrderingKey::new(format!("customer:{recipient}/{}", topic.name())).map(Some)
            }
            Self::Send { .. } => Ok(None),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Notified {
    /// Drafts were looked at.
    Promoted {
        /// Promotions that were due.
        promotions: u64,
        /// Drafts that wait on.
        waiting: u64,
    },
    /// A letter left.
    Sent {
        /// Its reference.
        promotion: String,
    },
}

/// What the worker needs beside its task.
pub struct Herald {
    /// Rules, time, and further tasks.
    pub obligations: Arc<Obligations>,
    /// How letters leave.
    pub spool: Spool,
}

impl Herald {
    /// Promotes or sends.
    ///
    /// # Errors
    /// A retry when the letter certainly did not leave; parks the task when nobody knows.
    pub async fn notify(self: Arc<Self>, ctx: Context, ask: Notify) -> HandlerResult<Notified> {
        match ask {
            Notify::Promote { recipient, topic } => self.promote(&ctx, CustomerId(recipient), topic).await,
            Notify::Send { promotion, .. } => self.send(&ctx, promotion).await,
        }
    }

    async fn promote(&self, ctx: &Context, recipient: CustomerId, topic: Topic) -> HandlerResult<Notified> {
        let sql = format!("{DRAFTS} WHERE recipient = ?1 AND topic = ?2 AND promotion IS NULL");
        let rows = ctx.store().query_app(&sql, vec![number(recipient.0), topic.name().into()]).await?;
        let waiting: Vec<Draft> = rows.iter().map(draft_row).collect::<Result<_, _>>()?;
        let (rules, zone) = (self.obligations.notifications.rules(), &self.obligations.notifications.zone);
        let due = rules.promote(&waiting, zone, self.obligations.time.now());
        let taken = |draft: &&Draft| !due.iter().any(|promotion| promotion.drafts.contains(&draft.id));
        let left: Vec<&Draft> = waiting.iter().filter(taken).collect();
        let done = Notified::Promoted { promotions: due.len() as u64, waiting: left.len() as u64 };
        if let Some(next) = rules.next_due(left, zone) {
            ctx.enqueue(self.obligations.promote_at(recipient.0, topic, next)?);
        }
        for promotion in due {
            ctx.enqueue(self.obligations.send(recipient.0, &promotion.id)?);
            ctx.write(write_promotion(promotion));
        }
        Ok(done)
    }

    async fn send(&self, ctx: &Context, id: String) -> HandlerResult<Notified> {
        let letter = letter(ctx.store(), &id).await?;
        let Some(letter) = letter else { return Ok(Notified::Sent { promotion: id }) };
        let name = format!("{id}.{}", ctx.task().id);
        let sent: String = ctx
            .unkeyed(StepName::new("send")?, &letter, || async {
                self.spool.deliver(&letter, &name).await.map(|()| name.clone())
            })
            .await?;
        tracing::debug!(promotion = id, letter = sent, "a letter left");
        let promotion = id.clone();
        ctx.write(AppWrite::new(move |tx| {
            let sql = "UPDATE promotions SET state = ?2 WHERE id = ?1";
            tx.execute(sql, &[promotion.as_str().into(), name_of(PromotionState::Sent)?.into()])?;
            Ok(())
        }));
        Ok(Notified::Sent { promotion: id })
    }
}

/// Names the drafts and makes the promotion, or nothing: when one of them went out meanwhile, the next attempt sees it.
fn write_promotion(promotion: Promotion) -> AppWrite {
    AppWrite::new(move |tx| {
        tx.execute(
            "INSERT INTO promotions (id, recipient, topic, due_at, state) VALUES (?1, ?2, ?3, ?4, ?5)",
            &[
                promotion.id.as_str().into(),
                number(promotion.recipient.0),
                promotion.topic.name().into(),
                moment(promotion.due_at),
                name_of(promotion.state)?.into(),
            ],
        )?;
        for draft in &promotion.drafts {
            let sql = "UPDATE drafts SET promotion = ?2 WHERE id = ?1 AND promotion IS NULL";
            if tx.execute(sql, &[number(draft.0), promotion.id.as_str().into()])? != 1 {
                return Err(TaskError::new(
                    ErrorCode::AppWriteFailed,
                    format!("draft {draft} does not wait any more"),
                ));
            }
        }
        Ok(())
    })
}

/// The letter of a promotion; `None` when it was sent before.
async fn letter(rows: &Arc<dyn Rows>, id: &str) -> Result<Option<Letter>, TaskError> {
    let sql = "SELECT p.recipient, p.topic, p.due_at, p.state, c.name, c.email
               FROM promotions p JOIN customers c ON c.id = p.recipient WHERE p.id = ?1";
    let found = rows.query_app(sql, vec![id.into()]).await?;
    let row = found.first().ok_or_else(|| TaskError::permanent(format!("there is no promotion {id}")))?;
    let recipient = CustomerId(row.number(0)?);
    let state: PromotionState = row.named(3)?;
    if state == PromotionState::Sent {
        return Ok(None);
    }
    let drafts =
        rows.query_app(&format!("{DRAFTS} WHERE promotion = ?1 ORDER BY at, id"), vec![id.into()]).await?;
    let drafts: Vec<Draft> = drafts.iter().map(draft_row).collect::<Result<_, _>>()?;
    let promotion = Promotion {
        id: named(id)?,
        recipient,
        topic: row.named(1)?,
        drafts: drafts.iter().map(|draft| draft.id).collect(),
        due_at: row.moment(2)?,
        state,
    };
    let customer = Customer { id: recipient, name: row.text(4)?.to_owned(), email: row.text(5)?.to_owned() };
    let letter = promotion.render(&drafts, &customer);
    letter.map(Some).map_err(|error| TaskError::permanent(error.to_string()))
}

fn named(id: &str) -> Result<PromotionId, TaskError> {
    serde_json::from_value(id.into()).map_err(unreadable)
}

const DRAFTS: &str = "SELECT id, recipient, topic, line, at FROM drafts";

fn draft_row(row: &SqlRow) -> Result<Draft, TaskError> {
    Ok(Draft {
        id: DraftId(row.number(0)?),
        recipient: CustomerId(row.number(1)?),
        topic: row.named(2)?,
        line: row.text(3)?.to_owned(),
        at: row.moment(4)?,
    })
}
