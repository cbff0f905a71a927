//! One mail, from its bytes to its verdict and the reply.

use mail_order_domain::{Document, Letter, Obstacle, ObstacleCode, ReplyText, Shop, Verdict};
use serde::{Deserialize, Serialize};

use crate::attachments::{Selection, choose};
use crate::extract::{ExtractError, Extractor};
use crate::mime;

/// What a mail turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The Message-ID without its brackets.
    pub message_id: Option<String>,
    /// The sender's address; empty when the mail cannot be read.
    pub from: String,
    /// The decoded subject.
    pub subject: String,
    /// How it ends.
    pub verdict: Verdict,
    /// What to answer, if anything.
    pub reply: Option<ReplyText>,
    /// What an operator may want to know besides, a sentence each.
    pub notes: Vec<String>,
}

/// The mail was not read to its end, and another attempt could.
#[derive(Debug, thiserror::Error)]
#[error("attachment {attachment} was not read")]
pub struct ReadError {
    /// The attachment that was being read.
    pub attachment: String,
    /// What stood in the way; always something that another attempt could overcome.
    #[source]
    pub cause: ExtractError,
    /// What to make of the mail when there will be no other attempt.
    pub last_word: Box<Reading>,
}

impl ReadError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ObstacleCode {
        self.cause.code()
    }
}

/// Reads a mail. The same bytes and the same shop give the same reading, however often.
///
/// # Errors
/// [`ReadError`] when a passing fault (no time, no process) kept an attachment from being read. What is wrong with the
/// mail itself is never an error but a verdict.
pub async fn read_order(raw: &[u8], shop: &Shop, extractor: &Extractor) -> Result<Reading, ReadError> {
    let mail = match mime::parse(raw) {
        Ok(mail) => mail,
        Err(error) => return Ok(unreadable(&error)),
    };
    let mut reader = Reader {
        message_id: mail.message_id,
        letter: Letter {
            sender: mail.from,
            subject: mail.subject,
            documents: vec![Document::mail_text(&mail.text)],
            obstacles: Vec::new(),
            automatic: mail.automatic,
        },
        notes: Vec::new(),
    };
    if reader.letter.automatic {
        reader.notes.push("sent by a machine; its attachments were not looked at".to_owned());
        return Ok(reader.judge(shop));
    }
    let Selection { candidates, obstacles, notes } = choose(mail.attachments);
    reader.letter.obstacles = obstacles;
    reader.notes = notes;
    for candidate in candidates {
        match extractor.extract(&candidate).await {
            Ok(document) => reader.letter.documents.push(document),
            Err(cause) => {
                let attachment = candidate.name;
                reader.letter.obstacles.push(Obstacle { attachment: attachment.clone(), code: cause.code() });
                if cause.retry_could_help() {
                    let last_word = Box::new(reader.judge(shop));
                    return Err(ReadError { attachment, cause, last_word });
                }
            }
        }
    }
    Ok(reader.judge(shop))
}

struct Reader {
    message_id: Option<String>,
    letter: Letter,
    notes: Vec<String>,
}

impl Reader {
    fn judge(self, shop: &Shop) -> Reading {
        let Self { message_id, letter, mut notes } = self;
        let verdict = shop.judge(&letter);
        let reply = shop.reply(&letter, &verdict);
        for Obstacle { attachment, code } in &letter.obstacles {
            notes.push(format!("{attachment} was not read: {}", code.code()));
        }
        Reading { message_id, from: letter.sender, subject: letter.subject, verdict, reply, notes }
    }
}

fn unreadable(error: &mime::MimeError) -> Reading {
    Reading {
        message_id: None,
        from: String::new(),
        subject: String::new(),
        verdict: Verdict::UnreadableMail { reason: error.code().to_owned() },
        reply: None,
        notes: vec![error.to_string()],
    }
}
