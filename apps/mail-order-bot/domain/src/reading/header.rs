//! Headings of order tables, in five languages.

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::language::Language::{De, En, Es, Fr, It};
use crate::table::Cell;
use crate::words::fold;

/// What a column of an order table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Article code.
    Sku,
    /// How many.
    Quantity,
    /// Of what unit.
    Unit,
    /// Price of one.
    Price,
    /// Price of the line.
    Total,
    /// Name of the article; read by nobody, but it tells an order table from others.
    Name,
}

const ALL: &[Language] = &Language::ALL;

/// Headings in folded spelling. Where a table has two columns of one kind, the one that comes first *here* is taken:
/// beside "Artikelnummer", a column "Artikel" holds names.
const HEADINGS: &[(&str, Column, &[Language])] = &[
    ("sku", Column::Sku, ALL),
    ("item no", Column::Sku, &[En]),
    ("item number", Column::Sku, &[En]),
    ("item code", Column::Sku, &[En]),
    ("article no", Column::Sku, &[En]),
    ("article number", Column::Sku, &[En]),
    ("article code", Column::Sku, &[En]),
    ("product code", Column::Sku, &[En]),
    ("product no", Column::Sku, &[En]),
    ("part number", Column::Sku, &[En]),
    ("part no", Column::Sku, &[En]),
    ("artikelnummer", Column::Sku, &[De]),
    ("artikelnr", Column::Sku, &[De]),
    ("artikel nr", Column::Sku, &[De]),
    ("art nr", Column::Sku, &[De]),
    ("artnr", Column::Sku, &[De]),
    ("bestellnummer", Column::Sku, &[De]),
    ("bestell nr", Column::Sku, &[De]),
    ("best nr", Column::Sku, &[De]),
    ("reference", Column::Sku, &[Fr, En]),
    ("ref", Column::Sku, &[Fr, Es, En]),
    ("code article", Column::Sku, &[Fr]),
    ("code produit", Column::Sku, &[Fr]),
    ("n article", Column::Sku, &[Fr]),
    ("referencia", Column::Sku, &[Es]),
    ("codigo articulo", Column::Sku, &[Es]),
    ("codigo", Column::Sku, &[Es]),
    ("cod", Column::Sku, &[Es, It]),
    ("codice articolo", Column::Sku, &[It]),
    ("codice", Column::Sku, &[It]),
    ("code", Column::Sku, &[En, Fr]),
    ("item", Column::Sku, &[En]),
    ("article", Column::Sku, &[En, Fr]),
    ("artikel", Column::Sku, &[De]),
    ("articulo", Column::Sku, &[Es]),
    ("articolo", Column::Sku, &[It]),
    ("quantity", Column::Quantity, &[En]),
    ("qty", Column::Quantity, &[En]),
    ("order quantity", Column::Quantity, &[En]),
    ("count", Column::Quantity, &[En]),
    ("menge", Column::Quantity, &[De]),
    ("bestellmenge", Column::Quantity, &[De]),
    ("anzahl", Column::Quantity, &[De]),
    ("stuckzahl", Column::Quantity, &[De]),
    ("quantite", Column::Quantity, &[Fr]),
    ("qte", Column::Quantity, &[Fr]),
    ("nombre", Column::Quantity, &[Fr]),
    ("cantidad", Column::Quantity, &[Es]),
    ("cant", Column::Quantity, &[Es]),
    ("quantita", Column::Quantity, &[It]),
    ("q ta", Column::Quantity, &[It]),
    ("qta", Column::Quantity, &[It]),
    ("unit", Column::Unit, &[En]),
    ("uom", Column::Unit, &[En]),
    ("unit of measure", Column::Unit, &[En]),
    ("einheit", Column::Unit, &[De]),
    ("mengeneinheit", Column::Unit, &[De]),
    ("me", Column::Unit, &[De]),
    ("unite", Column::Unit, &[Fr]),
    ("unidad", Column::Unit, &[Es]),
    ("ud", Column::Unit, &[Es]),
    ("unita", Column::Unit, &[It]),
    ("unita di misura", Column::Unit, &[It]),
    ("u m", Column::Unit, &[It]),
    ("um", Column::Unit, &[It]),
    ("unit price", Column::Price, &[En]),
    ("price each", Column::Price, &[En]),
    ("price", Column::Price, &[En]),
    ("einzelpreis", Column::Price, &[De]),
    ("stuckpreis", Column::Price, &[De]),
    ("ep", Column::Price, &[De]),
    ("preis", Column::Price, &[De]),
    ("prix unitaire", Column::Price, &[Fr]),
    ("p u", Column::Price, &[Fr]),
    ("pu", Column::Price, &[Fr]),
    ("prix", Column::Price, &[Fr]),
    ("precio unitario", Column::Price, &[Es]),
    ("precio", Column::Price, &[Es]),
    ("prezzo unitario", Column::Price, &[It]),
    ("prezzo", Column::Price, &[It]),
    ("line total", Column::Total, &[En]),
    ("amount", Column::Total, &[En]),
    ("gesamtpreis", Column::Total, &[De]),
    ("gesamt", Column::Total, &[De]),
    ("summe", Column::Total, &[De]),
    ("betrag", Column::Total, &[De]),
    ("montant", Column::Total, &[Fr]),
    ("total ligne", Column::Total, &[Fr]),
    ("importe", Column::Total, &[Es]),
    ("importo", Column::Total, &[It]),
    ("totale", Column::Total, &[It]),
    ("total", Column::Total, &[En, Fr, Es]),
    ("description", Column::Name, &[En, Fr]),
    ("item description", Column::Name, &[En]),
    ("product", Column::Name, &[En]),
    ("name", Column::Name, &[En, De]),
    ("bezeichnung", Column::Name, &[De]),
    ("beschreibung", Column::Name, &[De]),
    ("produkt", Column::Name, &[De]),
    ("designation", Column::Name, &[Fr]),
    ("libelle", Column::Name, &[Fr]),
    ("produit", Column::Name, &[Fr]),
    ("descripcion", Column::Name, &[Es]),
    ("producto", Column::Name, &[Es]),
    ("descrizione", Column::Name, &[It]),
    ("prodotto", Column::Name, &[It]),
];

