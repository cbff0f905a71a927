//! `runtimectl errors`: what a code means and what to do about it, from the program itself.

use runtime_core::error::ErrorCode;
use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use super::table::{Column, Table};

/// The page of each code, from `docs/errors`.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

/// A code with its page.
#[derive(Debug, Serialize)]
struct Explained {
    code: &'static str,
    name: &'static str,
    class: &'static str,
    /// Its page, in Markdown.
    page: &'static str,
}

/// A code by its name or its number: `RT0027`, `rt27`, `27`.
fn error_code(text: &str) -> Option<ErrorCode> {
    let number = |text: &str| match text.get(..2) {
        Some(mark) if mark.eq_ignore_ascii_case("RT") => text[2..].parse::<u32>().ok(),
        _ => text.parse().ok(),
    };
    let asked = number(text);
    let is_it = |code: &ErrorCode| {
        code.name().eq_ignore_ascii_case(text) || asked.is_some() && asked == number(code.as_str())
    };
    ErrorCode::ALL.iter().copied().find(is_it)
}

pub(super) fn run(code: Option<String>, output: &mut Output<'_>) -> Result<(), Failure> {
    match code {
        Some(text) => {
            let explained = explain(error_code(&text).ok_or(Failure::NoCode(text))?);
            output.document(&explained, explained.code, |_, _| explained.page.to_owned())?;
        }
        None => {
            let all: Vec<_> = ErrorCode::ALL.iter().copied().map(explain).collect();
            output.documents(&all, "codes", all.iter().map(|one| (one.code, one)), |_| table(&all))?;
        }
    }
    Ok(())
}

fn explain(code: ErrorCode) -> Explained {
    let page = PAGES.iter().find(|(known, _)| *known == code.as_str()).map_or("", |(_, page)| page);
    Explained { code: code.as_str(), name: code.name(), class: code.class().as_str(), page }
}

impl Explained {
    /// The page's first words after its title and its class.
    fn meaning(&self) -> String {
        self.page.split("\n\n").nth(2).unwrap_or_default().replace('\n', " ")
    }
}

fn table(all: &[Explained]) -> Table {
    let mut table = Table::new([
        Column::text("CODE"),
        Column::text("NAME"),
        Column::text("CLASS"),
        Column::text("MEANING").gives(),
    ]);
    for one in all {
        table.row([one.code.into(), one.name.into(), one.class.into(), one.meaning().into()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained() {
        for code in ErrorCode::ALL.iter().copied() {
            let explained = explain(code);
            assert!(explained.page.starts_with(&format!("# {code} `{}`", code.name())), "{code}");
            assert!(!explained.meaning().is_empty(), "{code}");
            let number = code.as_str()[2..].trim_start_matches('0');
            let zeros = code.as_str().replace("RT0", "rt000");
            for text in [code.as_str(), code.name(), number, &format!("rt{number}"), &zeros] {
                assert_eq!(error_code(text), Some(code), "{text}");
            }
        }
        assert_eq!(PAGES.len(), ErrorCode::ALL.len(), "no page without its code");
        for text in ["RT9999", "RT", "", "0", "rt0", "-1", "é1", "RT\u{e9}"] {
            assert_eq!(error_code(text), None, "{text:?}");
        }
    }
}
