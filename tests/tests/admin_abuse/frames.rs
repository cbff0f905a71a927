//! Frames of HTTP/2, written by hand: what no library would send.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};

use crate::port::{PATIENCE, drained};

/// What every client says first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most frames that one connection sends: far more than any server should take.
const FRAMES: usize = 200_000;

const CHUNK_BYTES: usize = 16 * 1024;

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

const END_HEADERS: u8 = 4;
/// A literal field with a new name that is remembered (RFC 7541, 6.2.1).
const LITERAL_REMEMBERED: u8 = 0x40;
const LARGEST_FRAME: usize = 16 * 1024;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn hello() -> Vec<u8> {
    [&PREFACE[..], &frame(kind::SETTINGS, 0, 0, b"")].concat()
}

pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, 0, stream, bytes)
}

/// The stream that a client's request of this number opens, counted from 1.
pub(crate) fn stream(number: u32) -> u32 {
    2 * number - 1
}

/// A call that begins, with so many bytes of headers that mean nothing. What it sends has no end.
pub(crate) fn headers(number: u32, padding: usize) -> Vec<u8> {
    let block = block(padding);
    let mut parts = block.chunks(LARGEST_FRAME).peekable();
    let mut frames = Vec::new();
    let mut kind = kind::HEADERS;
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, flags, stream(number), part));
        kind = kind::CONTINUATION;
    }
    frames
}

/// A call whose headers want to be remembered, each time others: the table that both sides keep is turned over again and again.
pub(crate) fn remembered_headers(number: u32) -> Vec<u8> {
    let mut block = block(0);
    for at in 0..3 {
        block.push(LITERAL_REMEMBERED);
        for text in [format!("x-churn-{number}-{at}"), "p".repeat(1_000)] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    frame(kind::HEADERS, END_HEADERS, stream(number), &block)
}

/// Headers that go on: their end is not said.
pub(crate) fn block_of(number: u32, padding: usize) -> Vec<u8> {
    frame(kind::HEADERS, 0, stream(number), &block(padding))
}

fn block(padding: usize) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/grpc.health.v1.Health/Watch"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        field(&mut block, name, value);
    }
    for at in 0..padding / 1_000 {
        field(&mut block, &format!("x-padding-{at}"), &"p".repeat(1_000));
    }
    block
}

/// A literal field that is not remembered (RFC 7541, 6.2.2).
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        integer(block, text.len());
        block.extend(text.as_bytes());
    }
}

/// With a prefix of seven bits (RFC 7541, 5.1).
fn integer(block: &mut Vec<u8>, value: usize) {
    if value < 127 {
        block.push(value as u8);
        return;
    }
    block.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        block.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// A flood over one connection: what comes first, then the same again and again, or one after the other by number.
pub(crate) struct Frames {
    pub(crate) name: &'static str,
    first: Vec<u8>,
    next: Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
}

impl Frames {
    pub(crate) fn repeated(name: &'static str, first: Vec<u8>, frame: Vec<u8>) -> Self {
        Self { name, first, next: Box::new(move |_| frame.clone()) }
    }

    pub(crate) fn numbered(
        name: &'static str,
        next: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { name, first: Vec::new(), next: Box::new(next) }
    }

    /// Sends them all over a connection, and says whether the server ended it.
    pub(crate) async fn end(&self, stream: impl AsyncRead + AsyncWrite + Send + 'static) -> bool {
        let (read, mut write) = split(stream);
        let drained = tokio::spawn(drained(read));
        let mut chunk = [hello(), self.first.clone()].concat();
        for number in 1..=FRAMES {
            chunk.extend((self.next)(u32::try_from(number).expect("few frames")));
            if chunk.len() >= CHUNK_BYTES || number == FRAMES {
                let sent = async {
                    write.write_all(&chunk).await?;
                    write.flush().await
                };
                match tokio::time::timeout(PATIENCE, sent).await {
                    Ok(Ok(())) => chunk.clear(),
                    Ok(Err(_)) => return true,
                    Err(_) => panic!("{}: the server neither takes nor ends it", self.name),
                }
                if drained.is_finished() {
                    return true;
                }
            }
        }
        // What it was sent may still be on its way to it.
        tokio::time::timeout(std::time::Duration::from_secs(5), drained).await.is_ok()
    }
}
