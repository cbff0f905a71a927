//! Spanish.

use super::Voice;
use crate::draft::ColumnRef;
use crate::judge::ObstacleCode;
use crate::language::Language;
use crate::problem::{Contradiction, ProblemKind};
use crate::reading::Column;

pub(super) struct Spanish;

impl Voice for Spanish {
    fn language(&self) -> Language {
        Language::Es
    }

    fn no_subject(&self) -> &'static str {
        "su pedido"
    }

    fn greeting(&self, name: &str) -> String {
        format!("Estimados señores de {name}:")
    }

    fn closing(&self) -> &'static str {
        "Un cordial saludo\nSu servicio de pedidos"
    }

    fn booked(&self) -> &'static str {
        "Gracias por su pedido. Lo hemos registrado así:"
    }

    fn each(&self) -> &'static str {
        "a"
    }

    fn total(&self) -> &'static str {
        "Total neto"
    }

    fn refusal(&self) -> &'static str {
        "No hemos podido registrar su pedido. Todavía no se ha pedido nada. Estos son los motivos:"
    }

    fn what_to_do(&self) -> &'static str {
        "Por favor, corríjanlo y envíen de nuevo el pedido completo."
    }

    fn and_more(&self, count: usize) -> String {
        format!("y {count} más")
    }

    fn quoted(&self, text: &str) -> String {
        format!("«{text}»")
    }

    fn nothing(&self) -> &'static str {
        "nada"
    }

    fn said_in(&self, said: &str, place: &str) -> String {
        format!("{said} en {place}")
    }

    fn mail_text(&self) -> &'static str {
        "el texto de su correo"
    }

    fn mail_line(&self, line: u32) -> String {
        format!("su correo, línea {line}")
    }

    fn document_line(&self, document: &str, sheet: Option<&str>, line: u32) -> String {
        match sheet.map(|sheet| self.quoted(sheet)) {
            Some(sheet) => format!("{document}, hoja {sheet}, fila {line}"),
            None => format!("{document}, línea {line}"),
        }
    }

    fn column(&self, column: &ColumnRef) -> String {
        format!("columna {column}")
    }

    fn problem(&self, kind: &ProblemKind) -> String {
        let quoted = |given: &str| self.quoted(given);
        match kind {
            ProblemKind::MissingColumn { needed } => {
                let needed = match needed {
                    Column::Sku => "las referencias",
                    Column::Quantity => "las cantidades",
                    Column::Unit => "las unidades",
                    Column::Price => "los precios",
                    Column::Total => "los importes",
                    Column::Name => "los nombres",
                };
                format!("a la tabla le falta la columna con {needed}")
            }
            ProblemKind::MissingSku => "falta la referencia".into(),
            ProblemKind::UnknownSku { given, suggestion } => {
                let given = quoted(given);
                match suggestion {
                    Some(sku) => format!("no tenemos ningún artículo {given}; ¿querían decir {sku}?"),
                    None => format!("no tenemos ningún artículo {given}"),
                }
            }
            ProblemKind::MissingQuantity => "la cantidad falta o no está clara".into(),
            ProblemKind::QuantityNotANumber { given } => {
                let given = quoted(given);
                format!("la cantidad {given} no es un número")
            }
            ProblemKind::QuantityAmbiguous { given } => {
                let given = quoted(given);
                format!(
                    "la cantidad {given} se puede leer de dos maneras; escríbanla sin separador, por favor"
                )
            }
            ProblemKind::QuantityFraction { given } => {
                let given = quoted(given);
                format!("la cantidad {given} no es un número entero")
            }
            ProblemKind::QuantityNotPositive { given } => {
                let given = quoted(given);
                format!("la cantidad {given} no es mayor que cero")
            }
            ProblemKind::QuantityBelowMinimum { given, minimum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} está por debajo de la cantidad mínima de {minimum} ({unit})")
            }
            ProblemKind::QuantityAboveMaximum { given, maximum, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} supera la cantidad máxima de {maximum} ({unit})")
            }
            ProblemKind::QuantityNotMultiple { given, multiple, unit } => {
                let (given, unit) = (quoted(given), self.unit(*unit));
                format!("{given} no es múltiplo de {multiple} ({unit})")
            }
            ProblemKind::UnknownUnit { given } => {
                let given = quoted(given);
                format!("no conocemos la unidad {given}")
            }
            ProblemKind::WrongUnit { given, sold_in } => {
                let (given, sold_in) = (self.unit(*given), self.unit(*sold_in));
                format!("la unidad indicada es {given}, pero vendemos este artículo por {sold_in}")
            }
            ProblemKind::PriceNotANumber { given } => {
                let given = quoted(given);
                format!("el precio {given} no se puede leer")
            }
            ProblemKind::PriceDiffers { given, ours } => {
                let (given, ours) = (quoted(given), self.money(*ours));
                format!("el precio {given} no es el nuestro, que es {ours}")
            }
            ProblemKind::WrongCurrency { given, ours } => {
                format!("el precio está en {given}, pero vendemos en {ours}")
            }
            ProblemKind::TooManyLines { limit } => {
                format!("un pedido puede tener como máximo {limit} líneas")
            }
        }
    }

    fn disagreement(&self, contradiction: &Contradiction) -> &'static str {
        match contradiction {
            Contradiction::Quantities { .. } => "se pide en cantidades distintas",
            Contradiction::Units { .. } => "se pide en unidades distintas",
            Contradiction::Prices { .. } => "se pide a precios distintos",
            Contradiction::Repeated { .. }
            | Contradiction::LineTotal { .. }
            | Contradiction::OrderTotal { .. }
            | Contradiction::Documents { .. } => {
                "aparece más de una vez y no sabemos si lo quieren más de una vez"
            }
        }
    }

    fn line_total(&self, claimed: &str, computed: &str) -> String {
        format!("el importe de la línea figura como {claimed}, pero cantidad por precio da {computed}")
    }

    fn order_total(&self, claimed: &str, computed: &str) -> String {
        format!("el total figura como {claimed}, pero las líneas suman {computed}")
    }

    fn documents(&self, one: &str, other: &str) -> String {
        format!("{one} y {other} piden cosas distintas")
    }

    fn obstacle(&self, attachment: &str, code: ObstacleCode) -> String {
        let why = match code {
            ObstacleCode::Unsupported => {
                "es de un tipo que no leemos; envíen CSV, XLSX, ODS o PDF, o escriban las líneas en el correo"
            }
            ObstacleCode::Unreadable => "está dañado o no es lo que dice su nombre",
            ObstacleCode::NoText => "no contiene texto legible, quizá porque está escaneado",
            ObstacleCode::Encrypted => "está protegido con una contraseña",
            ObstacleCode::ExtractTimeout => "tardó demasiado en leerse",
            ObstacleCode::ExtractCrashed | ObstacleCode::ExtractMemory => "no se pudo abrir de forma segura",
            ObstacleCode::ExtractOutput => "contiene más texto del que puede tener un pedido",
            ObstacleCode::TooLarge => "es demasiado grande",
            ObstacleCode::TooMany => "supera el número de adjuntos permitido",
            ObstacleCode::ExpansionLimit => {
                "ocupa descomprimido más de lo que puede ocupar un pedido; no lo hemos abierto"
            }
        };
        format!("el archivo adjunto {attachment} {why}")
    }
}
