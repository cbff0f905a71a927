//! The worker `replies`: one reply leaves, once.
//!
//! Sending mail is an unkeyed effect: the intent is on disk before the call, the result after it. A crash between the two parks the task
//! for a person, who looks whether the mail went out.

use std::sync::Arc;

use runtime::core::task::TaskId;
use runtime::prelude::*;

use crate::post::PostOffice;

/// A reply, ready to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The task of the mail it answers.
    #[schemars(with = "String")]
    pub answers: TaskId,
    /// The customer's address.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// Message-ID of the mail it answers, without brackets.
    pub in_reply_to: Option<String>,
}

impl TaskInput for Reply {
    const KEY: &'static str = "the task of the mail it answers: one reply a mail, whatever happens";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("reply to {}", self.answers))
    }
}

/// Proof that a reply left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// Its own Message-ID, without brackets.
    pub message_id: String,
}

/// Sends one reply.
///
/// # Errors
/// A retry when the mail certainly did not leave; parks the task when nobody knows.
pub async fn send(post: Arc<PostOffice>, ctx: Context, reply: Reply) -> HandlerResult<Option<Sent>> {
    let step = StepName::new("send")?;
    let message_id = format!("{}@{}", ctx.task().id, post.domain());
    ctx.unkeyed(step, &reply, || async {
        post.send(&reply, &message_id).await.map(|()| Some(Sent { message_id: message_id.clone() }))
    })
    .await
}
