//! German.

use super::Voice;
use crate::draft::ColumnRef;
use crate::judge::ObstacleCode;
use crate::language::Language;
use crate::problem::{Contradiction, ProblemKind};
use crate::reading::Column;

pub(super) struct German;

impl Voice for German {
    fn language(&self) -> Language {
        Language::De
    }

    fn no_subject(&self) -> &'static str {
        "Ihre Bestellung"
    }

    fn greeting(&self, name: &str) -> String {
        format!("Guten Tag {name},")
    }

    fn closing(&self) -> &'static str {
        "Freundliche Grüße\nIhre Bestellannahme"
    }

    fn booked(&self) -> &'static str {
        "vielen Dank für Ihre Bestellung. Wir haben sie so gebucht:"
    }

    fn each(&self) -> &'static str {
        "zu"
    }

    fn total(&self) -> &'static str {
        "Summe netto"
    }

    fn refusal(&self) -> &'static str {
        "wir konnten Ihre Bestellung nicht buchen. Es ist noch nichts bestellt. Die Gründe:"
    }

    fn what_to_do(&self) -> &'static str {
        "Bitte berichtigen Sie das und senden Sie die ganze Bestellung noch einmal."
    }

    fn and_more(&self, count: usize) -> String {
        format!("und {count} weitere")
    }

    fn quoted(&self, text: &str) -> String {
        format!("„{text}“")
    }

    fn nothing(&self) -> &'static str {
        "nichts"
    }

    fn said_in(&self, said: &str, place: &str) -> String {
        format!("{said} in {place}")
    }

    fn mail_text(&self) -> &'static str {
        "der Text Ihrer Mail"
    }

    fn mail_line(&self, line: u32) -> String {
        format!("Ihre Mail, Zeile {line}")
    }

    fn document_line(&self, document: &str, sheet: Option<&str>, line: u32) -> String {
        match sheet.map(|sheet| self.quoted(sheet)) {
            Some(sheet) => format!("{document}, Blatt {sheet}, Zeile {line}"),
            None => format!("{document}, Zeile {line}"),
        }
    }

    fn column(&self, column: &ColumnRef) -> String {
        format!("Spalte {column}")
    }

    fn problem(&self, kind: &ProblemKind) -> String {
        let quoted = |given: &str| self.quoted(given);
        match kind {
            ProblemKind::MissingColumn { needed } => {
                let needed = match needed {
                    Column::Sku => "Artikelnummern",
                    Column::Quantity => "Mengen",
                    Column::Unit => "Einheiten",
                    Column::Price => "Preisen",
                    Column::Total => "Summen",
                    Column::Name => "Bezeichnungen",
                };
                format!("die Tabelle hat keine Spalte mit {needed}")
            }
            ProblemKind::MissingSku => "die Artikelnummer fehlt".into(),
            ProblemKind::UnknownSku { given, suggestion } => {
                let given = quoted(given);
                match suggestion {
                    Some(sku) => format!("den Artikel {given} führen wir nicht; meinten Sie {sku}?"),
                    None => format!("den Artikel {given} führen wir nicht"),
                }
            }
            ProblemKind::MissingQuantity => "die Menge fehlt oder ist unklar".into(),
            ProblemKind::QuantityNotANumber { given } => {
                let given = quoted(given);
                format!("die Menge {given} ist keine Zahl")
            }
            ProblemKind::QuantityAmbiguous { given } => {
                let given = quoted(given);
                format!(
                    "die Menge {given} lässt sich auf zwei Arten lesen; bitte ohne Trennzeichen schreiben"
                )
            }
            ProblemKind::QuantityFraction { given } => {
                let given = quoted(given);
                format!("die Menge {given} ist keine ganze Zahl")
            }
            ProblemKind::QuantityNotPositive { given } => {
                let given = quoted(given);
                format!("die Menge {given} ist nicht größer als null")
            }
            ProblemKind::QuantityBelowMinimum { given, minimum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} liegt unter der Mindestmenge von {minimum} ({unit})")
            }
            ProblemKind::QuantityAboveMaximum { given, maximum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} liegt über der Höchstmenge von {maximum} ({unit})")
            }
            ProblemKind::QuantityNotMultiple { given, multiple, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} ist kein Vielfaches von {multiple} ({unit})")
            }
            ProblemKind::UnknownUnit { given } => {
                let given = quoted(given);
                format!("die Einheit {given} kennen wir nicht")
            }
            ProblemKind::WrongUnit { given, sold_in } => {
                let (given, sold_in) = (self.unit(*given), self.unit(*sold_in));
                format!(
                    "als Einheit ist {given} angegeben, wir verkaufen diesen Artikel aber in der Einheit \
                     {sold_in}"
                )
            }
            ProblemKind::PriceNotANumber { given } => {
                let given = quoted(given);
                format!("der Preis {given} ist nicht lesbar")
            }
            ProblemKind::PriceDiffers { given, ours } => {
                let (given, ours) = (quoted(given), self.money(*ours));
                format!("der Preis {given} ist nicht unserer; er beträgt {ours}")
            }
            ProblemKind::WrongCurrency { given, ours } => {
                format!("der Preis ist in {given} angegeben, wir verkaufen in {ours}")
            }
            ProblemKind::TooManyLines { limit } => {
                format!("eine Bestellung darf höchstens {limit} Zeilen haben")
            }
        }
    }

    fn disagreement(&self, contradiction: &Contradiction) -> &'static str {
        match contradiction {
            Contradiction::Quantities { .. } => "ist in verschiedenen Mengen bestellt",
            Contradiction::Units { .. } => "ist in verschiedenen Einheiten bestellt",
            Contradiction::Prices { .. } => "ist zu verschiedenen Preisen bestellt",
            Contradiction::Repeated { .. }
            | Contradiction::LineTotal { .. }
            | Contradiction::OrderTotal { .. }
            | Contradiction::Documents { .. } => {
                "steht mehrfach da, und es ist unklar, ob Sie es mehrfach möchten"
            }
        }
    }

    fn line_total(&self, claimed: &str, computed: &str) -> String {
        format!("als Zeilensumme steht {claimed}, Menge mal Preis ergibt aber {computed}")
    }

    fn order_total(&self, claimed: &str, computed: &str) -> String {
        format!("als Summe steht {claimed}, die Zeilen ergeben aber {computed}")
    }

    fn documents(&self, one: &str, other: &str) -> String {
        format!("{one} und {other} bestellen Verschiedenes")
    }

    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String {
        let why = match code {
            ObstacleCode::Unsupported => {
                "ist von einer Art, die wir nicht lesen; bitte senden Sie CSV, XLSX, ODS oder PDF, oder \
                 schreiben Sie die Zeilen in die Mail"
            }
            ObstacleCode::Unreadable => "ist beschädigt oder nicht das, was ihr Name sagt",
            ObstacleCode::NoText => "enthält keinen lesbaren Text, vielleicht weil sie eingescannt ist",
            ObstacleCode::Encrypted => "ist mit einem Kennwort geschützt",
            ObstacleCode::ExtractTimeout => "ließ sich nicht in angemessener Zeit lesen",
            ObstacleCode::ExtractCrashed | ObstacleCode::ExtractMemory => "ließ sich nicht sicher öffnen",
            ObstacleCode::ExtractOutput => "enthält mehr Text, als eine Bestellung haben kann",
            ObstacleCode::TooLarge => "ist zu groß",
            ObstacleCode::TooMany => "ist eine von zu vielen Anlagen",
            ObstacleCode::ExpansionLimit => {
                "ist entpackt größer, als eine Bestellung sein kann; wir haben sie nicht geöffnet"
            }
        };
        format!("die Anlage {attachment} {why}")
    }
}
