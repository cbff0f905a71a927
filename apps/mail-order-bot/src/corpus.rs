//! Mails, customers and a catalogue to try everything on. They were written for this project; nobody in them exists.
//!
//! `examples/make_corpus` writes the mails. What each must become is kept as one snapshot a mail beside `tests/golden.rs`.

macro_rules! mails {
    ($($name:literal,)+) => {
        &[$(($name, include_bytes!(concat!("../corpus/mails/", $name, ".eml")).as_slice()),)+]
    };
}

/// Every bundled mail: its name and its bytes. `twice-first` and `twice-again` are the same mail, `twice-changed` has
/// their Message-ID and other content; each comes after the one it repeats.
static MAILS: &[(&str, &[u8])] = mails![
    "body-list-en",
    "body-list-de",
    "body-list-fr",
    "body-list-es",
    "body-list-it",
    "body-prices-de",
    "body-sentence-en",
    "body-table-tabs",
    "body-table-pipes",
    "body-quoted-printable-latin1",
    "body-base64-utf8",
    "body-undeclared-latin1",
    "body-html-only",
    "body-html-and-plain",
    "body-forwarded",
    "body-reply-with-new-order",
    "body-odd-headers",
    "csv-semicolon-bom",
    "csv-comma",
    "csv-tab-utf16",
    "csv-pipe-windows-1252",
    "csv-iso-8859-15",
    "csv-declared-wrongly",
    "csv-without-headings",
    "csv-quoted-lines",
    "csv-excel-separator",
    "csv-encoded-name",
    "csv-remarks",
    "xlsx-plain",
    "xlsx-letterhead",
    "xlsx-two-sheets",
    "xlsx-inline-texts",
    "ods-plain",
    "ods-units-in-quantity",
    "xlsx-named-wrongly",
    "pdf-lines",
    "pdf-columns",
    "pdf-octet-stream",
    "several-logo-and-order",
    "several-that-agree",
    "several-with-price-list",
    "several-forwarded-mail",
    "several-text-file",
    "twice-first",
    "twice-again",
    "twice-changed",
    "without-message-id",
    "wrong-article",
    "wrong-unit",
    "wrong-quantities",
    "wrong-missing-quantities",
    "wrong-missing-articles",
    "wrong-missing-cells",
    "wrong-prices",
    "wrong-ambiguous-number",
    "wrong-in-workbook",
    "wrong-in-body",
    "wrong-in-body-de",
    "contradictory-quantities",
    "contradictory-units",
    "contradictory-prices",
    "contradictory-repeated",
    "contradictory-line-total",
    "contradictory-total",
    "contradictory-documents",
    "contradictory-and-wrong",
    "unreadable-cut-base64",
    "refused-too-many",
    "unreadable-corrupt-workbook",
    "unreadable-password-workbook",
    "unreadable-password-pdf",
    "unreadable-not-a-pdf",
    "unreadable-broken-pdf",
    "unreadable-scanned-pdf",
    "unreadable-endless-recursion",
    "unreadable-memory-hog",
    "unreadable-word-document",
    "refused-bomb",
    "stranger-body",
    "stranger-csv",
    "other-question",
    "other-cancellation",
    "other-complaint",
    "other-thanks",
    "other-unclear",
    "other-greeting",
    "other-empty",
    "other-invitation",
    "other-spam",
    "machine-newsletter",
    "machine-out-of-office",
    "machine-bounce",
    "broken-no-end",
    "broken-wrong-boundary",
    "broken-bare-line-feeds",
    "broken-null-bytes",
    "broken-too-deep",
    "broken-no-sender",
    "broken-garbage",
    "broken-nothing",
];

/// The bundled mails, each with its name.
#[must_use]
pub fn bundled_mails() -> &'static [(&'static str, &'static [u8])] {
    MAILS
}

/// The bundled customers file.
#[must_use]
pub fn bundled_customers() -> &'static str {
    include_str!("../data/customers.csv")
}

/// The bundled catalogue file.
#[must_use]
pub fn bundled_catalogue() -> &'static str {
    include_str!("../data/catalogue.csv")
}
