//! Whether a text asks for goods. Tables speak for themselves; running text that mentions articles counts only when it
//! also asks, and not when it is about cancelling, returning or complaining.

use crate::words::fold;

/// What a text is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It asks for goods.
    Order,
    /// It cancels, returns or complains.
    OtherBusiness,
    /// It does neither.
    None,
}

/// Beginnings of words, in folded spelling.
const ASKING: &[&str] = &[
    "order",
    "purchase",
    "please send",
    "please deliver",
    "please ship",
    "we need",
    "i need",
    "we would like",
    "bestell",
    "auftrag",
    "bitte liefer",
    "bitte send",
    "bitte schick",
    "wir brauchen",
    "wir benotigen",
    "hiermit order",
    "commande",
    "command",
    "veuillez",
    "nous souhait",
    "nous aimerions",
    "merci de nous",
    "pedido",
    "pedir",
    "necesitamos",
    "enviennos",
    "envienos",
    "solicitamos",
    "quisieramos",
    "ordine",
    "ordini",
    "ordin",
    "vorremmo",
    "inviateci",
    "spediteci",
];

const UNDOING: &[&str] = &[
    "cancel",
    "refund",
    "complain",
    "complaint",
    "return of",
    "send back",
    "storn",
    "reklam",
    "ruckgabe",
    "retour",
    "annul",
    "rembours",
    "reclam",
    "devol",
    "anular",
    "cancelar",
    "annull",
    "rimborso",
    "restitu",
];

/// What `text` is after; other business outweighs an order, since both need somebody to read them.
#[must_use]
pub fn intent_of(text: &str) -> Intent {
    let text = format!(" {}", fold(text));
    let says = |beginnings: &[&str]| beginnings.iter().any(|word| text.contains(&format!(" {word}")));
    if says(UNDOING) {
        Intent::OtherBusiness
    } else if says(ASKING) {
        Intent::Order
    } else {
        Intent::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_is_told_from_undoing() {
        let cases = [
            ("Please send us 10 boxes", Intent::Order),
            ("Bestellung KW 14", Intent::Order),
            ("Nouvelle commande", Intent::Order),
            ("Pedido de abril", Intent::Order),
            ("Ordine n. 7", Intent::Order),
            ("Please cancel our order 17", Intent::OtherBusiness),
            ("Stornierung der Bestellung", Intent::OtherBusiness),
            ("Happy Easter to all of you", Intent::None),
            ("The borders are open", Intent::None),
        ];
        for (text, expected) in cases {
            assert_eq!(intent_of(text), expected, "{text}");
        }
    }
}
