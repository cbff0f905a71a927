//! A small LMTP client (RFC 2033): one mail to one user, then good-bye.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::{PATIENCE, ServerError};

pub(super) async fn deliver(addr: SocketAddr, user: &str, raw: &[u8]) -> Result<(), ServerError> {
    match timeout(PATIENCE, deliver_unbounded(addr, user, raw)).await {
        Ok(delivered) => delivered,
        Err(_) => Err(ServerError::Deadline {
            waited_for: format!("the delivery to {user}"),
            deadline: PATIENCE,
            seen: "an LMTP session without an end".into(),
        }),
    }
}

async fn deliver_unbounded(addr: SocketAddr, user: &str, raw: &[u8]) -> Result<(), ServerError> {
    let stream = TcpStream::connect(addr).await.map_err(ServerError::io("connect to LMTP"))?;
    let mut session = Session { stream: BufReader::new(stream) };
    session.expect("greeting", "220").await?;
    session.say("LHLO localhost", "250").await?;
    session.say("MAIL FROM:<sender@localhost>", "250").await?;
    session.say(&format!("RCPT TO:<{user}@localhost>"), "250").await?;
    session.say("DATA", "354").await?;
    session.send(&wire_form(raw)).await?;
    // One answer per recipient, and there is one recipient. It is the promise that the mail is on disk.
    session.expect("end of data", "250").await?;
    session.say("QUIT", "221").await
}

struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    async fn say(&mut self, line: &str, code: &str) -> Result<(), ServerError> {
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.expect(line, code).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        self.stream.get_mut().write_all(bytes).await.map_err(ServerError::io("write to LMTP"))
    }

    /// Reads one answer, which may have many lines: all but the last have a `-` after the code.
    async fn expect(&mut self, asked: &str, code: &str) -> Result<(), ServerError> {
        let mut answer = String::new();
        loop {
            let start = answer.len();
            let read = self.stream.read_line(&mut answer).await.map_err(ServerError::io("read from LMTP"))?;
            let line = &answer[start..];
            if read == 0 || !line.starts_with(code) {
                return Err(ServerError::Refused { asked: asked.to_owned(), answer });
            }
            if line.as_bytes().get(code.len()) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

/// The mail as it goes over the wire: lines end with CRLF, a leading dot is doubled, and a lone dot ends it.
fn wire_form(raw: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(raw.len() + raw.len() / 32 + 5);
    let lines = raw.strip_suffix(b"\n").unwrap_or(raw);
    for line in lines.split(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::wire_form;

    #[test]
    fn a_mail_takes_its_wire_form() {
        for (raw, wire) in [
            (&b"A: b\n\nbody\n"[..], &b"A: b\r\n\r\nbody\r\n.\r\n"[..]),
            (b"A: b\r\n\r\nbody\r\n", b"A: b\r\n\r\nbody\r\n.\r\n"),
            (b"A: b\n\n.\n..x\n", b"A: b\r\n\r\n..\r\n...x\r\n.\r\n"),
            (b"A: b\n\nno end", b"A: b\r\n\r\nno end\r\n.\r\n"),
            (b"A: b\n\n\xff\n\n", b"A: b\r\n\r\n\xff\r\n\r\n.\r\n"),
        ] {
            assert_eq!(wire_form(raw), wire, "{}", String::from_utf8_lossy(raw));
        }
    }
}
