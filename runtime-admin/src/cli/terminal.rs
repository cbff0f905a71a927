//! What a terminal gets to see. Texts are cleaned where they are put into words; this stands behind all of that, so that nothing from
//! elsewhere (names, reasons, errors, payloads) moves the cursor, renames the window or turns the direction of writing.

use std::io::{self, Write};

/// What stands for a character that is not shown.
pub(super) const HIDDEN: char = '\u{fffd}';

/// Erases the line of a progress bar. With colours it is all that we ask of a terminal.
const ERASE: &str = "\r\u{1b}[2K";

/// Whether a character could steer a terminal, or show a text in another order than it has.
pub(super) fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

/// A document as JSON and YAML write it, with characters that steer written out: those of the first kind are already.
pub(super) fn escaped(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for character in document.chars() {
        if character != '\n' && steers(character) {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    text
}

/// A terminal to which only text, colours and erased lines come through.
pub(super) struct Guarded<'a> {
    terminal: &'a mut dyn Write,
    /// Whether it is one: to whatever else everything goes as it is.
    is_one: bool,
    /// The beginning of a character or of a sequence.
    held: Vec<u8>,
}

impl<'a> Guarded<'a> {
    pub(super) fn over(terminal: &'a mut dyn Write, is_one: bool) -> Self {
        Self { terminal, is_one, held: Vec::new() }
    }

    /// Writes what is whole, or all there is.
    fn pass(&mut self, all: bool) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let (text, rest) = match std::str::from_utf8(&held) {
            Ok(text) => (text.to_owned(), &[][..]),
            Err(error) if error.error_len().is_none() && !all => {
                let (whole, rest) = held.split_at(error.valid_up_to());
                (String::from_utf8_lossy(whole).into_owned(), rest)
            }
            Err(_) => (String::from_utf8_lossy(&held).into_owned(), &[][..]),
        };
        let mut shown = String::with_capacity(text.len());
        let mut left = text.as_str();
        while let Some(character) = left.chars().next() {
            let taken = match allowed(left) {
                Sequence::Whole(length) => {
                    shown.push_str(&left[..length]);
                    length
                }
                Sequence::Begun if !all => break,
                Sequence::Begun | Sequence::None => {
                    shown.push(if character != '\n' && steers(character) { HIDDEN } else { character });
                    character.len_utf8()
                }
            };
            left = &left[taken..];
        }
        self.held = [left.as_bytes(), rest].concat();
        self.terminal.write_all(shown.as_bytes())
    }
}

enum Sequence {
    /// Of so many bytes.
    Whole(usize),
    /// More may follow.
    Begun,
    None,
}

/// A sequence of ours at the beginning of a text.
fn allowed(text: &str) -> Sequence {
    if text.starts_with(ERASE) {
        return Sequence::Whole(ERASE.len());
    }
    if ERASE.starts_with(text) {
        return Sequence::Begun;
    }
    let Some(rest) = text.strip_prefix('\u{1b}') else { return Sequence::None };
    let Some(rest) = rest.strip_prefix('[') else {
        return if rest.is_empty() { Sequence::Begun } else { Sequence::None };
    };
    // Colours alone end with an `m`.
    match rest.find(|c: char| !(c.is_ascii_digit() || c == ';')) {
        None if rest.len() < 16 => Sequence::Begun,
        Some(end) if end < 16 && rest[end..].starts_with('m') => Sequence::Whole(end + 3),
        _ => Sequence::None,
    }
}

impl Write for Guarded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_one {
            return self.terminal.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        self.pass(false)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass(true)?;
        self.terminal.flush()
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        // Whoever closed the terminal sees nothing anyway.
        drop(self.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes through, written whole and byte by byte.
    fn shown(bytes: &[u8]) -> String {
        let [mut whole, mut pieces] = [Vec::new(), Vec::new()];
        Guarded::over(&mut whole, true).write_all(bytes).unwrap();
        let mut guarded = Guarded::over(&mut pieces, true);
        bytes.iter().for_each(|byte| guarded.write_all(&[*byte]).unwrap());
        drop(guarded);
        assert_eq!(whole, pieces);
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn what_is_no_terminal_gets_everything_as_it_is() {
        let mut sent = Vec::new();
        Guarded::over(&mut sent, false).write_all(b"a payload \xff\x1b[2J").unwrap();
        assert_eq!(sent, b"a payload \xff\x1b[2J");
    }

    #[test]
    fn a_document_stays_what_it_was_and_steers_nothing() {
        let document = "{\n  \"reason\": \"a\u{9b}31m \u{202e}b \u{7f} grün\"\n}";
        let escaped = escaped(document);
        assert_eq!(escaped, "{\n  \"reason\": \"a\\u009b31m \\u202eb \\u007f grün\"\n}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&escaped), read(document));
    }

    #[test]
    fn text_colours_and_erased_lines_come_through_and_nothing_else_does() {
        let ours = "\r\u{1b}[2K\u{1b}[31mdead\u{1b}[0m \u{1b}[1;32mgrün\u{1b}[0m\nnext";
        assert_eq!(shown(ours.as_bytes()), ours);
        for (sent, seen) in [
            ("a\u{1b}]0;owned\u{7}b", "a\u{fffd}]0;owned\u{fffd}b"),
            ("a\u{1b}[2Jb", "a\u{fffd}[2Jb"),
            ("a\u{1b}[Ab\u{1b}", "a\u{fffd}[Ab\u{fffd}"),
            ("paid\rowed", "paid\u{fffd}owed"),
            ("a\u{9b}31mb\u{8}\u{7f}\t", "a\u{fffd}31mb\u{fffd}\u{fffd}\u{fffd}"),
            ("safe\u{202e}evil\u{2066}", "safe\u{fffd}evil\u{fffd}"),
            ("\u{1b}[11111111111111111111m", "\u{fffd}[11111111111111111111m"),
            ("ends\u{1b}[3", "ends\u{fffd}[3"),
        ] {
            assert_eq!(shown(sent.as_bytes()), seen, "{sent:?}");
        }
        assert_eq!(shown(b"half \xc3"), "half \u{fffd}");
        assert_eq!(shown(b"none \xff here"), "none \u{fffd} here");
    }
}
