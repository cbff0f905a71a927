//! Good orders in attachments of every kind, and mails that come twice.

use encoding_rs::{Encoding as Charset, ISO_8859_15, WINDOWS_1252};

use super::*;
use crate::documents::{self, E, F, N, T, pdf_lines};
use crate::letter::{Encoding, Part};

/// A picture of one point.
const LOGO: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa75\x81\x84\0\0\0\0IEND\xaeB`\x82";

pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut mails = csv();
    mails.extend(workbooks());
    mails.extend(pdf());
    mails.extend(several());
    mails.extend(duplicates());
    mails
}

/// One attachment whose bytes and type are given.
fn attached(
    id: &'static str,
    from: &str,
    subject: &str,
    name: &str,
    kind: &str,
    bytes: &[u8],
) -> (&'static str, Vec<u8>) {
    (id, Letter::new(id, from, subject).text("Our order is attached.\n").attach(name, kind, bytes).build())
}

fn encoded(charset: &'static Charset, text: &str) -> Vec<u8> {
    charset.encode(text).0.into_owned()
}

fn csv() -> Vec<(&'static str, Vec<u8>)> {
    let utf16: Vec<u8> = "\u{feff}SKU\tDescription\tQty\nTEA-100\tGreen tea\t25\nSYR-310\tGinger syrup\t12\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        attached(
            "csv-semicolon-bom",
            LIND,
            "Bestellung",
            "bestellung.csv",
            CSV,
            "\u{feff}Artikelnummer;Bezeichnung;Menge;Einheit;Einzelpreis\r\nCOF-110;Filterkaffee;60;Pck;7,25\r\nFIL-500;Filter Größe 4;1.200;Pck;1,15\r\n".as_bytes(),
        ),
        with_csv(
            "csv-comma",
            HARBOUR,
            "Order",
            "SKU,Description,Quantity,Unit,Unit price\nMAC-700,\"Espresso machine, two groups\",2,pcs,\"3,450.00\"\nCOF-100,Espresso beans,40,packs,14.50\n",
        ),
        attached("csv-tab-utf16", TEALEAF, "Order 90", "order.csv", "text/csv", &utf16),
        attached(
            "csv-pipe-windows-1252",
            NORD,
            "Bestellung KW 12",
            "bestellung.csv",
            "text/csv; charset=windows-1252",
            &encoded(WINDOWS_1252, "Best.-Nr.|Artikel|Stückzahl|Preis (€)\nMUG-200|Becher „Küste“|36|3,95\nMUG-210|Tässchen|12|4,60\n"),
        ),
        attached(
            "csv-iso-8859-15",
            CLAIRET,
            "Commande",
            "commande.csv",
            "text/csv; charset=ISO-8859-15",
            &encoded(ISO_8859_15, "Référence;Désignation;Quantité;Unité;Prix unitaire HT (€);Montant\nTEA-200;Coffret d'infusions;6;boîte;18,90;113,40\nCOF-110;Café filtre;18;paquet;7,25;130,50\nTotal HT;;;;;243,90\n"),
        ),
        attached(
            "csv-declared-wrongly",
            TETERA,
            "Pedido",
            "pedido.csv",
            "text/csv; charset=us-ascii",
            "Código;Descripción;Cantidad\nTEA-110;Té negro;14\nSYR-300;Sirope de saúco;6\n".as_bytes(),
        ),
        with_csv("csv-without-headings", OLDPOST, "order", "TEA-100;10;packs\nMUG-200;12;pcs\n"),
        with_csv(
            "csv-quoted-lines",
            TEALEAF,
            "Order 91",
            "\"Item no.\",\"Description\",\"Qty\"\r\n\"TEA-100\",\"Green tea, \"\"Sencha\"\"\nfrom the 2026 harvest\",\"5\"\r\n\r\n\"GRD-600\",\"Hand grinder\",\"3\"\r\n",
        ),
        with_csv("csv-excel-separator", HARBOUR, "Order 12", "sep=;\nSKU;Qty;Unit\nWAT-400;30;crates\nSYR-300;12;bottles\n"),
        (
            "csv-encoded-name",
            Letter::new("csv-encoded-name", LIND, "Bestellung mit Anlage")
                .text("Anbei unsere Bestellung.\n")
                .part(
                    Part::new("application/octet-stream", Encoding::Base64, "Menge;Einheit;Artikelnr.\n7;Packung;COF-100\n24;Stk;MUG-200\n".as_bytes())
                        .header("Content-Disposition: attachment; filename*=utf-8''Bestellung%20M%C3%A4rz.csv"),
                )
                .build(),
        ),
        with_csv(
            "csv-remarks",
            ADLER,
            "Bestellung Saal",
            "Art.-Nr.;Menge;Bemerkung\nWAT-400;40;bitte früh\n;;\n;;Lieferung an den Hintereingang\nTEA-110;3;\n",
        ),
    ]
}

fn workbooks() -> Vec<(&'static str, Vec<u8>)> {
    let plain = documents::xlsx(&[(
        "Order",
        &[
            &[T("SKU"), T("Description"), T("Qty"), T("Unit"), T("Unit price")],
            &[T("TEA-100"), T("Green tea"), N(30.0), T("pack"), N(6.4)],
            &[T("SYR-300"), T("Elderflower syrup"), N(24.0), T("bottle"), N(8.1)],
            &[T("COF-900"), T("Green coffee"), N(125.0), T("kg"), N(4.85)],
        ],
    )]);
    let letterhead = documents::xlsx(&[(
        "Bestellung",
        &[
            &[T("Bäckerei Lind GmbH")],
            &[T("Bestellung Nr."), N(4711.0)],
            &[],
            &[
                E,
                T("Pos."),
                T("Artikelnummer"),
                T("Bezeichnung"),
                T("Menge"),
                T("ME"),
                T("Einzelpreis"),
                T("Gesamtpreis"),
            ],
            &[E, N(1.0), T("COF-100"), T("Espresso"), N(3.0), T("Packung"), N(14.5), F("=E5*G5", "43.5")],
            &[E, N(2.0), T("MUG-210"), T("Tasse"), N(18.0), T("Stück"), N(4.6), F("=E6*G6", "82.8")],
            &[
                E,
                N(3.0),
                T("FIL-500"),
                T("Filter"),
                N(70.0),
                T("Pck"),
                N(1.15),
                F("=E7*G7", "80.49999999999999"),
            ],
            &[],
            &[E, E, E, T("Summe netto"), E, E, E, F("=SUM(H5:H7)", "206.8")],
        ],
    )]);
    let sheets = documents::xlsx(&[
        ("Tea", &[&[T("Item"), T("Qty")], &[T("TEA-100"), N(12.0)], &[T("TEA-110"), N(9.0)]]),
        ("Notes", &[&[T("Deliver on Friday, please")]]),
        ("Crockery", &[&[T("Item"), T("Qty"), T("Unit")], &[T("MUG-200"), N(48.0), T("pcs")]]),
    ]);
    let inline = documents::bare_xlsx(&documents::inline_sheet(&[
        &[T("Codice articolo"), T("Descrizione"), T("Quantità"), T("U.M."), T("Prezzo")],
        &[T("COF-100"), T("Caffè in grani"), N(20.0), T("conf."), T("14,50")],
        &[T("GRD-600"), T("Macinino"), T("2"), T("pz"), T("49,00")],
    ]));
    let spanish = documents::ods(&[
        &[T("Referencia"), T("Producto"), T("Cantidad"), T("Unidad"), T("Precio"), T("Importe")],
        &[T("TEA-200"), T("Infusiones"), N(10.0), T("cajas"), N(18.9), F("[.C2]*[.E2]", "189")],
        &[T("COF-110"), T("Café de filtro"), N(36.0), T("paquetes"), N(7.25), F("[.C3]*[.E3]", "261")],
        &[T("Total"), E, E, E, E, F("SUM([.F2:.F3])", "450")],
    ]);
    let german = documents::ods(&[
        &[E, T("Menge"), T("Bestellnummer")],
        &[E, T("6 Flaschen"), T("syr-310")],
        &[E, T("12 Stk."), T("mug-200")],
    ]);
    vec![
        attached("xlsx-plain", HARBOUR, "Stock order", "order.xlsx", XLSX, &plain),
        attached("xlsx-letterhead", LIND, "Bestellung Nr. 4711", "Bestellung 4711.xlsx", XLSX, &letterhead),
        attached("xlsx-two-sheets", TEALEAF, "Order 92", "order92.xlsx", XLSX, &sheets),
        attached(
            "xlsx-inline-texts",
            FERRI,
            "Ordine n. 32",
            "ordine.xlsx",
            "application/octet-stream",
            &inline,
        ),
        attached("ods-plain", TETERA, "Pedido de marzo", "pedido.ods", ODS, &spanish),
        attached("ods-units-in-quantity", ADLER, "Bestellung Keller", "keller.ods", ODS, &german),
        attached("xlsx-named-wrongly", OLDPOST, "order", "order.ods", ODS, &plain),
    ]
}

fn pdf() -> Vec<(&'static str, Vec<u8>)> {
    let lines = pdf_lines(&[
        "Harbour Roast Ltd",
        "Purchase order 2026-55",
        "",
        "20 packs TEA-110 @ 5.20",
        "12 pcs MUG-210 @ 4.60",
        "Total: 159.20 EUR",
    ]);
    let columns = documents::pdf(
        &[
            (60, 780, "Café Nord - Bestellung 77"),
            (60, 740, "Art.-Nr."),
            (160, 740, "Bezeichnung"),
            (320, 740, "Menge"),
            (380, 740, "Preis"),
            (440, 740, "Summe"),
            (60, 720, "COF-100"),
            (160, 720, "Espresso"),
            (320, 720, "8 Packungen"),
            (400, 720, "14,50"),
            (460, 720, "116,00"),
            (60, 700, "SYR-300"),
            (160, 700, "Holunderblüte"),
            (320, 700, "6 Flaschen"),
            (400, 700, "8,10"),
            (460, 700, "48,60"),
            (60, 660, "Summe netto 164,60 EUR"),
        ],
        "",
    );
    let french =
        pdf_lines(&["Maison Clairet", "Bon de commande n° 14", "TEA-100 : 16 paquets", "TEA-200 : 2 boîtes"]);
    vec![
        attached("pdf-lines", HARBOUR, "PO 2026-55", "po.pdf", PDF, &lines),
        attached("pdf-columns", NORD, "Bestellung 77", "Bestellung.pdf", PDF, &columns),
        attached(
            "pdf-octet-stream",
            CLAIRET,
            "Bon de commande",
            "bon.pdf",
            "application/octet-stream",
            &french,
        ),
    ]
}

fn several() -> Vec<(&'static str, Vec<u8>)> {
    let order = "SKU;Qty;Unit\nTEA-100;10;pack\nWAT-400;5;crate\n";
    let same = pdf_lines(&["Order", "5 crates WAT-400", "10 packs TEA-100"]);
    let price_list = "SKU;Description;Price\nTEA-100;Green tea;6.40\nTEA-110;Black tea;5.20\n";
    let original = Letter::new("inner-1", "Bar <bar@oldpost.example>", "Bar order")
        .text("Hello Jane, the list is attached.\n")
        .attach("bar.csv", CSV, b"SKU;Qty\nSYR-300;6\nWAT-400;4\n")
        .build();
    vec![
        (
            "several-logo-and-order",
            Letter::new("several-logo-and-order", TEALEAF, "Order 93")
                .html("<p>Order attached.</p><img src=\"cid:logo\">")
                .attach("logo.png", "image/png", LOGO)
                .attach("order.csv", CSV, order.as_bytes())
                .attach("card.vcf", "text/vcard", b"BEGIN:VCARD\r\nFN:Ann\r\nEND:VCARD\r\n")
                .build(),
        ),
        (
            "several-that-agree",
            Letter::new("several-that-agree", HARBOUR, "PO 56")
                .text("The order, twice for your convenience.\n")
                .attach("po56.csv", CSV, order.as_bytes())
                .attach("po56.pdf", PDF, &same)
                .build(),
        ),
        (
            "several-with-price-list",
            Letter::new("several-with-price-list", OLDPOST, "order + your price list")
                .text("I order by your price list, see attached.\n")
                .attach("prices.csv", CSV, price_list.as_bytes())
                .attach("order.csv", CSV, order.as_bytes())
                .build(),
        ),
        (
            "several-forwarded-mail",
            Letter::new("several-forwarded-mail", OLDPOST, "Fwd: Bar order")
                .text("See below.\n")
                .part(Part::new("message/rfc822", Encoding::EightBit, &original))
                .build(),
        ),
        (
            "several-text-file",
            Letter::new("several-text-file", HARBOUR, "Order 13")
                .text("Order in the text file.\n")
                .attach(
                    "order.txt",
                    "text/plain; charset=utf-8",
                    b"Order no. 13\r\n\r\n4 packs COF-100\r\n25 kg COF-900\r\n",
                )
                .build(),
        ),
    ]
}

fn duplicates() -> Vec<(&'static str, Vec<u8>)> {
    let order = |lines: &str| {
        let letter = Letter::new("twice-1", NORD, "Bestellung 78").text("Bestellung anbei.\n");
        letter.attach("bestellung.csv", CSV, format!("Artikelnr;Menge\n{lines}").as_bytes()).build()
    };
    let first = order("TEA-100;20\nTEA-110;20\n");
    vec![
        ("twice-first", first.clone()),
        ("twice-again", first),
        ("twice-changed", order("TEA-100;20\nTEA-110;200\n")),
        (
            "without-message-id",
            Letter::new("x", OLDPOST, "Order")
                .without("Message-ID")
                .text("Please send 3 packs TEA-110.\n")
                .build(),
        ),
    ]
}
