//! Reads the words, signs and values of a filter from left to right, and says in which column something is not what was expected.

use super::FilterError;

/// Signs of a time, and of everything else; longer ones before those that they begin with.
const ORDERS: [&str; 4] = ["<=", ">=", "<", ">"];
const EQUALITIES: [&str; 3] = ["!=", "=", ":"];

/// A filter as far as it was read.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// A byte offset on a character boundary.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where it stands, for [`Reader::error_at`].
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Goes on behind this keyword, if it comes next.
    pub(super) fn takes(&mut self, keyword: &str) -> bool {
        let comes = self.peeked_word() == keyword;
        if comes {
            self.at += keyword.len();
            self.skip_space();
        }
        comes
    }

    /// Goes on behind this sign, if it comes next.
    pub(super) fn takes_sign(&mut self, sign: &str) -> bool {
        let comes = self.rest().starts_with(sign);
        if comes {
            self.at += sign.len();
            self.skip_space();
        }
        comes
    }

    /// A field by its name.
    pub(super) fn field<F: Copy>(&mut self, fields: &[(&'static str, F)]) -> Result<F, FilterError> {
        let word = self.peeked_word();
        let Some((name, field)) = fields.iter().find(|(name, _)| *name == word) else {
            let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            return Err(self.expected(&format!("a field ({})", known.join(", "))));
        };
        self.at += name.len();
        self.skip_space();
        Ok(*field)
    }

    /// How a field is compared.
    pub(super) fn sign(&mut self, is_time: bool) -> Result<&'static str, FilterError> {
        let (signs, expected): (&[_], _) = if is_time {
            (&ORDERS, "'<', '<=', '>' or '>=' after a time")
        } else {
            (&EQUALITIES, "'=', '!=' or ':' after a field")
        };
        let sign = signs.iter().find(|sign| self.rest().starts_with(**sign));
        let sign = *sign.ok_or_else(|| self.expected(expected))?;
        self.takes_sign(sign);
        Ok(sign)
    }

    /// A word, or anything in quotes.
    pub(super) fn value(&mut self) -> Result<String, FilterError> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let rest = self.rest();
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '(' | ')')).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected("a value"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn quoted(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let mut value = String::new();
        let mut characters = self.text[start + 1..].char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at = start + 1 + offset + 1;
                    return Ok(value);
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                    _ => return Err(self.error_at(start + 1 + offset, "only \\\" and \\\\ can be escaped")),
                },
                other => value.push(other),
            }
        }
        Err(self.error_at(start, "the quote is not closed"))
    }

    /// The word that comes next, without going on.
    fn peeked_word(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())]
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Something else comes next.
    pub(super) fn expected(&self, what: &str) -> FilterError {
        let found = match (self.peeked_word(), self.rest().chars().next()) {
            ("", None) => "the end".to_owned(),
            ("", Some(character)) => format!("{character:?}"),
            (word, _) => format!("{word:?}"),
        };
        self.error(format!("expected {what}, found {found}"))
    }

    pub(super) fn error(&self, what: impl Into<String>) -> FilterError {
        self.error_at(self.at, what)
    }

    pub(super) fn error_at(&self, at: usize, what: impl Into<String>) -> FilterError {
        FilterError { column: self.text[..at].chars().count() + 1, what: what.into() }
    }
}
