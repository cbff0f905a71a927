//! German.

use super::Voice;
use crate::draft::{ColumnRef, LineRef};
use crate::judge::ObstacleCode;
use crate::language::Language;
use crate::money::Money;
use crate::order::Order;
use crate::problem::{Claim, Contradiction, ProblemKind};
use crate::reading::Column;

pub(super) struct German;

fn money(amount: Money) -> String {
    amount.to_text(Language::De)
}

fn document(name: Option<&str>) -> String {
    name.map_or_else(|| "der Text Ihrer Mail".to_owned(), |name| format!("„{name}“"))
}

impl German {
    fn claims(&self, claims: &[Claim]) -> String {
        let said = |text: &str| if text.is_empty() { "nichts".to_owned() } else { format!("„{text}“") };
        let claims =
            claims.iter().map(|claim| format!("{} in {}", said(&claim.text), self.place(&claim.at, None)));
        claims.collect::<Vec<_>>().join(", ")
    }
}

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

    fn confirmation(&self, order: &Order) -> String {
        let lines = order.lines.iter().map(|line| {
            format!(
                "  {} x {} {} ({}) zu {} = {}",
                line.quantity,
                line.sku,
                line.name,
                line.unit.to_text(Language::De),
                money(line.unit_price),
                money(line.total)
            )
        });
        let lines: Vec<_> = lines.collect();
        format!(
            "vielen Dank für Ihre Bestellung. Wir haben sie so gebucht:\n\n{}\n\n  Summe netto: {}",
            lines.join("\n"),
            money(order.total)
        )
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

    fn place(&self, at: &LineRef, column: Option<&ColumnRef>) -> String {
        let place = match (&at.document, &at.sheet) {
            (Some(document), Some(sheet)) => format!("„{document}“, Blatt „{sheet}“, Zeile {}", at.line),
            (Some(document), None) => format!("„{document}“, Zeile {}", at.line),
            (None, _) => format!("Ihre Mail, Zeile {}", at.line),
        };
        column.map_or_else(|| place.clone(), |column| format!("{place}, Spalte {column}"))
    }

    fn problem(&self, kind: &ProblemKind) -> String {
        let unit = |unit: &crate::unit::Unit| unit.to_text(Language::De);
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
            ProblemKind::UnknownSku { given, suggestion: Some(sku) } => {
                format!("den Artikel „{given}“ führen wir nicht; meinten Sie {sku}?")
            }
            ProblemKind::UnknownSku { given, suggestion: None } => {
                format!("den Artikel „{given}“ führen wir nicht")
            }
            ProblemKind::MissingQuantity => "die Menge fehlt oder ist unklar".into(),
            ProblemKind::QuantityNotANumber { given } => format!("die Menge „{given}“ ist keine Zahl"),
            ProblemKind::QuantityAmbiguous { given } => {
                format!(
                    "die Menge „{given}“ lässt sich auf zwei Arten lesen; bitte ohne Trennzeichen schreiben"
                )
            }
            ProblemKind::QuantityFraction { given } => format!("die Menge „{given}“ ist keine ganze Zahl"),
            ProblemKind::QuantityNotPositive { given } => {
                format!("die Menge „{given}“ ist nicht größer als null")
            }
            ProblemKind::QuantityBelowMinimum { given, minimum, unit: counted } => {
                format!("„{given}“ liegt unter der Mindestmenge von {minimum} ({})", unit(counted))
            }
            ProblemKind::QuantityAboveMaximum { given, maximum, unit: counted } => {
                format!("„{given}“ liegt über der Höchstmenge von {maximum} ({})", unit(counted))
            }
            ProblemKind::QuantityNotMultiple { given, multiple, unit: counted } => {
                format!("„{given}“ ist kein Vielfaches von {multiple} ({})", unit(counted))
            }
            ProblemKind::UnknownUnit { given } => format!("die Einheit „{given}“ kennen wir nicht"),
            ProblemKind::WrongUnit { given, sold_in } => format!(
                "als Einheit ist {} angegeben, wir verkaufen diesen Artikel aber in der Einheit {}",
                unit(given),
                unit(sold_in)
            ),
            ProblemKind::PriceNotANumber { given } => format!("der Preis „{given}“ ist nicht lesbar"),
            ProblemKind::PriceDiffers { given, ours } => {
                format!("der Preis „{given}“ ist nicht unserer; er beträgt {}", money(*ours))
            }
            ProblemKind::WrongCurrency { given, ours } => {
                format!("der Preis ist in {given} angegeben, wir verkaufen in {ours}")
            }
            ProblemKind::TooManyLines { limit } => {
                format!("eine Bestellung darf höchstens {limit} Zeilen haben")
            }
        }
    }

    fn contradiction(&self, contradiction: &Contradiction) -> String {
        match contradiction {
            Contradiction::Quantities { sku, claims } => {
                format!("{sku} ist in verschiedenen Mengen bestellt: {}", self.claims(claims))
            }
            Contradiction::Units { sku, claims } => {
                format!("{sku} ist in verschiedenen Einheiten bestellt: {}", self.claims(claims))
            }
            Contradiction::Prices { sku, claims } => {
                format!("{sku} ist zu verschiedenen Preisen bestellt: {}", self.claims(claims))
            }
            Contradiction::Repeated { sku, claims } => format!(
                "{sku} steht mehrfach da, und es ist unklar, ob Sie es mehrfach möchten: {}",
                self.claims(claims)
            ),
            Contradiction::LineTotal { at, sku, claimed, computed } => format!(
                "{} ({sku}): als Zeilensumme steht „{claimed}“, Menge mal Preis ergibt aber {}",
                self.place(at, None),
                money(*computed)
            ),
            Contradiction::OrderTotal { at, claimed, computed } => format!(
                "{}: als Summe steht „{claimed}“, die Zeilen ergeben aber {}",
                self.place(at, None),
                money(*computed)
            ),
            Contradiction::Documents { one, other } => {
                format!(
                    "{} und {} bestellen Verschiedenes",
                    document(one.as_deref()),
                    document(other.as_deref())
                )
            }
        }
    }

    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String {
        let why = match code {
            ObstacleCode::Unsupported => {
                "ist von einer Art, die wir nicht lesen; bitte senden Sie CSV, XLSX, ODS oder PDF, oder schreiben Sie \
                 die Zeilen in die Mail"
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
        format!("die Anlage „{attachment}“ {why}")
    }
}
