//! Italian.

use super::Voice;
use crate::draft::ColumnRef;
use crate::judge::ObstacleCode;
use crate::language::Language;
use crate::problem::{Contradiction, ProblemKind};
use crate::reading::Column;

pub(super) struct Italian;

impl Voice for Italian {
    fn language(&self) -> Language {
        Language::It
    }

    fn no_subject(&self) -> &'static str {
        "il vostro ordine"
    }

    fn greeting(&self, name: &str) -> String {
        format!("Gentile {name},")
    }

    fn closing(&self) -> &'static str {
        "Cordiali saluti\nIl vostro ufficio ordini"
    }

    fn booked(&self) -> &'static str {
        "grazie per il vostro ordine. Lo abbiamo registrato così:"
    }

    fn each(&self) -> &'static str {
        "a"
    }

    fn total(&self) -> &'static str {
        "Totale netto"
    }

    fn refusal(&self) -> &'static str {
        "non abbiamo potuto registrare il vostro ordine. Non è stato ancora ordinato nulla. I motivi:"
    }

    fn what_to_do(&self) -> &'static str {
        "Vi preghiamo di correggere e di inviare di nuovo l’ordine completo."
    }

    fn and_more(&self, count: usize) -> String {
        format!("e altri {count}")
    }

    fn quoted(&self, text: &str) -> String {
        format!("«{text}»")
    }

    fn nothing(&self) -> &'static str {
        "nulla"
    }

    fn said_in(&self, said: &str, place: &str) -> String {
        format!("{said} in {place}")
    }

    fn mail_text(&self) -> &'static str {
        "il testo della vostra mail"
    }

    fn mail_line(&self, line: u32) -> String {
        format!("la vostra mail, riga {line}")
    }

    fn document_line(&self, document: &str, sheet: Option<&str>, line: u32) -> String {
        match sheet.map(|sheet| self.quoted(sheet)) {
            Some(sheet) => format!("{document}, foglio {sheet}, riga {line}"),
            None => format!("{document}, riga {line}"),
        }
    }

    fn column(&self, column: &ColumnRef) -> String {
        format!("colonna {column}")
    }

    fn problem(&self, kind: &ProblemKind) -> String {
        let quoted = |given: &str| self.quoted(given);
        match kind {
            ProblemKind::MissingColumn { needed } => {
                let needed = match needed {
                    Column::Sku => "i codici",
                    Column::Quantity => "le quantità",
                    Column::Unit => "le unità",
                    Column::Price => "i prezzi",
                    Column::Total => "gli importi",
                    Column::Name => "i nomi",
                };
                format!("alla tabella manca la colonna con {needed}")
            }
            ProblemKind::MissingSku => "manca il codice articolo".into(),
            ProblemKind::UnknownSku { given, suggestion } => {
                let given = quoted(given);
                match suggestion {
                    Some(sku) => format!("non abbiamo un articolo {given}; intendevate {sku}?"),
                    None => format!("non abbiamo un articolo {given}"),
                }
            }
            ProblemKind::MissingQuantity => "la quantità manca o non è chiara".into(),
            ProblemKind::QuantityNotANumber { given } => {
                let given = quoted(given);
                format!("la quantità {given} non è un numero")
            }
            ProblemKind::QuantityAmbiguous { given } => {
                let given = quoted(given);
                format!(
                    "la quantità {given} si può leggere in due modi; vi preghiamo di scriverla senza \
                     separatore"
                )
            }
            ProblemKind::QuantityFraction { given } => {
                let given = quoted(given);
                format!("la quantità {given} non è un numero intero")
            }
            ProblemKind::QuantityNotPositive { given } => {
                let given = quoted(given);
                format!("la quantità {given} non è maggiore di zero")
            }
            ProblemKind::QuantityBelowMinimum { given, minimum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} è sotto la quantità minima di {minimum} ({unit})")
            }
            ProblemKind::QuantityAboveMaximum { given, maximum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} supera la quantità massima di {maximum} ({unit})")
            }
            ProblemKind::QuantityNotMultiple { given, multiple, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} non è un multiplo di {multiple} ({unit})")
            }
            ProblemKind::UnknownUnit { given } => {
                let given = quoted(given);
                format!("non conosciamo l’unità {given}")
            }
            ProblemKind::WrongUnit { given, sold_in } => {
                let (given, sold_in) = (self.unit(*given), self.unit(*sold_in));
                format!("l’unità indicata è {given}, ma vendiamo questo articolo per {sold_in}")
            }
            ProblemKind::PriceNotANumber { given } => {
                let given = quoted(given);
                format!("il prezzo {given} non è leggibile")
            }
            ProblemKind::PriceDiffers { given, ours } => {
                let (given, ours) = (quoted(given), self.money(*ours));
                format!("il prezzo {given} non è il nostro, che è {ours}")
            }
            ProblemKind::WrongCurrency { given, ours } => {
                format!("il prezzo è in {given}, ma vendiamo in {ours}")
            }
            ProblemKind::TooManyLines { limit } => format!("un ordine può avere al massimo {limit} righe"),
        }
    }

    fn disagreement(&self, contradiction: &Contradiction) -> &'static str {
        match contradiction {
            Contradiction::Quantities { .. } => "è ordinato in quantità diverse",
            Contradiction::Units { .. } => "è ordinato in unità diverse",
            Contradiction::Prices { .. } => "è ordinato a prezzi diversi",
            Contradiction::Repeated { .. }
            | Contradiction::LineTotal { .. }
            | Contradiction::OrderTotal { .. }
            | Contradiction::Documents { .. } => "compare più volte, e non sappiamo se lo volete più volte",
        }
    }

    fn line_total(&self, claimed: &str, computed: &str) -> String {
        format!("l’importo della riga è indicato come {claimed}, ma quantità per prezzo dà {computed}")
    }

    fn order_total(&self, claimed: &str, computed: &str) -> String {
        format!("il totale è indicato come {claimed}, ma le righe danno {computed}")
    }

    fn documents(&self, one: &str, other: &str) -> String {
        format!("{one} e {other} ordinano cose diverse")
    }

    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String {
        let why = match code {
            ObstacleCode::Unsupported => {
                "è di un tipo che non leggiamo; inviate CSV, XLSX, ODS o PDF, oppure scrivete le righe \
                 nella mail"
            }
            ObstacleCode::Unreadable => "è danneggiato o non è ciò che dice il suo nome",
            ObstacleCode::NoText => "non contiene testo leggibile, forse perché è una scansione",
            ObstacleCode::Encrypted => "è protetto da una password",
            ObstacleCode::ExtractTimeout => "ha richiesto troppo tempo per essere letto",
            ObstacleCode::ExtractCrashed | ObstacleCode::ExtractMemory => {
                "non si è potuto aprire in sicurezza"
            }
            ObstacleCode::ExtractOutput => "contiene più testo di quanto ne possa avere un ordine",
            ObstacleCode::TooLarge => "è troppo grande",
            ObstacleCode::TooMany => "supera il numero di allegati consentito",
            ObstacleCode::ExpansionLimit => "decompresso contiene più di un ordine; non lo abbiamo aperto",
        };
        format!("l’allegato {attachment} {why}")
    }
}
