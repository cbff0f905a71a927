//! From raw bytes to a mail: who sent it, what it says, what is attached.
//!
//! The bytes come from anyone. Size, parts and nesting are counted before the parser sees them, and the parser runs
//! under a panic catch; so the worst mail costs an error with a code.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::extract::{charset, html};

/// Most bytes a mail may have.
const MAX_MAIL_BYTES: usize = 32 * 1024 * 1024;
/// Most parts, and most containers (multiparts and mails in mails), a mail may have.
const MAX_PARTS: usize = 400;
const MAX_CONTAINERS: usize = 40;
/// How deep a mail inside a mail inside a mail is looked into.
const MAX_FORWARDS: usize = 3;

/// A mail, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The Message-ID without its brackets.
    pub message_id: Option<String>,
    /// The address in `From`.
    pub from: String,
    /// The decoded subject; empty when there is none.
    pub subject: String,
    /// Everything written in the mail itself, HTML made plain.
    pub text: String,
    /// Attachments, with those of forwarded mails, in their order.
    pub attachments: Vec<Attachment>,
    /// Whether its headers say that a machine sent it to many or in answer: out of office, bounce, list, newsletter.
    pub automatic: bool,
}

/// An attachment, decoded but not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its file name, or a name made from its place.
    pub name: String,
    /// `type/subtype` in lower case.
    pub media_type: String,
    /// The character set its sender declared.
    pub charset: Option<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether its transfer encoding was broken, so that `bytes` are not what was sent.
    pub damaged: bool,
}

/// Why bytes are not taken as a mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// Larger than a mail may be.
    #[error("the mail has {bytes} bytes, more than {MAX_MAIL_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// More parts than a mail may have.
    #[error("the mail has more than {MAX_PARTS} parts")]
    TooManyParts,
    /// Mails in mails in mails, or multiparts in multiparts.
    #[error("the mail has more than {MAX_CONTAINERS} containers inside each other")]
    TooDeep,
    /// No headers at all.
    #[error("the bytes are not a mail")]
    NotAMail,
    /// Nobody is named as its sender.
    #[error("the mail names no sender")]
    NoSender,
    /// The parser panicked.
    #[error("the mail broke the parser")]
    ParserPanicked,
}

impl MimeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "mail_too_large",
            Self::TooManyParts => "mail_too_many_parts",
            Self::TooDeep => "mail_too_deep",
            Self::NotAMail => "not_a_mail",
            Self::NoSender => "no_sender",
            Self::ParserPanicked => "parser_panicked",
        }
    }
}

/// Parses a mail.
///
/// # Errors
/// [`MimeError`] when the bytes are no mail or break a limit. It never panics.
pub fn parse(raw: &[u8]) -> Result<Mail, MimeError> {
    within_limits(raw)?;
    catch_unwind(AssertUnwindSafe(|| read(raw))).unwrap_or(Err(MimeError::ParserPanicked))
}

/// Counts what would make the parser work hard, on the raw bytes and line by line.
fn within_limits(raw: &[u8]) -> Result<(), MimeError> {
    if raw.len() > MAX_MAIL_BYTES {
        return Err(MimeError::TooLarge { bytes: raw.len() });
    }
    let (mut parts, mut containers) = (0, 0);
    for line in raw.split(|byte| *byte == b'\n') {
        let Some(value) = strip_prefix_ignore_case(line.trim_ascii_start(), b"content-type:") else {
            continue;
        };
        parts += 1;
        let value = value.trim_ascii_start();
        let contains = |kind| strip_prefix_ignore_case(value, kind).is_some();
        containers += usize::from(contains(b"multipart/") || contains(b"message/"));
    }
    if containers > MAX_CONTAINERS {
        Err(MimeError::TooDeep)
    } else if parts > MAX_PARTS {
        Err(MimeError::TooManyParts)
    } else {
        Ok(())
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn read(raw: &[u8]) -> Result<Mail, MimeError> {
    let message = MessageParser::default().parse(raw).ok_or(MimeError::NotAMail)?;
    let from = sender(&message).ok_or(MimeError::NoSender)?;
    let mut attachments = Vec::new();
    collect_attachments(&message, MAX_FORWARDS, &mut attachments);
    Ok(Mail {
        message_id: message.message_id().map(str::to_owned),
        automatic: is_automatic(&message, &from),
        from,
        subject: on_one_line(message.subject().unwrap_or_default()),
        text: text_of(&message),
        attachments,
    })
}

fn sender(message: &Message<'_>) -> Option<String> {
    let address = message.from()?.first()?.address()?.trim();
    let (local, domain) = address.rsplit_once('@')?;
    let plain =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
    (plain(local) && plain(domain)).then(|| address.to_lowercase())
}

/// What its headers say about who sent it. `auto-generated` alone is left out: order systems of customers say so too,
/// and rightly.
fn is_automatic(message: &Message<'_>, from: &str) -> bool {
    let says = |name: &'static str, words: &[&str]| {
        let value = message.header_raw(name).unwrap_or_default().trim().to_lowercase();
        words.iter().any(|word| value.starts_with(word))
    };
    let has = |name: &'static str| message.header(name).is_some();
    says("Auto-Submitted", &["auto-replied", "auto-notified"])
        || says("Precedence", &["bulk", "list", "junk", "auto_reply"])
        || says("Return-Path", &["<>"])
        || has("List-Id")
        || has("List-Unsubscribe")
        || has("X-Autoreply")
        || message.is_content_type("multipart", "report")
        || from.starts_with("mailer-daemon@")
}

fn text_of(message: &Message<'_>) -> String {
    let plain: Vec<_> = message.text_bodies().map(|part| part_text(message, part)).collect();
    let plain = plain.join("\n");
    if !plain.trim().is_empty() {
        return plain;
    }
    let from_html: Vec<_> = message.html_bodies().map(|part| part_text(message, part)).collect();
    from_html.join("\n")
}

fn part_text(message: &Message<'_>, part: &MessagePart<'_>) -> String {
    let text = match &part.body {
        PartType::Text(text) | PartType::Html(text) => repaired(message, part, text),
        PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_) | PartType::Multipart(_) => {
            return String::new();
        }
    };
    match &part.body {
        PartType::Html(_) => html::to_text(&text),
        _ => text.replace("\r\n", "\n"),
    }
}

