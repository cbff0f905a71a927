//! English.

use super::Voice;
use crate::draft::ColumnRef;
use crate::judge::ObstacleCode;
use crate::language::Language;
use crate::problem::{Contradiction, ProblemKind};
use crate::reading::Column;

pub(super) struct English;

impl Voice for English {
    fn language(&self) -> Language {
        Language::En
    }

    fn no_subject(&self) -> &'static str {
        "your order"
    }

    fn greeting(&self, name: &str) -> String {
        format!("Dear {name},")
    }

    fn closing(&self) -> &'static str {
        "Kind regards\nYour order desk"
    }

    fn booked(&self) -> &'static str {
        "thank you for your order. We have booked it as follows:"
    }

    fn each(&self) -> &'static str {
        "at"
    }

    fn total(&self) -> &'static str {
        "Total, net"
    }

    fn refusal(&self) -> &'static str {
        "we could not book your order. Nothing has been ordered yet. This is why:"
    }

    fn what_to_do(&self) -> &'static str {
        "Please correct this and send the whole order again."
    }

    fn and_more(&self, count: usize) -> String {
        format!("and {count} more")
    }

    fn quoted(&self, text: &str) -> String {
        format!("\"{text}\"")
    }

    fn nothing(&self) -> &'static str {
        "nothing"
    }

    fn said_in(&self, said: &str, place: &str) -> String {
        format!("{said} in {place}")
    }

    fn mail_text(&self) -> &'static str {
        "the text of your mail"
    }

    fn mail_line(&self, line: u32) -> String {
        format!("your mail, line {line}")
    }

    fn document_line(&self, document: &str, sheet: Option<&str>, line: u32) -> String {
        match sheet.map(|sheet| self.quoted(sheet)) {
            Some(sheet) => format!("{document}, sheet {sheet}, row {line}"),
            None => format!("{document}, line {line}"),
        }
    }

    fn column(&self, column: &ColumnRef) -> String {
        format!("column {column}")
    }

    fn problem(&self, kind: &ProblemKind) -> String {
        let quoted = |given: &str| self.quoted(given);
        match kind {
            ProblemKind::MissingColumn { needed } => {
                let needed = match needed {
                    Column::Sku => "article codes",
                    Column::Quantity => "quantities",
                    Column::Unit => "units",
                    Column::Price => "prices",
                    Column::Total => "totals",
                    Column::Name => "names",
                };
                format!("the table has no column with {needed}")
            }
            ProblemKind::MissingSku => "the article code is missing".into(),
            ProblemKind::UnknownSku { given, suggestion } => {
                let given = quoted(given);
                match suggestion {
                    Some(sku) => format!("we have no article {given}; did you mean {sku}?"),
                    None => format!("we have no article {given}"),
                }
            }
            ProblemKind::MissingQuantity => "the quantity is missing or unclear".into(),
            ProblemKind::QuantityNotANumber { given } => {
                let given = quoted(given);
                format!("the quantity {given} is not a number")
            }
            ProblemKind::QuantityAmbiguous { given } => {
                let given = quoted(given);
                format!("the quantity {given} can be read in two ways; please write it without a separator")
            }
            ProblemKind::QuantityFraction { given } => {
                let given = quoted(given);
                format!("the quantity {given} is not a whole number")
            }
            ProblemKind::QuantityNotPositive { given } => {
                let given = quoted(given);
                format!("the quantity {given} is not above zero")
            }
            ProblemKind::QuantityBelowMinimum { given, minimum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} is below the smallest quantity of {minimum} ({unit})")
            }
            ProblemKind::QuantityAboveMaximum { given, maximum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} is above the largest quantity of {maximum} ({unit})")
            }
            ProblemKind::QuantityNotMultiple { given, multiple, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} is not a multiple of {multiple} ({unit})")
            }
            ProblemKind::UnknownUnit { given } => {
                let given = quoted(given);
                format!("we do not know the unit {given}")
            }
            ProblemKind::WrongUnit { given, sold_in } => {
                let (given, sold_in) = (self.unit(*given), self.unit(*sold_in));
                format!("the unit is {given}, but we sell this article by the {sold_in}")
            }
            ProblemKind::PriceNotANumber { given } => {
                let given = quoted(given);
                format!("the price {given} cannot be read")
            }
            ProblemKind::PriceDiffers { given, ours } => {
                let (given, ours) = (quoted(given), self.money(*ours));
                format!("the price {given} is not ours, which is {ours}")
            }
            ProblemKind::WrongCurrency { given, ours } => {
                format!("the price is in {given}, but we sell in {ours}")
            }
            ProblemKind::TooManyLines { limit } => format!("an order may have at most {limit} lines"),
        }
    }

    fn disagreement(&self, contradiction: &Contradiction) -> &'static str {
        match contradiction {
            Contradiction::Quantities { .. } => "is ordered in different quantities",
            Contradiction::Units { .. } => "is ordered in different units",
            Contradiction::Prices { .. } => "is ordered at different prices",
            Contradiction::Repeated { .. }
            | Contradiction::LineTotal { .. }
            | Contradiction::OrderTotal { .. }
            | Contradiction::Documents { .. } => {
                "is listed more than once, and we cannot tell whether you want it more than once"
            }
        }
    }

    fn line_total(&self, claimed: &str, computed: &str) -> String {
        format!("the line total is given as {claimed}, but quantity times price is {computed}")
    }

    fn order_total(&self, claimed: &str, computed: &str) -> String {
        format!("the total is given as {claimed}, but the lines add up to {computed}")
    }

    fn documents(&self, one: &str, other: &str) -> String {
        format!("{one} and {other} order different things")
    }

    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String {
        let why = match code {
            ObstacleCode::Unsupported => {
                "is of a kind we do not read; please send CSV, XLSX, ODS or PDF, or write the lines into \
                 the mail"
            }
            ObstacleCode::Unreadable => "is damaged or not what its name says",
            ObstacleCode::NoText => "holds no text that we can read, perhaps because it was scanned",
            ObstacleCode::Encrypted => "is protected by a password",
            ObstacleCode::ExtractTimeout => "took too long to read",
            ObstacleCode::ExtractCrashed | ObstacleCode::ExtractMemory => "could not be opened safely",
            ObstacleCode::ExtractOutput => "holds more text than an order can have",
            ObstacleCode::TooLarge => "is too large",
            ObstacleCode::TooMany => "is one of too many attachments",
            ObstacleCode::ExpansionLimit => "unpacks to more than an order can hold, so we did not open it",
        };
        format!("the attachment {attachment} {why}")
    }
}
