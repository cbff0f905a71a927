//! Where answers go, in the form that was asked for.

use std::io::{self, Write};

use jiff::Timestamp;
use prost::{Message, Name};

use super::args::Format;
use super::failure::Failure;
use super::json;
use super::table::{Sheet, Table};

/// The streams of a run, and what shapes the text on them.
pub(super) struct Output<'a> {
    pub(super) stdout: &'a mut dyn Write,
    pub(super) stderr: &'a mut dyn Write,
    pub(super) format: Format,
    pub(super) colours: bool,
    /// Whether `stderr` is a terminal.
    pub(super) progress: bool,
    pub(super) now: Timestamp,
    pub(super) endpoint: String,
    /// Of whoever asks.
    pub(super) token: Option<String>,
    pub(super) answer: &'a dyn Fn() -> Option<String>,
}

impl Output<'_> {
    /// Prints a list: `whole` is the API's answer that holds `items`.
    pub(super) fn list<L, I>(
        &mut self,
        whole: &L,
        items: &[I],
        name: impl Fn(&I) -> &str,
        table: impl FnOnce(Timestamp) -> Table,
    ) -> io::Result<()>
    where
        L: Message + Name,
        I: Message + Name,
    {
        match self.format {
            Format::Table => write!(self.stdout, "{}", table(self.now).render(false, self.colours)),
            Format::Wide => write!(self.stdout, "{}", table(self.now).render(true, self.colours)),
            Format::Json => writeln!(self.stdout, "{}", json::pretty(whole)),
            Format::Jsonl => items.iter().try_for_each(|item| writeln!(self.stdout, "{}", json::line(item))),
            Format::Name => items.iter().try_for_each(|item| writeln!(self.stdout, "{}", name(item))),
        }
    }

    /// Prints one thing.
    pub(super) fn one<I>(
        &mut self,
        item: &I,
        name: &str,
        text: impl FnOnce(Timestamp, bool) -> String,
    ) -> io::Result<()>
    where
        I: Message + Name,
    {
        match self.format {
            Format::Table => write!(self.stdout, "{}", text(self.now, false)),
            Format::Wide => write!(self.stdout, "{}", text(self.now, true)),
            Format::Json => writeln!(self.stdout, "{}", json::pretty(item)),
            Format::Jsonl => writeln!(self.stdout, "{}", json::line(item)),
            Format::Name => writeln!(self.stdout, "{name}"),
        }
    }

    /// Prints one thing as a sheet.
    pub(super) fn sheet<I>(
        &mut self,
        item: &I,
        name: &str,
        sheet: impl FnOnce(Timestamp) -> Sheet,
    ) -> io::Result<()>
    where
        I: Message + Name,
    {
        let colours = self.colours;
        self.one(item, name, |now, _| sheet(now).render(colours))
    }

    /// Asks whether to go on, unless that was said before.
    pub(super) fn confirm(&mut self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        write!(self.stderr, "{question} [y/N] ")?;
        self.stderr.flush()?;
        let answer = (self.answer)();
        if answer.is_none() {
            writeln!(self.stderr)?;
        }
        match answer.as_deref().map(str::trim) {
            Some("y" | "Y" | "yes") => Ok(()),
            Some(_) => Err(Failure::Declined),
            None => Err(Failure::Unasked),
        }
    }

    /// As [`Output::confirm`], for what cannot be undone: the answer is the name of what it concerns.
    pub(super) fn confirm_by_name(
        &mut self,
        question: &str,
        name: &str,
        given: Option<&str>,
    ) -> Result<(), Failure> {
        if let Some(given) = given {
            return if given == name { Ok(()) } else { Err(Failure::Declined) };
        }
        write!(self.stderr, "{question} [{name}] ")?;
        self.stderr.flush()?;
        let answer = (self.answer)();
        if answer.is_none() {
            writeln!(self.stderr)?;
        }
        match answer.as_deref().map(str::trim) {
            Some(answer) if answer == name => Ok(()),
            Some(_) => Err(Failure::Declined),
            None => Err(Failure::Unnamed),
        }
    }

    /// Says on stderr what is about to be changed, and where.
    pub(super) fn announce(&mut self, verb: &str, target: &str) -> io::Result<()> {
        writeln!(self.stderr, "{verb} {target} at {}", self.endpoint)
    }
}
