//! French.

use super::Voice;
use crate::draft::ColumnRef;
use crate::judge::ObstacleCode;
use crate::language::Language;
use crate::problem::{Contradiction, ProblemKind};
use crate::reading::Column;

pub(super) struct French;

impl Voice for French {
    fn language(&self) -> Language {
        Language::Fr
    }

    fn no_subject(&self) -> &'static str {
        "votre commande"
    }

    fn greeting(&self, name: &str) -> String {
        format!("Bonjour {name},")
    }

    fn closing(&self) -> &'static str {
        "Cordialement\nVotre service des commandes"
    }

    fn booked(&self) -> &'static str {
        "merci de votre commande. Nous l’avons enregistrée ainsi :"
    }

    fn each(&self) -> &'static str {
        "à"
    }

    fn total(&self) -> &'static str {
        "Total HT "
    }

    fn refusal(&self) -> &'static str {
        "nous n’avons pas pu enregistrer votre commande. Rien n’est encore commandé. En voici les raisons :"
    }

    fn what_to_do(&self) -> &'static str {
        "Merci de corriger cela et de renvoyer la commande entière."
    }

    fn and_more(&self, count: usize) -> String {
        format!("et {count} autres")
    }

    fn quoted(&self, text: &str) -> String {
        format!("« {text} »")
    }

    fn nothing(&self) -> &'static str {
        "rien"
    }

    fn said_in(&self, said: &str, place: &str) -> String {
        format!("{said} dans {place}")
    }

    fn mail_text(&self) -> &'static str {
        "le texte de votre message"
    }

    fn mail_line(&self, line: u32) -> String {
        format!("votre message, ligne {line}")
    }

    fn document_line(&self, document: &str, sheet: Option<&str>, line: u32) -> String {
        match sheet.map(|sheet| self.quoted(sheet)) {
            Some(sheet) => format!("{document}, feuille {sheet}, ligne {line}"),
            None => format!("{document}, ligne {line}"),
        }
    }

    fn column(&self, column: &ColumnRef) -> String {
        format!("colonne {column}")
    }

    fn problem(&self, kind: &ProblemKind) -> String {
        let quoted = |given: &str| self.quoted(given);
        match kind {
            ProblemKind::MissingColumn { needed } => {
                let needed = match needed {
                    Column::Sku => "les références",
                    Column::Quantity => "les quantités",
                    Column::Unit => "les unités",
                    Column::Price => "les prix",
                    Column::Total => "les montants",
                    Column::Name => "les désignations",
                };
                format!("il manque au tableau la colonne avec {needed}")
            }
            ProblemKind::MissingSku => "la référence manque".into(),
            ProblemKind::UnknownSku { given, suggestion } => {
                let given = quoted(given);
                match suggestion {
                    Some(sku) => format!("nous n’avons pas d’article {given} ; vouliez-vous dire {sku} ?"),
                    None => format!("nous n’avons pas d’article {given}"),
                }
            }
            ProblemKind::MissingQuantity => "la quantité manque ou n’est pas claire".into(),
            ProblemKind::QuantityNotANumber { given } => {
                let given = quoted(given);
                format!("la quantité {given} n’est pas un nombre")
            }
            ProblemKind::QuantityAmbiguous { given } => {
                let given = quoted(given);
                format!("la quantité {given} peut se lire de deux façons ; merci de l’écrire sans séparateur")
            }
            ProblemKind::QuantityFraction { given } => {
                let given = quoted(given);
                format!("la quantité {given} n’est pas un nombre entier")
            }
            ProblemKind::QuantityNotPositive { given } => {
                let given = quoted(given);
                format!("la quantité {given} n’est pas supérieure à zéro")
            }
            ProblemKind::QuantityBelowMinimum { given, minimum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} est inférieur à la quantité minimale de {minimum} ({unit})")
            }
            ProblemKind::QuantityAboveMaximum { given, maximum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} dépasse la quantité maximale de {maximum} ({unit})")
            }
            ProblemKind::QuantityNotMultiple { given, multiple, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} n’est pas un multiple de {multiple} ({unit})")
            }
            ProblemKind::UnknownUnit { given } => {
                let given = quoted(given);
                format!("nous ne connaissons pas l’unité {given}")
            }
            ProblemKind::WrongUnit { given, sold_in } => {
                let (given, sold_in) = (self.unit(*given), self.unit(*sold_in));
                format!("l’unité indiquée est {given}, mais nous vendons cet article par {sold_in}")
            }
            ProblemKind::PriceNotANumber { given } => {
                let given = quoted(given);
                format!("le prix {given} est illisible")
            }
            ProblemKind::PriceDiffers { given, ours } => {
                let (given, ours) = (quoted(given), self.money(*ours));
                format!("le prix {given} n’est pas le nôtre, qui est de {ours}")
            }
            ProblemKind::WrongCurrency { given, ours } => {
                format!("le prix est en {given}, mais nous vendons en {ours}")
            }
            ProblemKind::TooManyLines { limit } => format!("une commande peut avoir au plus {limit} lignes"),
        }
    }

    fn disagreement(&self, contradiction: &Contradiction) -> &'static str {
        match contradiction {
            Contradiction::Quantities { .. } => "est commandé en quantités différentes",
            Contradiction::Units { .. } => "est commandé en unités différentes",
            Contradiction::Prices { .. } => "est commandé à des prix différents",
            Contradiction::Repeated { .. }
            | Contradiction::LineTotal { .. }
            | Contradiction::OrderTotal { .. }
            | Contradiction::Documents { .. } => {
                "figure plusieurs fois, et nous ne savons pas si vous le voulez plusieurs fois"
            }
        }
    }

    fn line_total(&self, claimed: &str, computed: &str) -> String {
        format!(
            "le montant de la ligne est indiqué comme {claimed}, mais quantité fois prix donne {computed}"
        )
    }

    fn order_total(&self, claimed: &str, computed: &str) -> String {
        format!("le total est indiqué comme {claimed}, mais les lignes donnent {computed}")
    }

    fn documents(&self, one: &str, other: &str) -> String {
        format!("{one} et {other} commandent des choses différentes")
    }

    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String {
        let why = match code {
            ObstacleCode::Unsupported => {
                "est d’un type que nous ne lisons pas ; merci d’envoyer CSV, XLSX, ODS ou PDF, ou \
                 d’écrire les lignes dans le message"
            }
            ObstacleCode::Unreadable => "est endommagée ou n’est pas ce que dit son nom",
            ObstacleCode::NoText => {
                "ne contient pas de texte lisible, peut-être parce qu’elle a été numérisée"
            }
            ObstacleCode::Encrypted => "est protégée par un mot de passe",
            ObstacleCode::ExtractTimeout => "était trop longue à lire",
            ObstacleCode::ExtractCrashed | ObstacleCode::ExtractMemory => {
                "n’a pas pu être ouverte sans risque"
            }
            ObstacleCode::ExtractOutput => "contient plus de texte qu’une commande ne peut en avoir",
            ObstacleCode::TooLarge => "est trop volumineuse",
            ObstacleCode::TooMany => "dépasse le nombre de pièces jointes permis",
            ObstacleCode::ExpansionLimit => {
                "contient, une fois décompressée, plus qu’une commande ; nous ne l’avons pas ouverte"
            }
        };
        format!("la pièce jointe {attachment} {why}")
    }
}
