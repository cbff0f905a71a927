//! Good orders written into the mail itself.

use encoding_rs::WINDOWS_1252;

use super::*;
use crate::letter::{Encoding, Part};

pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let latin = |text: &str| WINDOWS_1252.encode(text).0.into_owned();
    vec![
        text(
            "body-list-en",
            HARBOUR,
            "Order for next week",
            "Hello,\n\nplease send us:\n\n- 20 packs TEA-100\n- 12 pcs MUG-200\n- 6 bottles of SYR-300\n\nThanks,\nTom\n-- \nHarbour Roast Ltd, Dock 4, phone 555-0100\n",
        ),
        text(
            "body-list-de",
            LIND,
            "=?UTF-8?Q?Bestellung_f=C3=BCr_M=C3=A4rz?=",
            "Guten Tag,\n\nwir bestellen:\n\n10 Pck COF-100\n24 Stück MUG-210\n30 Pck. FIL-500\n\nMit freundlichen Grüßen\nBäckerei Lind\n",
        ),
        text(
            "body-list-fr",
            CLAIRET,
            "Commande du 10 mars",
            "Bonjour,\n\nveuillez nous livrer :\n\n* TEA-110 : 15 paquets\n* SYR-310 : 12 bouteilles\n* TEA-200 : 4 boîtes\n\nCordialement,\nMaison Clairet\n",
        ),
        text(
            "body-list-es",
            TETERA,
            "Pedido semanal",
            "Buenos días:\n\nnecesitamos lo siguiente:\n\nTEA-100 x 8\nCOF-110 x 12\n18 uds MUG-200\n\nUn saludo\n",
        ),
        text(
            "body-list-it",
            FERRI,
            "Ordine n. 31",
            "Buongiorno,\n\nvorremmo ordinare:\n\n1) 25 kg COF-900\n2) 6 bottiglie SYR-300\n3) 2 confezioni COF-100\n\nGrazie\n",
        ),
        text(
            "body-prices-de",
            ADLER,
            "Bestellung 2026-117",
            "Sehr geehrte Damen und Herren,\n\nhiermit bestellen wir:\n\n12 Stk. MUG-200 à 3,95 EUR = 47,40 EUR\n5 Packungen TEA-110 à 5,20 EUR = 26,00 EUR\n1.000 Packungen FIL-500 à 1,15 EUR = 1.150,00 EUR\n\nSumme netto: 1.223,40 EUR\n\nGasthof Adler\n",
        ),
        text(
            "body-sentence-en",
            OLDPOST,
            "tea again",
            "Dear all,\nwe would like 10 x TEA-100, 12 x MUG-200 and 2 boxes of TEA-200.\nBest, Jane\n",
        ),
        text(
            "body-table-tabs",
            TEALEAF,
            "Purchase order 88",
            "Please deliver:\n\nItem no.\tDescription\tQty\tUnit\nGRD-600\tHand grinder\t2\tpcs\nCOF-100\tEspresso beans\t15\tpacks\n\nRegards\n",
        ),
        text(
            "body-table-pipes",
            NORD,
            "Bestellung KW 11",
            "Moin,\n\n| Art.-Nr. | Menge | Einheit |\n|----------|-------|---------|\n| WAT-400  | 12    | Kisten  |\n| SYR-310  | 6     | Flaschen |\n\nViele Grüße\n",
        ),
        (
            "body-quoted-printable-latin1",
            Letter::new("body-quoted-printable-latin1", NORD, "=?ISO-8859-1?Q?N=E4chste_Bestellung?=")
                .part(Part::new(
                    "text/plain; charset=ISO-8859-1",
                    Encoding::QuotedPrintable,
                    &latin("Grüße aus Kiel, bitte liefern Sie:\n\n18 Stück MUG-200\n6 Flaschen SYR-300 für das Café\n"),
                ))
                .build(),
        ),
        (
            "body-base64-utf8",
            Letter::new("body-base64-utf8", CLAIRET, "=?UTF-8?B?Q29tbWFuZGUgZOKAmWF2cmls?=")
                .part(Part::new(
                    "text/plain; charset=utf-8",
                    Encoding::Base64,
                    "Voici notre commande :\n\n30 paquets TEA-100 à 6,40 €\n12 paquets COF-110 à 7,25 €\n\nTotal : 279,00 €\n".as_bytes(),
                ))
                .build(),
        ),
        (
            "body-undeclared-latin1",
            Letter::new("body-undeclared-latin1", ADLER, "Bestellung")
                .without("MIME-Version")
                .part(Part::new("text/plain", Encoding::EightBit, &latin("Gr\u{fc}\u{df} Gott,\r\nbitte schicken Sie 12 St\u{fc}ck MUG-210.\r\n")))
                .build(),
        ),
        (
            "body-html-only",
            Letter::new("body-html-only", TEALEAF, "Order 89")
                .html("<html><head><title>Order</title><style>td { color: red }</style></head><body><p>Hi,<br>our order:</p>\n<table border=1>\n<tr><th>SKU</th><th>Product</th><th>Quantity</th><th>Unit price</th></tr>\n<tr><td>TEA-100</td><td>Green tea</td><td>40</td><td>&euro;6.40</td></tr>\n<tr><td>MAC-700</td><td>Espresso machine</td><td>1</td><td>&euro;3,450.00</td></tr>\n<tr><td></td><td>Total</td><td></td><td>&euro;3,706.00</td></tr></table>\n<p>Cheers &amp; thanks</p></body></html>\n")
                .build(),
        ),
        (
            "body-html-and-plain",
            Letter::new("body-html-and-plain", FERRI, "Nuovo ordine")
                .alternative()
                .text("Spediteci per favore:\n\n12 pz MUG-210\n5 conf. TEA-110\n")
                .html("<p>Spediteci per favore:</p><ul><li>12 pz MUG-210</li><li>5 conf. TEA-110</li></ul>")
                .build(),
        ),
        text(
            "body-forwarded",
            ADLER,
            "WG: Bestellung Theke",
            "Bitte erledigen, danke!\n\n-----Ursprüngliche Nachricht-----\nVon: theke@gasthof-adler.example\nGesendet: Montag, 9. März 2026\nBetreff: Bestellung Theke\n\n> Wir brauchen\n> 6 Flaschen SYR-310\n> 4 Kisten WAT-400\n",
        ),
        text(
            "body-reply-with-new-order",
            HARBOUR,
            "Re: Your order of 2 March",
            "Thanks, all arrived well. Please send another\n\n10 packs COF-100\n\nTom\n\nOn 2 March the order desk wrote:\n> We have booked it as follows:\n>   20 x TEA-100 Green tea Sencha, 250 g (pack) at 6.40 EUR = 128.00 EUR\n",
        ),
        (
            "body-odd-headers",
            Letter::new("body-odd-headers", "=?utf-8?q?K=C3=BCche?=\r\n =?utf-8?q?_Adler?= <KUECHE@Gasthof-Adler.EXAMPLE>", "=?utf-8?Q?Eilig:_Bestellung_?=\r\n =?utf-8?Q?f=C3=BCr_Samstag?=")
                .header("X-Mailer", "Kasse 3.1")
                .header("Auto-Submitted", "auto-generated")
                .text("Bestellung\n\nTEA-200 4 Kartons\nGRD-600 1 Stück\n")
                .build(),
        ),
    ]
}
