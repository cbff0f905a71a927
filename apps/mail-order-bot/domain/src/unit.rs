//! Units that goods are sold in, with the names customers give them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::words::fold;

/// What a quantity counts. The shop need not sell in all of them: a unit is known so that it can be refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Single piece.
    Piece,
    /// Pack or bag.
    Pack,
    /// Box or carton.
    Box,
    /// Bottle.
    Bottle,
    /// Crate.
    Crate,
    /// Pallet.
    Pallet,
    /// Twelve pieces.
    Dozen,
    /// Gram.
    Gram,
    /// Kilogram.
    Kilogram,
    /// Litre.
    Litre,
    /// Metre.
    Metre,
}

/// Each unit, its catalogue code, and its names in folded spelling.
const NAMES: [(Unit, &str, &[&str]); 11] = [
    (
        Unit::Piece,
        "piece",
        &[
            "pc", "pcs", "pce", "piece", "pieces", "each", "ea", "stk", "stck", "st", "stuck", "stueck",
            "stucke", "pieza", "piezas", "ud", "uds", "unidad", "unidades", "pz", "pezzo", "pezzi", "unite",
            "unites", "unita", "unit", "units",
        ],
    ),
    (
        Unit::Pack,
        "pack",
        &[
            "pk",
            "pack",
            "packs",
            "packet",
            "packets",
            "bag",
            "bags",
            "pkg",
            "packung",
            "packungen",
            "pck",
            "pckg",
            "pack",
            "beutel",
            "paquet",
            "paquets",
            "sachet",
            "sachets",
            "paquete",
            "paquetes",
            "bolsa",
            "bolsas",
            "conf",
            "confezione",
            "confezioni",
            "pacco",
            "pacchi",
        ],
    ),
    (
        Unit::Box,
        "box",
        &[
            "box",
            "boxes",
            "bx",
            "carton",
            "cartons",
            "ctn",
            "case",
            "cases",
            "karton",
            "kartons",
            "ktn",
            "schachtel",
            "schachteln",
            "boite",
            "boites",
            "caja",
            "cajas",
            "scatola",
            "scatole",
            "cartone",
            "cartoni",
        ],
    ),
    (
        Unit::Bottle,
        "bottle",
        &[
            "btl",
            "bottle",
            "bottles",
            "flasche",
            "flaschen",
            "fl",
            "bouteille",
            "bouteilles",
            "botella",
            "botellas",
            "bottiglia",
            "bottiglie",
            "bott",
        ],
    ),
    (
        Unit::Crate,
        "crate",
        &[
            "crate", "crates", "kiste", "kisten", "kasten", "caisse", "caisses", "cajon", "cajones", "cassa",
            "casse",
        ],
    ),
    (
        Unit::Pallet,
        "pallet",
        &[
            "pallet", "pallets", "plt", "palette", "paletten", "palettes", "pal", "pale", "pales", "bancale",
            "bancali", "pallets",
        ],
    ),
    (
        Unit::Dozen,
        "dozen",
        &[
            "dozen",
            "dozens",
            "dz",
            "dutzend",
            "dtz",
            "douzaine",
            "douzaines",
            "docena",
            "docenas",
            "dozzina",
            "dozzine",
        ],
    ),
    (
        Unit::Gram,
        "gram",
        &["g", "gr", "gram", "grams", "gramm", "gramme", "grammes", "gramo", "gramos", "grammo", "grammi"],
    ),
    (
        Unit::Kilogram,
        "kilogram",
        &[
            "kg",
            "kgs",
            "kilo",
            "kilos",
            "kilogram",
            "kilograms",
            "chilogrammo",
            "kilogramm",
            "kilogramme",
            "kilogramo",
            "chili",
        ],
    ),
    (
        Unit::Litre,
        "litre",
        &["l", "lt", "ltr", "litre", "litres", "liter", "liters", "litro", "litros", "litri"],
    ),
    (Unit::Metre, "metre", &["m", "mtr", "metre", "metres", "meter", "meters", "metro", "metros", "metri"]),
];

impl Unit {
    /// The unit a word names, in any of the languages and whatever its case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let folded = fold(word);
        NAMES.iter().find(|(_, _, names)| names.contains(&folded.as_str())).map(|(unit, _, _)| *unit)
    }

    /// The code used in the catalogue file.
    #[must_use]
    pub fn code(self) -> &'static str {
        NAMES.iter().find(|(unit, _, _)| *unit == self).map_or("", |(_, code, _)| code)
    }

    /// The unit of a catalogue code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known, _)| *known == code).map(|(unit, _, _)| *unit)
    }

    /// The word for a reader, in the singular.
    #[must_use]
    pub fn to_text(self, language: Language) -> &'static str {
        let [en, de, fr, es, it] = match self {
            Self::Piece => ["piece", "Stück", "pièce", "pieza", "pezzo"],
            Self::Pack => ["pack", "Packung", "paquet", "paquete", "confezione"],
            Self::Box => ["box", "Karton", "boîte", "caja", "scatola"],
            Self::Bottle => ["bottle", "Flasche", "bouteille", "botella", "bottiglia"],
            Self::Crate => ["crate", "Kiste", "caisse", "cajón", "cassa"],
            Self::Pallet => ["pallet", "Palette", "palette", "palé", "bancale"],
            Self::Dozen => ["dozen", "Dutzend", "douzaine", "docena", "dozzina"],
            Self::Gram => ["gram", "Gramm", "gramme", "gramo", "grammo"],
            Self::Kilogram => ["kilogram", "Kilogramm", "kilogramme", "kilogramo", "chilogrammo"],
            Self::Litre => ["litre", "Liter", "litre", "litro", "litro"],
            Self::Metre => ["metre", "Meter", "mètre", "metro", "metro"],
        };
        match language {
            Language::En => en,
            Language::De => de,
            Language::Fr => fr,
            Language::Es => es,
            Language::It => it,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_language_lead_to_one_unit() {
        let cases = [
            ("Stk.", Unit::Piece),
            ("STÜCK", Unit::Piece),
            ("pcs", Unit::Piece),
            ("Boîtes", Unit::Box),
            ("cajas", Unit::Box),
            ("confezioni", Unit::Pack),
            ("Flaschen", Unit::Bottle),
            ("Kg", Unit::Kilogram),
        ];
        for (word, unit) in cases {
            assert_eq!(Unit::from_word(word), Some(unit), "{word}");
        }
        assert_eq!(Unit::from_word("barrels"), None);
    }

    #[test]
    fn what_replies_call_a_unit_is_understood_in_orders() {
        for (unit, _, _) in NAMES {
            for language in Language::ALL {
                let word = unit.to_text(language);
                assert_eq!(Unit::from_word(word), Some(unit), "{word}");
            }
        }
    }

    #[test]
    fn a_name_belongs_to_one_unit_only() {
        let mut seen = std::collections::HashMap::new();
        for (unit, code, names) in NAMES {
            assert_eq!(Unit::from_code(code), Some(unit));
            assert_eq!(unit.code(), code);
            for name in names {
                assert!(seen.insert(name, unit).is_none_or(|earlier| earlier == unit), "{name}");
                assert_eq!(fold(name), *name, "names are kept in folded spelling");
            }
        }
    }
}
