//! Writes mails byte by byte, so that each can be as odd as mails are.

/// A mail under construction.
pub(crate) struct Letter {
    headers: Vec<String>,
    parts: Vec<Part>,
    alternative: bool,
}

/// A body part: its own headers, then its encoded content.
pub(crate) struct Part {
    headers: Vec<String>,
    content: Vec<u8>,
}

impl Letter {
    /// A mail with the usual headers; `id` is the left side of its Message-ID.
    pub(crate) fn new(id: &str, from: &str, subject: &str) -> Self {
        let headers = vec![
            format!("From: {from}"),
            "To: Teahouse order desk <orders@teahouse.example>".to_owned(),
            format!("Subject: {subject}"),
            "Date: Tue, 10 Mar 2026 09:30:00 +0100".to_owned(),
            format!("Message-ID: <{id}@mail.example>"),
            "MIME-Version: 1.0".to_owned(),
        ];
        Self { headers, parts: Vec::new(), alternative: false }
    }

    pub(crate) fn without(mut self, header: &str) -> Self {
        self.headers.retain(|line| !line.starts_with(&format!("{header}:")));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(format!("{name}: {value}"));
        self
    }

    pub(crate) fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// UTF-8 text as it is.
    pub(crate) fn text(self, text: &str) -> Self {
        self.part(Part::text(text))
    }

    pub(crate) fn html(self, html: &str) -> Self {
        self.part(Part::new("text/html; charset=utf-8", Encoding::QuotedPrintable, html.as_bytes()))
    }

    /// The parts are versions of one text.
    pub(crate) fn alternative(mut self) -> Self {
        self.alternative = true;
        self
    }

    pub(crate) fn attach(self, name: &str, media_type: &str, bytes: &[u8]) -> Self {
        self.part(Part::attachment(name, media_type, bytes))
    }

    pub(crate) fn build(self) -> Vec<u8> {
        let mut lines = self.headers;
        let boundary = "=_teahouse_part";
        if let [part] = self.parts.as_slice() {
            lines.extend(part.headers.iter().cloned());
            let mut raw = crlf(&lines);
            raw.extend_from_slice(&part.content);
            return raw;
        }
        let kind = if self.alternative { "alternative" } else { "mixed" };
        lines.push(format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\""));
        let mut raw = crlf(&lines);
        for part in &self.parts {
            raw.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            raw.extend(crlf(&part.headers));
            raw.extend_from_slice(&part.content);
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        raw
    }
}

fn crlf(headers: &[String]) -> Vec<u8> {
    let mut raw = headers.join("\r\n").into_bytes();
    raw.extend_from_slice(b"\r\n\r\n");
    raw
}

/// How content is encoded for transfer.
#[derive(Clone, Copy)]
pub(crate) enum Encoding {
    EightBit,
    QuotedPrintable,
    Base64,
}

impl Part {
    pub(crate) fn new(content_type: &str, encoding: Encoding, bytes: &[u8]) -> Self {
        let (name, content) = match encoding {
            Encoding::EightBit => ("8bit", bytes.to_vec()),
            Encoding::QuotedPrintable => ("quoted-printable", quoted_printable(bytes)),
            Encoding::Base64 => ("base64", base64(bytes)),
        };
        let headers =
            vec![format!("Content-Type: {content_type}"), format!("Content-Transfer-Encoding: {name}")];
        Self { headers, content }
    }

    pub(crate) fn text(text: &str) -> Self {
        let text = text.replace('\n', "\r\n");
        Self::new("text/plain; charset=utf-8", Encoding::EightBit, text.as_bytes())
    }

    pub(crate) fn attachment(name: &str, media_type: &str, bytes: &[u8]) -> Self {
        let mut part = Self::new(media_type, Encoding::Base64, bytes);
        part.headers.push(format!("Content-Disposition: attachment; filename=\"{name}\""));
        part
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }
}

pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = Vec::with_capacity(bytes.len() * 4 / 3 + bytes.len() / 28);
    for (at, chunk) in bytes.chunks(3).enumerate() {
        if at > 0 && at % 19 == 0 {
            encoded.extend_from_slice(b"\r\n");
        }
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
            encoded.push(if place <= chunk.len() { digit } else { b'=' });
        }
    }
    encoded
}

fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut width = 0;
    for byte in bytes {
        if *byte == b'\n' {
            encoded.extend_from_slice(b"\r\n");
            width = 0;
            continue;
        }
        let plain = matches!(byte, b' '..=b'~') && *byte != b'=';
        let token = if plain { vec![*byte] } else { format!("={byte:02X}").into_bytes() };
        if width + token.len() > 74 {
            encoded.extend_from_slice(b"=\r\n");
            width = 0;
        }
        width += token.len();
        encoded.extend(token);
    }
    encoded
}
