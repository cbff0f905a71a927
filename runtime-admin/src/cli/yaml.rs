//! YAML, written by the serializer of JSON: what stands between the values differs, the values do not. A text is always quoted, so that `no`
//! and `1e3` stay texts to whoever reads it.

use std::io::{self, Write};

use serde_json::ser::Formatter;

/// Writes block style. Keys stand without quotes: they are names of fields.
#[derive(Default)]
pub(super) struct Yaml {
    /// Lists and maps that are open, each with whether something was written in it.
    open: Vec<bool>,
    in_key: bool,
    /// A value stands right behind `- ` or at the very beginning: what it begins with needs no line of its own.
    inline: bool,
}

impl Yaml {
    /// Goes where the next entry of the innermost list or map begins.
    fn entry<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let depth = self.open.len();
        let first = self.open.last_mut().is_some_and(|filled| !std::mem::replace(filled, true));
        if first && (depth == 1 || self.inline) {
            return Ok(());
        }
        write!(writer, "\n{:1$}", "", 2 * (depth - 1))
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, empty: &str) -> io::Result<()> {
        self.inline = false;
        match self.open.pop() {
            Some(true) => Ok(()),
            _ => writer.write_all(empty.as_bytes()),
        }
    }
}

impl Formatter for Yaml {
    fn begin_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.open.push(false);
        Ok(())
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, "[]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, _: bool) -> io::Result<()> {
        self.entry(writer)?;
        self.inline = true;
        writer.write_all(b"- ")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.open.push(false);
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, "{}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, _: bool) -> io::Result<()> {
        self.in_key = true;
        self.entry(writer)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.in_key = false;
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inline = false;
        writer.write_all(b": ")
    }

    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.in_key { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.in_key { Ok(()) } else { writer.write_all(b"\"") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::json::yaml;

    #[test]
    fn lists_and_maps_are_told_by_their_indent() {
        let document = json!({
            "a": "no", "b": [1, {"c": null, "d": [[], [true, "x: \n- y"]]}, {}], "e": {"f": {"g": 0.5}}, "h": []
        });
        let text = "a: \"no\"\nb:\n  - 1\n  - c: null\n    d:\n      - []\n      - - true\n        - \"x: \\n- y\"\n  - {}\ne:\n  f:\n    g: 0.5\nh: []";
        assert_eq!(yaml(&document), text);
        assert_eq!(yaml(&json!([])), "[]");
        assert_eq!(yaml(&json!([{"a": 1}, "b"])), "- a: 1\n- \"b\"");
        assert_eq!(yaml(&Value::Null), "null");
    }
}
