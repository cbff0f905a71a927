//! English.

use super::Voice;
use crate::draft::{ColumnRef, LineRef};
use crate::judge::ObstacleCode;
use crate::language::Language;
use crate::money::Money;
use crate::order::Order;
use crate::problem::{Claim, Contradiction, ProblemKind};
use crate::reading::Column;

pub(super) struct English;

fn money(amount: Money) -> String {
    amount.to_text(Language::En)
}

fn document(name: Option<&str>) -> String {
    name.map_or_else(|| "the text of your mail".to_owned(), |name| format!("\"{name}\""))
}

impl English {
    fn claims(&self, claims: &[Claim]) -> String {
        let said = |text: &str| if text.is_empty() { "nothing".to_owned() } else { format!("\"{text}\"") };
        let claims =
            claims.iter().map(|claim| format!("{} in {}", said(&claim.text), self.place(&claim.at, None)));
        claims.collect::<Vec<_>>().join(", ")
    }
}

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

    fn confirmation(&self, order: &Order) -> String {
        let lines = order.lines.iter().map(|line| {
            format!(
                "  {} x {} {} ({}) at {} = {}",
                line.quantity,
                line.sku,
                line.name,
                line.unit.to_text(Language::En),
                money(line.unit_price),
                money(line.total)
            )
        });
        let lines: Vec<_> = lines.collect();
        format!(
            "thank you for your order. We have booked it as follows:\n\n{}\n\n  Total, net: {}",
            lines.join("\n"),
            money(order.total)
        )
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

    fn place(&self, at: &LineRef, column: Option<&ColumnRef>) -> String {
        let place = match (&at.document, &at.sheet) {
            (Some(document), Some(sheet)) => format!("\"{document}\", sheet \"{sheet}\", row {}", at.line),
            (Some(document), None) => format!("\"{document}\", line {}", at.line),
            (None, _) => format!("your mail, line {}", at.line),
        };
        column.map_or_else(|| place.clone(), |column| format!("{place}, column {column}"))
    }

    fn problem(&self, kind: &ProblemKind) -> String {
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
            ProblemKind::UnknownSku { given, suggestion: Some(sku) } => {
                format!("we have no article \"{given}\"; did you mean {sku}?")
            }
            ProblemKind::UnknownSku { given, suggestion: None } => format!("we have no article \"{given}\""),
            ProblemKind::MissingQuantity => "the quantity is missing or unclear".into(),
            ProblemKind::QuantityNotANumber { given } => format!("the quantity \"{given}\" is not a number"),
            ProblemKind::QuantityAmbiguous { given } => {
                format!(
                    "the quantity \"{given}\" can be read in two ways; please write it without a separator"
                )
            }
            ProblemKind::QuantityFraction { given } => {
                format!("the quantity \"{given}\" is not a whole number")
            }
            ProblemKind::QuantityNotPositive { given } => {
                format!("the quantity \"{given}\" is not above zero")
            }
            ProblemKind::QuantityBelowMinimum { given, minimum, unit } => {
                format!("\"{given}\" is below the smallest quantity of {minimum} ({unit})")
            }
            ProblemKind::QuantityAboveMaximum { given, maximum, unit } => {
                format!("\"{given}\" is above the largest quantity of {maximum} ({unit})")
            }
            ProblemKind::QuantityNotMultiple { given, multiple, unit } => {
                format!("\"{given}\" is not a multiple of {multiple} ({unit})")
            }
            ProblemKind::UnknownUnit { given } => format!("we do not know the unit \"{given}\""),
            ProblemKind::WrongUnit { given, sold_in } => {
                format!("the unit is \"{given}\", but we sell this article by the {sold_in}")
            }
            ProblemKind::PriceNotANumber { given } => format!("the price \"{given}\" cannot be read"),
            ProblemKind::PriceDiffers { given, ours } => {
                format!("the price \"{given}\" is not ours, which is {}", money(*ours))
            }
            ProblemKind::WrongCurrency { given, ours } => {
                format!("the price is in {given}, but we sell in {ours}")
            }
            ProblemKind::TooManyLines { limit } => format!("an order may have at most {limit} lines"),
        }
    }

    fn contradiction(&self, contradiction: &Contradiction) -> String {
        match contradiction {
            Contradiction::Quantities { sku, claims } => {
                format!("{sku} is ordered in different quantities: {}", self.claims(claims))
            }
            Contradiction::Units { sku, claims } => {
                format!("{sku} is ordered in different units: {}", self.claims(claims))
            }
            Contradiction::Prices { sku, claims } => {
                format!("{sku} is ordered at different prices: {}", self.claims(claims))
            }
            Contradiction::Repeated { sku, claims } => format!(
                "{sku} is listed more than once, and we cannot tell whether you want it more than once: {}",
                self.claims(claims)
            ),
            Contradiction::LineTotal { at, sku, claimed, computed } => format!(
                "{} ({sku}): the line total is given as \"{claimed}\", but quantity times price is {}",
                self.place(at, None),
                money(*computed)
            ),
            Contradiction::OrderTotal { at, claimed, computed } => format!(
                "{}: the total is given as \"{claimed}\", but the lines add up to {}",
                self.place(at, None),
                money(*computed)
            ),
            Contradiction::Documents { one, other } => {
                format!(
                    "{} and {} order different things",
                    document(one.as_deref()),
                    document(other.as_deref())
                )
            }
        }
    }

    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String {
        let why = match code {
            ObstacleCode::Unsupported => {
                "is of a kind we do not read; please send CSV, XLSX, ODS or PDF, or write the lines into the mail"
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
        format!("the attachment \"{attachment}\" {why}")
    }
}