/// Words that say nothing about what a column holds.
const NOISE: &[&str] = &["eur", "euro", "usd", "chf", "gbp", "net", "netto", "ht", "in", "en"];

/// A heading row: which column holds what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    columns: Vec<(Column, usize)>,
    /// The language most headings are in, when one language leads.
    pub(super) language: Option<Language>,
    /// How many headings were recognised.
    pub(super) known: usize,
}

impl Header {
    /// Reads a row as headings; every cell that is none stays unassigned.
    pub(super) fn read(cells: &[Cell]) -> Self {
        let mut header = Self::default();
        let mut ranks: Vec<(Column, usize, usize)> = Vec::new();
        let mut votes = [0_usize; Language::ALL.len()];
        for (place, cell) in cells.iter().enumerate() {
            let Cell::Text(text) = cell else { continue };
            let folded = fold(text);
            let heading: Vec<_> = folded.split(' ').filter(|word| !NOISE.contains(word)).collect();
            let heading = heading.join(" ");
            let Some(rank) = HEADINGS.iter().position(|(name, _, _)| *name == heading) else { continue };
            let (_, column, languages) = HEADINGS[rank];
            header.known += 1;
            for (vote, language) in votes.iter_mut().zip(Language::ALL) {
                *vote += usize::from(languages.contains(&language));
            }
            match ranks.iter_mut().find(|(known, _, _)| *known == column) {
                Some(known) if rank < known.1 => *known = (column, rank, place),
                Some(_) => {}
                None => ranks.push((column, rank, place)),
            }
        }
        header.columns = ranks.into_iter().map(|(column, _, place)| (column, place)).collect();
        let most = votes.into_iter().max().unwrap_or(0);
        let mut leaders = Language::ALL.into_iter().zip(votes).filter(|(_, vote)| *vote == most && most > 0);
        header.language = leaders.next().filter(|_| leaders.next().is_none()).map(|(language, _)| language);
        header
    }

    /// Where a column stands, from zero.
    pub(super) fn place(&self, column: Column) -> Option<usize> {
        self.columns.iter().find(|(known, _)| *known == column).map(|(_, place)| *place)
    }
}

/// Whether a row's words say that it states the total of all lines, without taxes.
pub(super) fn says_total(text: &str) -> bool {
    let folded = fold(text);
    let mut words = folded.split(' ');
    let total = words.clone().any(|word| {
        matches!(
            word,
            "total"
                | "totale"
                | "summe"
                | "gesamt"
                | "gesamtsumme"
                | "gesamtbetrag"
                | "nettosumme"
                | "sum"
                | "zwischensumme"
                | "subtotal"
        )
    });
    let taxed = words.any(|word| {
        matches!(
            word,
            "vat" | "tax" | "mwst" | "ust" | "brutto" | "gross" | "tva" | "ttc" | "iva" | "incl" | "inkl"
        )
    });
    total && !taxed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(titles: &[&str]) -> Header {
        Header::read(&titles.iter().map(|title| Cell::text(title)).collect::<Vec<_>>())
    }

    #[test]
    fn headings_of_every_language_are_recognised() {
        let cases: [(&[&str], Language); 5] = [
            (&["Item no.", "Description", "Qty", "Unit", "Unit price"], En),
            (&["Art.-Nr.", "Bezeichnung", "Menge", "Einheit", "Einzelpreis (EUR)"], De),
            (&["Référence", "Désignation", "Quantité", "Unité", "Prix unitaire HT"], Fr),
            (&["Código", "Descripción", "Cantidad", "Unidad", "Precio"], Es),
            (&["Codice articolo", "Descrizione", "Quantità", "U.M.", "Prezzo"], It),
        ];
        for (titles, language) in cases {
            let header = header(titles);
            assert_eq!(header.language, Some(language), "{titles:?}");
            let places: Vec<_> = [Column::Sku, Column::Name, Column::Quantity, Column::Unit, Column::Price]
                .map(|c| header.place(c))
                .into();
            assert_eq!(places, [Some(0), Some(1), Some(2), Some(3), Some(4)], "{titles:?}");
        }
    }

    #[test]
    fn the_stronger_of_two_headings_wins() {
        assert_eq!(header(&["Artikel", "Artikelnummer", "Menge"]).place(Column::Sku), Some(1));
    }

    #[test]
    fn a_total_with_tax_is_no_claim_about_net_lines() {
        assert!(says_total("Summe netto"));
        assert!(says_total("TOTAL"));
        assert!(!says_total("Total incl. VAT"));
        assert!(!says_total("Gesamt inkl. MwSt."));
        assert!(!says_total("Green tea"));
    }

    #[test]
    fn every_heading_is_kept_once_and_folded() {
        let mut seen = std::collections::HashSet::new();
        for (heading, _, _) in HEADINGS {
            assert_eq!(fold(heading), *heading);
            assert!(seen.insert(heading), "{heading}");
        }
    }
}
