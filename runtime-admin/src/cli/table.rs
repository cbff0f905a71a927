//! Tables within 80 columns, and sheets that show one thing from top to bottom.

use std::fmt::Write as _;

use super::words::clean;

/// Width that a table keeps to, unless every column is wanted.
const WIDTH: usize = 80;
const GAP: usize = 2;
/// A column that gives way keeps at least this.
const LEAST: usize = 8;

/// What a cell says beyond its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Faint,
}

/// A text in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: clean(&text.into()), tone: Tone::Plain }
    }

    pub(super) fn good(text: impl Into<String>) -> Self {
        Self { text: clean(&text.into()), tone: Tone::Good }
    }

    pub(super) fn warn(text: impl Into<String>) -> Self {
        Self { text: clean(&text.into()), tone: Tone::Warn }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self { text: clean(&text.into()), tone: Tone::Bad }
    }

    pub(super) fn faint(text: impl Into<String>) -> Self {
        Self { text: clean(&text.into()), tone: Tone::Faint }
    }

    /// The text alone.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn painted(&self, text: &str, colours: bool) -> String {
        let number = match self.tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => 32,
            Tone::Warn => 33,
            Tone::Bad => 31,
            Tone::Faint => 2,
        };
        if colours { format!("\u{1b}[{number}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
    wide: bool,
    gives: bool,
}

impl Column {
    /// Text, from the left.
    pub(super) const fn text(title: &'static str) -> Self {
        Self { title, right: false, wide: false, gives: false }
    }

    /// Figures, from the right.
    pub(super) const fn figure(title: &'static str) -> Self {
        Self { right: true, ..Self::text(title) }
    }

    /// Shown only when every column is wanted.
    pub(super) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    /// Cut short when the table is too wide.
    pub(super) const fn gives(self) -> Self {
        Self { gives: true, ..self }
    }
}

/// Rows under titles, with notes below rows that need one.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<(Vec<Cell>, Vec<Cell>)>,
}

impl Table {
    pub(super) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// A row, one cell a column.
    pub(super) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.row_with_notes(cells, Vec::new());
    }

    /// A row with lines of its own below it.
    pub(super) fn row_with_notes(&mut self, cells: impl Into<Vec<Cell>>, notes: Vec<Cell>) {
        let cells = cells.into();
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push((cells, notes));
    }

    /// Whether it has titles alone.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text. `wide` shows every column at its full width.
    pub(super) fn render(&self, wide: bool, colours: bool) -> String {
        let shown: Vec<usize> =
            (0..self.columns.len()).filter(|index| wide || !self.columns[*index].wide).collect();
        let mut widths: Vec<usize> = shown.iter().map(|index| self.natural_width(*index)).collect();
        if !wide {
            self.fit(&shown, &mut widths);
        }
        let mut text = String::new();
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::plain(column.title)).collect();
        self.line(&mut text, &titles, &shown, &widths, false);
        for (cells, notes) in &self.rows {
            self.line(&mut text, cells, &shown, &widths, colours);
            for note in notes {
                let width = if wide { usize::MAX } else { WIDTH };
                let _ = writeln!(text, "{}", note.painted(&cut(&note.text, width), colours));
            }
        }
        text
    }

    fn natural_width(&self, index: usize) -> usize {
        let cells = self.rows.iter().map(|(cells, _)| width(&cells[index].text));
        cells.chain([width(self.columns[index].title)]).max().unwrap_or(0)
    }

    fn fit(&self, shown: &[usize], widths: &mut [usize]) {
        let total: usize = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        // The widest gives first, so that short texts stay whole.
        for _ in WIDTH..total {
            let giving = shown.iter().zip(widths.iter_mut()).filter(|(index, width)| {
                let column = &self.columns[**index];
                column.gives && **width > LEAST.max(column.title.len())
            });
            let Some((_, width)) = giving.max_by_key(|(_, width)| **width) else { return };
            *width -= 1;
        }
    }

    fn line(&self, text: &mut String, cells: &[Cell], shown: &[usize], widths: &[usize], colours: bool) {
        let mut line = String::new();
        for (place, (index, wanted)) in shown.iter().zip(widths).enumerate() {
            let cell = &cells[*index];
            let content = cut(&cell.text, *wanted);
            let padding = " ".repeat(wanted - width(&content));
            let painted = cell.painted(&content, colours);
            let gap = if place == 0 { "" } else { "  " };
            let _ = if self.columns[*index].right {
                write!(line, "{gap}{padding}{painted}")
            } else {
                write!(line, "{gap}{painted}{padding}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// One thing, from top to bottom.
#[derive(Default)]
pub(super) struct Sheet(Vec<(&'static str, Cell)>);

impl Sheet {
    /// A line.
    pub(super) fn line(&mut self, title: &'static str, cell: impl Into<Cell>) {
        self.0.push((title, cell.into()));
    }

    /// The sheet as text.
    pub(super) fn render(&self, colours: bool) -> String {
        let titles = self.0.iter().map(|(title, _)| width(title)).max().unwrap_or(0);
        let mut text = String::new();
        for (title, cell) in &self.0 {
            let padding = " ".repeat(titles - width(title));
            let _ = writeln!(text, "{title}:{padding}  {}", cell.painted(&cell.text, colours));
        }
        text
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::text("NAME").gives(),
            Column::text("STATE"),
            Column::text("MORE").wide(),
            Column::figure("AGE"),
        ]);
        table.row(["x".repeat(90).into(), Cell::bad("dead"), "more".into(), "7s".into()]);
        table.row_with_notes(
            ["y".into(), Cell::good("done"), "".into(), "70s".into()],
            vec![Cell::warn("  a note")],
        );
        table
    }

    #[test]
    fn a_table_fits_unless_every_column_is_wanted() {
        let narrow = table().render(false, false);
        assert!(narrow.lines().all(|line| line.chars().count() <= WIDTH), "{narrow}");
        assert!(narrow.lines().all(|line| !line.contains("MORE") && line.trim_end() == line), "{narrow}");
        let wide = table().render(true, false);
        assert!(wide.contains(&"x".repeat(90)) && wide.contains("MORE"), "{wide}");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = table().render(false, false);
        let coloured = table().render(false, true);
        assert!(coloured.contains("\u{1b}[31mdead\u{1b}[0m"));
        let mut stripped = coloured;
        for number in [2, 31, 32, 33, 0] {
            stripped = stripped.replace(&format!("\u{1b}[{number}m"), "");
        }
        assert_eq!(stripped, plain);
    }
}
