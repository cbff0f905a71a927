//! Which characters bytes stand for, when their sender said so, said something wrong, or said nothing.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The text of `bytes`. A byte order mark decides; then the pattern of UTF-16; then whether they are UTF-8, which other
/// text hardly ever is by chance; then what was declared; Windows-1252 takes the rest.
#[must_use]
pub fn decode(bytes: &[u8], declared: Option<&str>) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    if let Some(encoding) = utf16_without_mark(bytes) {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let declared = declared.and_then(|label| Encoding::for_label(label.as_bytes()));
    let encoding =
        declared.filter(|encoding| !encoding.decode_without_bom_handling(bytes).1).unwrap_or(WINDOWS_1252);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// Western text in UTF-16 has a zero in nearly every other place.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(512) & !1];
    let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (high_first, low_first) = (zeros(0), zeros(1));
    let most = sample.len() / 2 * 7 / 10;
    match sample.len() {
        0..4 => None,
        _ if low_first > most && high_first == 0 => Some(UTF_16LE),
        _ if high_first > most && low_first == 0 => Some(UTF_16BE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn text_is_found_whatever_was_declared() {
        let utf16le: Vec<u8> = "Stück;10".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16be: Vec<u8> = "Stück;10".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked: Vec<u8> = [&[0xff, 0xfe], utf16le.as_slice()].concat();
        let cases: [(&[u8], Option<&str>); 8] = [
            ("Stück;10".as_bytes(), None),
            ("Stück;10".as_bytes(), Some("iso-8859-1")),
            (b"\xef\xbb\xbfSt\xc3\xbcck;10", Some("windows-1252")),
            (b"St\xfcck;10", None),
            (b"St\xfcck;10", Some("iso-8859-15")),
            (&utf16le, None),
            (&utf16be, Some("utf-8")),
            (&marked, None),
        ];
        for (bytes, declared) in cases {
            assert_eq!(decode(bytes, declared), "Stück;10", "{bytes:?} {declared:?}");
        }
        assert_eq!(decode(b"5 \x80", Some("no-such-charset")), "5 €");
        assert_eq!(decode(b"5 \xa4", Some("iso-8859-15")), "5 €");
        assert_eq!(decode(b"", None), "");
    }
}
