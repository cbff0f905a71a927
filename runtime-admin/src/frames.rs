//! Counts the frames of HTTP/2 that bring nothing forward, and ends the connection of a peer that sends little else.
//!
//! Settings, pings, resets, window updates, priorities and empty data are cheap to send and cost the server work. A peer at its business
//! sends few of them. The library refuses some floods by itself; this bounds all of them, by rate, before it sees them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What every HTTP/2 client says first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// Frames that bring nothing forward, as many as a connection may send at once, and each second.
pub(crate) const CHEAP_FRAMES: u32 = 10_000;

/// Reads the frames that pass by, wherever the stream of bytes is cut into pieces.
struct Meter {
    header: [u8; HEADER_BYTES],
    filled: usize,
    /// Bytes of the present frame's payload that are still to come.
    payload: usize,
    left: u32,
    full_at: Instant,
}

/// More than [`CHEAP_FRAMES`].
#[derive(Debug, PartialEq, Eq)]
struct TooMany;

impl Meter {
    fn new(now: Instant) -> Self {
        Self { header: [0; HEADER_BYTES], filled: 0, payload: 0, left: CHEAP_FRAMES, full_at: now }
    }

    fn pass(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), TooMany> {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_BYTES - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER_BYTES {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
                // Empty data may end a stream, and each stream ends once.
                let empty = kind == DATA && self.payload == 0 && flags & END_STREAM == 0;
                if empty || kind > HEADERS {
                    self.spend(&now)?;
                }
            }
        }
        Ok(())
    }

    fn spend(&mut self, now: impl Fn() -> Instant) -> Result<(), TooMany> {
        if self.left == 0 {
            let now = now();
            if now.duration_since(self.full_at) < Duration::from_secs(1) {
                return Err(TooMany);
            }
            (self.left, self.full_at) = (CHEAP_FRAMES, now);
        }
        self.left -= 1;
        Ok(())
    }
}

/// A stream whose preface was read already, and whose frames are counted.
pub(crate) struct Metered<S> {
    stream: S,
    preface: &'static [u8],
    meter: Meter,
}

impl<S> Metered<S> {
    /// What comes over `stream` after the preface.
    pub(crate) fn after_preface(stream: S) -> Self {
        Self { stream, preface: PREFACE, meter: Meter::new(Instant::now()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.preface.is_empty() {
            let (now, later) = this.preface.split_at(this.preface.len().min(buffer.remaining()));
            buffer.put_slice(now);
            this.preface = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        Poll::Ready(this.meter.pass(read, Instant::now).map_err(|TooMany| {
            io::Error::other("the peer sends little but frames that bring nothing forward")
        }))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("a small frame").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        // A payload that would read as cheap frames, were it taken for frames.
        frame.resize(HEADER_BYTES + payload, PING);
        frame
    }

    fn meter() -> (Meter, Instant) {
        let now = Instant::now();
        (Meter::new(now), now)
    }

    #[test]
    fn requests_and_their_data_are_free_however_they_are_cut() {
        let (mut meter, now) = meter();
        let mut end = frame(DATA, 0);
        end[4] = END_STREAM;
        let request = [frame(HEADERS, 40), frame(DATA, 300), end].concat();
        for piece in [1, 7, 9, 64, 348, 4096] {
            for bytes in request.repeat(100).chunks(piece) {
                meter.pass(bytes, || now).expect("business");
            }
        }
        assert_eq!(meter.left, CHEAP_FRAMES);
    }

    #[test]
    fn a_flood_of_anything_else_ends() {
        for (kind, payload) in
            [(DATA, 0), (2, 5), (3, 4), (4, 0), (PING, 8), (8, 4), (9, 0), (9, 100), (200, 0)]
        {
            let (mut meter, now) = meter();
            let flood = frame(kind, payload);
            for at in 0..CHEAP_FRAMES {
                assert_eq!(meter.pass(&flood, || now), Ok(()), "kind {kind}, number {at}");
            }
            assert_eq!(meter.pass(&flood, || now), Err(TooMany), "kind {kind}");
        }
    }

    #[test]
    fn a_second_later_there_is_as_much_again() {
        let (mut meter, now) = meter();
        let all = frame(PING, 8).repeat(CHEAP_FRAMES as usize);
        meter.pass(&all, || now).expect("as many as may be");
        meter.pass(&all, || now + Duration::from_secs(1)).expect("as many again");
        assert_eq!(meter.pass(&frame(PING, 8), || now + Duration::from_millis(1900)), Err(TooMany));
    }
}
