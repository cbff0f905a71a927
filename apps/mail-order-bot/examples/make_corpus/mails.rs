//! The bundled mails, grouped by what they are there for.

mod attached;
mod bodies;
mod faults;
mod others;

use crate::letter::Letter;

/// Every mail: its name and its bytes.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut mails = bodies::all();
    mails.extend(attached::all());
    mails.extend(faults::all());
    mails.extend(others::all());
    mails
}

const LIND: &str = "=?UTF-8?Q?B=C3=A4ckerei_Lind?= <orders@baeckerei-lind.example>";
const NORD: &str = "=?ISO-8859-1?Q?Caf=E9_Nord?= <einkauf@cafe-nord.example>";
const HARBOUR: &str = "Harbour Roast <stock@harbour-roast.example>";
const TEALEAF: &str = "\"Tealeaf & Sons, Buying\" <buying@tealeaf.example>";
const CLAIRET: &str = "Maison Clairet <achats@maison-clairet.example>";
const TETERA: &str = "La Tetera Azul <compras@tetera-azul.example>";
const FERRI: &str = "Bottega Ferri <ordini@bottega-ferri.example>";
const OLDPOST: &str = "Jane Miller <jane@oldpost.example>";
const ADLER: &str = "Gasthof Adler <kueche@gasthof-adler.example>";

const CSV: &str = "text/csv; charset=utf-8";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const ODS: &str = "application/vnd.oasis.opendocument.spreadsheet";
const PDF: &str = "application/pdf";

/// A mail with a line of text and one CSV file.
fn with_csv(id: &'static str, from: &str, subject: &str, csv: &str) -> (&'static str, Vec<u8>) {
    let name = format!("{}.csv", id.split('-').next_back().unwrap_or("order"));
    (
        id,
        Letter::new(id, from, subject)
            .text("Please see the attached file.\n")
            .attach(&name, CSV, csv.as_bytes())
            .build(),
    )
}

/// A mail of text only.
fn text(id: &'static str, from: &str, subject: &str, body: &str) -> (&'static str, Vec<u8>) {
    (id, Letter::new(id, from, subject).text(body).build())
}
