//! HTML mails as text. Rows become lines and cells are parted by tabs, so that an order table keeps its columns.

use mail_parser::decoders::html::add_html_token;

/// The text of an HTML document.
#[must_use]
pub fn to_text(html: &str) -> String {
    let mut text = Text::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.write(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
        let name = name.to_ascii_lowercase();
        match name.trim_end_matches('/') {
            "head" | "style" | "script" | "title" | "template" => {
                rest = behind(rest, name.trim_end_matches('/'))
            }
            "br" | "p" | "/p" | "div" | "/div" | "tr" | "/tr" | "li" | "/li" | "h1" | "/h1" | "h2"
            | "/h2" | "h3" | "/h3" | "table" | "/table" | "ul" | "/ul" | "ol" | "/ol" | "blockquote"
            | "/blockquote" | "hr" => {
                text.end_line();
            }
            "/td" | "/th" => text.end_cell(),
            _ => {}
        }
    }
    text.write(rest);
    text.end_line();
    text.written
}

/// What follows the end of an element whose content is no text.
fn behind<'a>(rest: &'a str, element: &str) -> &'a str {
    let closing = format!("</{element}");
    let is_closing = |at: &usize| {
        let tag = rest.as_bytes().get(*at..*at + closing.len());
        tag.is_some_and(|tag| tag.eq_ignore_ascii_case(closing.as_bytes()))
    };
    let Some(at) = rest.match_indices("</").map(|(at, _)| at).find(is_closing) else { return "" };
    rest[at..].find('>').map_or("", |end| &rest[at + end + 1..])
}

#[derive(Default)]
struct Text {
    written: String,
    line: String,
}

impl Text {
    fn write(&mut self, raw: &str) {
        let decoded = entities(raw);
        for character in decoded.chars() {
            let blank = character.is_whitespace();
            if !blank {
                self.line.push(character);
            } else if !self.line.is_empty() && !self.line.ends_with([' ', '\t']) {
                self.line.push(' ');
            }
        }
    }

    fn end_cell(&mut self) {
        self.line.truncate(self.line.trim_end_matches(' ').len());
        self.line.push('\t');
    }

    fn end_line(&mut self) {
        let line = self.line.trim_end();
        if !line.is_empty() {
            self.written.push_str(line);
            self.written.push('\n');
        }
        self.line.clear();
    }
}

fn entities(raw: &str) -> String {
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        let token = end.map_or("&", |end| &rest[..=end]);
        add_html_token(&mut decoded, token.as_bytes(), false);
        rest = &rest[token.len()..];
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn a_table_keeps_its_columns() {
        let html = "<html><head><style>td {x: y}</style></head><body><p>Gr&uuml;&szlig;e &amp; so</p><table>\
                    <tr><th>SKU</th><th>Qty</th></tr>\n<tr><td>TEA-100</td> <td><b>10</b></td></tr></table></body>";
        assert_eq!(to_text(html), "Grüße & so\nSKU\tQty\nTEA-100\t10\n");
    }

    #[test]
    fn broken_html_is_still_text() {
        assert_eq!(to_text("a < b"), "a < b\n");
        assert_eq!(to_text("x<br/>y<!-- open"), "x\ny\n");
        assert_eq!(to_text("&notanentity; &#x41; & &ü;"), "&notanentity; A & &ü;\n");
    }
}
