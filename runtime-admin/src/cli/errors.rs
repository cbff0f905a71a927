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

/// A code, by itself or by its name.
pub(super) fn error_code(text: &str) -> Result<ErrorCode, String> {
    let known = |code: &&ErrorCode| code.as_str().eq_ignore_ascii_case(text) || code.name() == text;
    ErrorCode::ALL
        .iter()
        .find(known)
        .copied()
        .ok_or_else(|| "no such code: `runtimectl errors` lists them".into())
}

pub(super) fn run(code: Option<ErrorCode>, output: &mut Output<'_>) -> Result<(), Failure> {
    match code {
        Some(code) => {
            let explained = explain(code);
            output.document(&explained, explained.code, |_, _| explained.page.to_owned())?;
        }
        None => {
            let all: Vec<_> = ErrorCode::ALL.iter().copied().map(explain).collect();
            output.documents(&all, all.iter().map(|one| (one.code, one)), |_| table(&all))?;
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
            assert_eq!(error_code(&code.as_str().to_lowercase()), Ok(code));
            assert_eq!(error_code(code.name()), Ok(code));
        }
        assert_eq!(PAGES.len(), ErrorCode::ALL.len(), "no page without its code");
        assert!(error_code("RT9999").is_err());
    }
}
