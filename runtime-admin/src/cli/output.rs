//! Where answers go, in the form that was asked for.

use std::io::{self, Write};

use jiff::Timestamp;
use prost::{Message, Name};
use runtime_core::access::TokenText;
use runtime_core::clock::Clock;
use serde::Serialize;

use super::args::Format;
use super::failure::Failure;
use super::json::{self, Wire};
use super::table::{Sheet, Table};
use super::target::Place;
use super::words::clean;
use crate::client::Seen;

/// The streams of a run, and what shapes the text on them.
pub(super) struct Output<'a> {
    pub(super) stdout: &'a mut dyn Write,
    pub(super) stderr: &'a mut dyn Write,
    /// Whether `stdout` is a terminal.
    pub(super) terminal: bool,
    pub(super) format: Format,
    pub(super) colours: bool,
    /// Whether `stderr` is a terminal.
    pub(super) progress: bool,
    /// Ages are told as of when they are printed, however long a command waited before.
    pub(super) clock: &'a dyn Clock,
    /// The server that is asked.
    pub(super) place: Place,
    pub(super) answer: &'a dyn Fn() -> Option<String>,
    /// Nothing is changed, only looked at.
    pub(super) dry_run: bool,
    /// From where a watch tells what has changed since what was shown last; empty when that has no events.
    pub(super) as_of: String,
}

impl Output<'_> {
    /// What was seen, to be shown: a watch goes on from there.
    pub(super) fn saw<T>(&mut self, seen: Seen<T>) -> T {
        self.as_of = seen.event_cursor;
        seen.what
    }

    /// Prints a list of `what`: `whole` is the API's answer that holds `items`.
    pub(super) fn list<L, I>(
        &mut self,
        whole: &L,
        what: &str,
        items: &[I],
        name: impl Fn(&I) -> &str,
        table: impl FnOnce(Timestamp) -> Table,
    ) -> io::Result<()>
    where
        L: Message + Name,
        I: Message + Name,
    {
        self.documents(&Wire(whole), what, items.iter().map(|item| (name(item), Wire(item))), table)
    }

    /// Says that a list was cut, when it has as many items as it may have.
    pub(super) fn cut_at(&mut self, limit: usize, items: usize) -> io::Result<()> {
        if items == limit {
            writeln!(self.stderr, "listed the newest {limit}; --limit changes that")
        } else {
            Ok(())
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
        self.document(&Wire(item), name, text)
    }

    /// Prints a list of documents, each with its name; `whole` is all of them as one. That there are none is said to whoever reads a table,
    /// beside it.
    pub(super) fn documents<'i, D: Serialize>(
        &mut self,
        whole: &impl Serialize,
        what: &str,
        mut items: impl Iterator<Item = (&'i str, D)>,
        table: impl FnOnce(Timestamp) -> Table,
    ) -> io::Result<()> {
        let stdout = &mut *self.stdout;
        match self.format {
            Format::Table | Format::Wide => {
                let table = table(self.clock.now());
                match table.is_empty() {
                    true => writeln!(self.stderr, "no {what}"),
                    false => write!(stdout, "{}", table.render(self.format == Format::Wide, self.colours)),
                }
            }
            Format::Json => writeln!(stdout, "{}", json::pretty(whole)),
            Format::Jsonl => items.try_for_each(|(_, item)| writeln!(stdout, "{}", json::line(&item))),
            Format::Yaml => writeln!(stdout, "{}", json::yaml(whole)),
            Format::Name => items.try_for_each(|(name, _)| writeln!(stdout, "{}", clean(name))),
        }
    }

    /// Prints one document.
    pub(super) fn document(
        &mut self,
        item: &impl Serialize,
        name: &str,
        text: impl FnOnce(Timestamp, bool) -> String,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => write!(self.stdout, "{}", text(self.clock.now(), false)),
            Format::Wide => write!(self.stdout, "{}", text(self.clock.now(), true)),
            Format::Json => writeln!(self.stdout, "{}", json::pretty(item)),
            Format::Jsonl => writeln!(self.stdout, "{}", json::line(item)),
            Format::Yaml => writeln!(self.stdout, "{}", json::yaml(item)),
            Format::Name => writeln!(self.stdout, "{}", clean(name)),
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

    /// Asks whether to go on, unless that was said before or nothing is changed.
    pub(super) fn confirm(&mut self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes || self.dry_run {
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
        match given {
            _ if self.dry_run => return Ok(()),
            Some(given) if given == name => return Ok(()),
            Some(given) => return Err(Failure::Misnamed { given: given.to_owned(), name: name.to_owned() }),
            None => {}
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

    /// Says on stderr what is about to be changed, or in a dry run what would be, and where; unless nobody said where.
    pub(super) fn announce(&mut self, verb: &str, target: &str) -> Result<(), Failure> {
        if self.dry_run {
            return Ok(self.say(&format!("would {verb}"), target)?);
        }
        if !self.place.is_named() {
            return Err(Failure::Unplaced(self.place.to_string()));
        }
        Ok(self.say(verb, target)?)
    }

    /// Shows on stderr what is about to be changed, or some of it.
    pub(super) fn sample(&mut self, table: &Table) -> io::Result<()> {
        if table.is_empty() { Ok(()) } else { write!(self.stderr, "{}", table.render(false, false)) }
    }

    /// Says on stderr what is looked at, and where.
    pub(super) fn say(&mut self, verb: &str, target: &str) -> io::Result<()> {
        let target = clean(&TokenText::redacted(target));
        writeln!(self.stderr, "{verb} {target} at {}", self.place)
    }
}
