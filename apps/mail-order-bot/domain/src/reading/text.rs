//! Running text: order lines between greetings and signatures, and tables that were pasted in.

use super::header::{Column, Header, says_total};
use super::{Place, line, table};
use crate::draft::{Field, LineRef, OrderDraft};
use crate::table::{Cell, Row};

/// Longest line that may be one of headings, in bytes.
const MAX_HEADING_BYTES: usize = 2_000;

/// What a text says about orders.
pub(super) struct TextReading {
    pub(super) draft: OrderDraft,
    /// Whether a table with headings was found.
    pub(super) has_table: bool,
}

pub(super) fn read(text: &str, at: Place<'_>) -> TextReading {
    let mut reading = TextReading { draft: OrderDraft::default(), has_table: false };
    let mut loose = OrderDraft::default();
    let lines: Vec<(&str, u32)> = text.lines().zip(1..).collect();
    let mut index = 0;
    while let Some((content, number)) = lines.get(index) {
        if let Some((draft, taken)) = pasted_table(&lines[index..], at) {
            reading.has_table = true;
            reading.draft.append(draft);
            index += taken;
            continue;
        }
        let place = at.line(*number);
        let found = line::read(content, &place);
        if found.is_empty()
            && let Some(total) = total_line(content, &place)
        {
            loose.totals.push(total);
        }
        loose.lines.extend(found);
        index += 1;
    }
    if !loose.lines.is_empty() || reading.has_table {
        loose.decimal_mark = table::decimal_mark(&loose).or(reading.draft.decimal_mark);
        if !loose.lines.is_empty() || !loose.totals.is_empty() {
            reading.draft.append(loose);
        }
    }
    reading
}

/// A table inside text: a line of headings and the lines below it that are parted in the same way.
fn pasted_table(lines: &[(&str, u32)], at: Place<'_>) -> Option<(OrderDraft, usize)> {
    if lines.first()?.0.len() > MAX_HEADING_BYTES {
        return None;
    }
    for separator in ["\t", ";", "|", "  "] {
        let split =
            |(content, number): &(&str, u32)| Row { number: *number, cells: cells(content, separator) };
        let titles = split(lines.first()?);
        let header = Header::read(&titles.cells);
        if header.place(Column::Sku).is_none() || header.place(Column::Quantity).is_none() {
            continue;
        }
        let below =
            lines[1..].iter().take_while(|(content, _)| content.contains(separator) || is_rule(content));
        let taken = below.clone().count();
        let rows: Vec<_> = below.filter(|(content, _)| !is_rule(content)).map(split).collect();
        return Some((table::below(&titles, &header, &rows, at), taken + 1));
    }
    None
}

fn cells(content: &str, separator: &str) -> Vec<Cell> {
    let content = if separator == "|" { content.trim().trim_matches('|') } else { content.trim_end() };
    let parts = content.split(separator);
    match separator {
        "  " => parts.filter(|part| !part.trim().is_empty()).map(Cell::text).collect(),
        _ => parts.map(Cell::text).collect(),
    }
}

/// A ruler between headings and rows.
fn is_rule(content: &str) -> bool {
    content.contains("--") && content.chars().all(|c| "-=+| \t".contains(c))
}

/// `Total: 123,45 EUR`
fn total_line(content: &str, at: &LineRef) -> Option<(LineRef, Field)> {
    if !says_total(content) {
        return None;
    }
    let start = content.find(|c: char| c.is_ascii_digit())?;
    let end = content.rfind(|c: char| c.is_ascii_digit())? + 1;
    let amount = content[start..].trim_end_matches(['.', '!', ' ']);
    let cell = Cell::text(if amount.is_empty() { &content[start..end] } else { amount });
    Some((at.clone(), Field { cell, column: None }))
}
