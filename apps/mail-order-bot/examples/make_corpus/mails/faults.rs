//! Orders that cannot be taken: wrong lines, contradictions, and attachments that cannot be read.

use super::*;
use crate::documents::{self, N, T, archive, pdf_of, stream, xlsx};
use crate::hostile;
use crate::letter::{Encoding, Part, base64};

pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut mails = wrong_lines();
    mails.extend(contradictions());
    mails.extend(unreadable());
    mails.extend(strangers());
    mails
}

fn wrong_lines() -> Vec<(&'static str, Vec<u8>)> {
    let sheet = xlsx(&[(
        "Order",
        &[
            &[T("SKU"), T("Qty"), T("Unit")],
            &[T("TEA-100"), N(2.5), T("pack")],
            &[T("COF-900"), N(30.0), T("kg")],
            &[T("MUG-200"), N(6.0), T("pcs")],
        ],
    )]);
    vec![
        with_csv("wrong-article", HARBOUR, "Order 14", "SKU,Qty\nTEA-10,5\nCOF-100,5\nSOAP-1,2\n"),
        with_csv(
            "wrong-unit",
            LIND,
            "Bestellung",
            "Artikelnr;Menge;Einheit\nCOF-100;5;Karton\nTEA-100;5;Fässer\nWAT-400;2 Paletten;\n",
        ),
        with_csv(
            "wrong-quantities",
            NORD,
            "Bestellung 79",
            "Artikelnr;Menge\nTEA-100;-5\nTEA-110;0\nCOF-100;2,5\nCOF-110;1000000\nMUG-200;6\nSYR-300;7\nWAT-400;viele\nGRD-600;99999999999999999999\n",
        ),
        with_csv(
            "wrong-missing-quantities",
            HARBOUR,
            "Order 15",
            "SKU;Description;Price\nTEA-100;Green tea;6.40\n",
        ),
        with_csv(
            "wrong-missing-articles",
            ADLER,
            "Bestellung",
            "Bezeichnung;Menge;Einheit\nGrüner Tee;10;Packung\n",
        ),
        with_csv(
            "wrong-missing-cells",
            TEALEAF,
            "Order 94",
            "SKU,Qty,Unit\nTEA-100,,pack\n,4,pcs\nCOF-100,4,pack\n",
        ),
        with_csv(
            "wrong-prices",
            CLAIRET,
            "Commande",
            "Référence;Quantité;Prix unitaire\nTEA-100;10;5,90\nTEA-110;10;5.20 USD\nCOF-100;10;gratuit\n",
        ),
        with_csv("wrong-ambiguous-number", OLDPOST, "order", "TEA-100;1.200;pack\n"),
        (
            "wrong-in-workbook",
            Letter::new("wrong-in-workbook", HARBOUR, "Order 16")
                .text("Attached.\n")
                .attach("order.xlsx", XLSX, &sheet)
                .build(),
        ),
        text(
            "wrong-in-body",
            OLDPOST,
            "Order",
            "Please send\n\n5 boxes of TEA-100\n3 packs TEA-999\n4 barrels COF-100\nTEA-110 from lot 12 of 40\n\nJane\n",
        ),
        text("wrong-in-body-de", ADLER, "Bestellung", "Wir brauchen 5 Stk TEA-100 und 2,5 kg COF-900.\n"),
    ]
}

fn contradictions() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        with_csv(
            "contradictory-quantities",
            HARBOUR,
            "Order 17",
            "SKU,Qty\nTEA-100,10\nCOF-100,4\nTEA-100,12\n",
        ),
        with_csv(
            "contradictory-units",
            LIND,
            "Bestellung",
            "Artikelnr;Menge;Einheit\nCOF-100;5;Packung\nCOF-100;5;Kiste\n",
        ),
        with_csv(
            "contradictory-prices",
            TEALEAF,
            "Order 95",
            "SKU;Qty;Price\nTEA-100;10;6.40\nTEA-100;10;6.10\n",
        ),
        with_csv(
            "contradictory-repeated",
            NORD,
            "Bestellung 80",
            "Artikelnr;Menge\nTEA-100;10\nTEA-100;10\n",
        ),
        with_csv(
            "contradictory-line-total",
            ADLER,
            "Bestellung",
            "Artikelnr;Menge;Einzelpreis;Gesamtpreis\nTEA-100;10;6,40;46,00\nTEA-110;10;5,20;52,00\n",
        ),
        text(
            "contradictory-total",
            HARBOUR,
            "Order 18",
            "Please send:\n10 packs TEA-100 @ 6.40\n10 packs TEA-110 @ 5.20\nTotal: EUR 106.00\n",
        ),
        (
            "contradictory-documents",
            Letter::new("contradictory-documents", TEALEAF, "Order 96")
                .text("Please send 20 packs TEA-100, details attached.\n")
                .attach("order.csv", CSV, b"SKU;Qty\nTEA-100;25\n")
                .build(),
        ),
        with_csv(
            "contradictory-and-wrong",
            NORD,
            "Bestellung 81",
            "Artikelnr;Menge\nTEA-100;10\nTEA-100;20\nTEA-999;1\nMUG-200;5\n",
        ),
    ]
}

fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let good = xlsx(&[("Order", &[&[T("SKU"), T("Qty")], &[T("TEA-100"), N(5.0)]])]);
    let with = |id: &'static str, from: &str, name: &str, kind: &str, bytes: &[u8]| {
        (
            id,
            Letter::new(id, from, "Order").text("Our order is attached.\n").attach(name, kind, bytes).build(),
        )
    };
    // The older container that Office wraps around a workbook with a password: its header, and the name of its stream.
    let mut locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    locked.resize(1024, 0);
    locked.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
    locked.resize(4096, 0xa7);
    let locked_pdf = {
        let encrypt = b"<< /Filter /Standard /V 1 /R 2 /Length 40 /P -44 /O <5ab1c2d3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f9> /U <0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20> >>";
        let objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>".to_vec(),
            stream("", b"\x8f\x02\x11\x93\xaa"),
            encrypt.to_vec(),
        ];
        pdf_of(
            &objects,
            "/Encrypt 5 0 R /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>]",
        )
    };
    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle - 200..middle + 200].fill(0x55);
    let encoded = base64(&good);
    let cut = &encoded[..encoded.len() / 2];
    let truncated = {
        let part = Part::new(XLSX, Encoding::EightBit, cut)
            .header("Content-Disposition: attachment; filename=\"bestellung.xlsx\"");
        let whole =
            Letter::new("unreadable-cut-base64", LIND, "Bestellung").text("Anbei.\n").part(part).build();
        let text = String::from_utf8_lossy(&whole);
        let last = text.rfind("Content-Transfer-Encoding: 8bit").expect("the part's header");
        let mut raw = text[..last].as_bytes().to_vec();
        raw.extend_from_slice(text[last..].replacen("8bit", "base64", 1).as_bytes());
        raw.truncate(raw.len() - "\r\n--=_teahouse_part--\r\n".len());
        raw
    };
    let document = archive(&[("word/document.xml", b"<document/>"), ("[Content_Types].xml", b"<Types/>")]);
    let mut many = Letter::new("refused-too-many", HARBOUR, "Orders").text("All of our branches.\n");
    for branch in 1..=9 {
        many = many.attach(
            &format!("branch{branch}.csv"),
            CSV,
            format!("SKU;Qty\nTEA-100;{branch}\n").as_bytes(),
        );
    }
    vec![
        with("unreadable-corrupt-workbook", HARBOUR, "order.xlsx", XLSX, &corrupt),
        with("unreadable-password-workbook", LIND, "bestellung.xlsx", XLSX, &locked),
        with("unreadable-password-pdf", NORD, "bestellung.pdf", PDF, &locked_pdf),
        with(
            "unreadable-not-a-pdf",
            TEALEAF,
            "order.pdf",
            PDF,
            b"This is no PDF at all, whatever its name says.\n",
        ),
        with(
            "unreadable-broken-pdf",
            TETERA,
            "pedido.pdf",
            PDF,
            &documents::pdf_lines(&["10 TEA-100"])[..180],
        ),
        with("unreadable-scanned-pdf", HARBOUR, "scan.pdf", PDF, &documents::pdf(&[], "")),
        with("unreadable-endless-recursion", CLAIRET, "commande.pdf", PDF, &hostile::recursive_pdf()),
        with("unreadable-memory-hog", FERRI, "ordine.xlsx", XLSX, &hostile::corners()),
        with(
            "unreadable-word-document",
            OLDPOST,
            "order.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            &document,
        ),
        ("unreadable-cut-base64", truncated),
        with("refused-bomb", HARBOUR, "order.xlsx", XLSX, &hostile::bomb()),
        ("refused-too-many", many.build()),
    ]
}

fn strangers() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        text(
            "stranger-body",
            "New Place <hello@newplace.example>",
            "First order",
            "Hello, we would like to order 10 packs TEA-100 and 12 pcs MUG-200.\n",
        ),
        with_csv("stranger-csv", "kontakt@unbekannt.example", "Bestellung", "Artikelnr;Menge\nTEA-100;10\n"),
    ]
}