/// The parser takes text of no or of a wrong character set for UTF-8; where that lost letters, the bytes are read again.
fn repaired<'a>(message: &Message<'_>, part: &MessagePart<'_>, text: &'a str) -> Cow<'a, str> {
    match raw_bytes(message, part) {
        Some(bytes) if text.contains(char::REPLACEMENT_CHARACTER) => {
            Cow::Owned(charset::decode(&bytes, declared_charset(part).as_deref()))
        }
        _ => Cow::Borrowed(text),
    }
}

/// A part's bytes as they were before their transfer encoding.
fn raw_bytes(message: &Message<'_>, part: &MessagePart<'_>) -> Option<Vec<u8>> {
    let range = part.offset_body as usize..part.offset_end as usize;
    let bytes = message.raw_message.get(range)?;
    match part.encoding {
        Encoding::None => Some(bytes.to_vec()),
        Encoding::QuotedPrintable => quoted_printable_decode(bytes),
        Encoding::Base64 => base64_decode(bytes),
    }
}

fn declared_charset(part: &MessagePart<'_>) -> Option<String> {
    part.content_type()?.attribute("charset").map(str::to_owned)
}

fn collect_attachments(message: &Message<'_>, forwards: usize, found: &mut Vec<Attachment>) {
    for part in message.attachments() {
        if let PartType::Message(nested) = &part.body {
            if forwards > 0 {
                found.push(forwarded_text(nested, found.len() + 1));
                collect_attachments(nested, forwards - 1, found);
            }
            continue;
        }
        let media_type = part.content_type().map_or_else(
            || "application/octet-stream".to_owned(),
            |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("octet-stream")).to_lowercase(),
        );
        let name = part.attachment_name().map(file_name).filter(|name| !name.is_empty());
        let bytes = match &part.body {
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.to_vec(),
            PartType::Text(text) | PartType::Html(text) => {
                raw_bytes(message, part).unwrap_or_else(|| text.as_bytes().to_vec())
            }
            PartType::Message(_) | PartType::Multipart(_) => continue,
        };
        found.push(Attachment {
            name: name.unwrap_or_else(|| format!("attachment {}", found.len() + 1)),
            media_type,
            charset: declared_charset(part),
            bytes,
            damaged: part.is_encoding_problem,
        });
    }
}

/// The text of a mail that was forwarded as an attachment.
fn forwarded_text(nested: &Message<'_>, place: usize) -> Attachment {
    let subject = nested.subject().unwrap_or_default().trim();
    let name = if subject.is_empty() { format!("forwarded mail {place}") } else { subject.to_owned() };
    Attachment {
        name,
        media_type: "text/plain".to_owned(),
        charset: Some("utf-8".to_owned()),
        bytes: text_of(nested).into_bytes(),
        damaged: false,
    }
}

/// The last part of a name that may be a path.
fn file_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    on_one_line(name).chars().take(120).collect()
}

/// Text without the characters that would spoil a line.
fn on_one_line(text: &str) -> String {
    let words: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    words.trim().to_owned()
}
