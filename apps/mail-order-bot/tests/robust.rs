//! No bytes harm the reader: arbitrary ones, bundled mails with parts changed, and attachments of any content.

use mail_order_bot::attachments::choose;
use mail_order_bot::corpus::{bundled_catalogue, bundled_customers, bundled_mails};
use mail_order_bot::extract::{ExtractLimits, Extractor, charset, html};
use mail_order_bot::mime::{self, MimeError};
use mail_order_bot::read_order;
use mail_order_domain::{Shop, Verdict};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::runtime::{Builder, Runtime};

/// One change to a mail's bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static [u8]),
}

impl Change {
    fn apply(&self, raw: &mut Vec<u8>) {
        if raw.is_empty() {
            return;
        }
        match self {
            Self::Set(at, byte) => {
                let at = at.index(raw.len());
                raw[at] = *byte;
            }
            Self::Cut(one, other) => {
                let (one, other) = (one.index(raw.len()), other.index(raw.len()));
                raw.drain(one.min(other)..one.max(other));
            }
            Self::Repeat(one, other) => {
                let (one, other) = (one.index(raw.len()), other.index(raw.len()));
                let piece = raw[one.min(other)..one.max(other)].to_vec();
                raw.extend_from_slice(&piece[..piece.len().min(4096)]);
            }
            Self::Insert(at, piece) => {
                let at = at.index(raw.len());
                raw.splice(at..at, piece.iter().copied());
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let pieces: Vec<&'static [u8]> = vec![
        b"\r\n\r\n",
        b"\0",
        b"=?utf-8?Q?=",
        b"Content-Type: multipart/mixed; boundary=\"\"\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"--=_teahouse_part\r\n",
        b"--",
        b"<table><tr><td>&#",
        b"\xff\xfe",
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Change::Cut(one, other)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Change::Repeat(one, other)),
        (any::<Index>(), select(pieces)).prop_map(|(at, piece)| Change::Insert(at, piece)),
    ]
}

fn changed_mail() -> impl Strategy<Value = Vec<u8>> {
    let small: Vec<_> =
        bundled_mails().iter().map(|(_, raw)| *raw).filter(|raw| raw.len() < 20_000).collect();
    (select(small), prop::collection::vec(change(), 1..6)).prop_map(|(raw, changes)| {
        let mut raw = raw.to_vec();
        for change in changes {
            change.apply(&mut raw);
        }
        raw
    })
}

struct World {
    shop: Shop,
    extractor: Extractor,
    runtime: Runtime,
}

fn setup() -> World {
    World {
        shop: Shop::parse(bundled_catalogue(), bundled_customers()).expect("the bundled files are good"),
        extractor: Extractor::new(env!("CARGO_BIN_EXE_mail-order-bot"), ExtractLimits::default()),
        runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
    }
}

#[test]
fn changed_mails_always_get_a_verdict() {
    let World { shop, extractor, runtime } = setup();
    proptest!(ProptestConfig::with_cases(192), |(raw in changed_mail())| {
        let reading = runtime.block_on(read_order(&raw, &shop, &extractor)).expect("no passing fault");
        if let Verdict::Order { order } = &reading.verdict {
            prop_assert!(shop.customers.find(&reading.from).is_some());
            for line in &order.lines {
                let product = shop.catalogue.product(&line.sku).expect("only what the shop sells");
                prop_assert_eq!(product.price, line.unit_price);
                prop_assert!((product.minimum..=product.maximum).contains(&line.quantity));
            }
        }
    });
}

#[test]
fn the_largest_mails_are_read_in_one_pass() {
    let World { shop, extractor, runtime } = setup();
    let styles = "<style></style><script>x</script>".repeat(30_000);
    let lines = "TEA-100 4 500 4 501\n".repeat(30_000);
    let one_line = format!("please send 10 x TEA-100 {}", "1 999 ".repeat(200_000));
    let bodies = [("html", styles.as_str()), ("plain", &lines), ("plain", &one_line)];
    for (kind, body) in bodies {
        let head = "From: jane@oldpost.example\r\nSubject: Order\r\n";
        let raw = format!("{head}Content-Type: text/{kind}; charset=utf-8\r\n\r\n{body}");
        let reading =
            runtime.block_on(read_order(raw.as_bytes(), &shop, &extractor)).expect("no passing fault");
        assert_ne!(reading.verdict.code(), "order");
        assert!(reading.reply.is_none_or(|reply| reply.body.len() < 50_000), "a reply stays readable");
    }
}

#[test]
fn headers_as_deep_as_they_like_are_counted_first() {
    let many =
        |line: &str, count: usize| format!("From: a@b.example\r\n{}\r\nx", line.repeat(count)).into_bytes();
    let deep = many("Content-Type: message/rfc822\r\n\r\n", 10_000);
    assert_eq!(mime::parse(&deep), Err(MimeError::TooDeep));
    let wide = many("--x\r\ncontent-TYPE: text/plain\r\n\r\n", 10_000);
    assert_eq!(mime::parse(&wide), Err(MimeError::TooManyParts));
    let large = vec![b'a'; 40 << 20];
    assert_eq!(mime::parse(&large), Err(MimeError::TooLarge { bytes: 40 << 20 }));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_parsed_or_refused(raw in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert_ne!(mime::parse(&raw), Err(MimeError::ParserPanicked));
    }

    #[test]
    fn changed_mails_are_parsed_or_refused(raw in changed_mail()) {
        if let Ok(mail) = mime::parse(&raw) {
            let count = mail.attachments.len();
            let selection = choose(mail.attachments);
            let fates = selection.candidates.len() + selection.obstacles.len() + selection.notes.len();
            prop_assert_eq!(fates, count, "every attachment has one fate");
        }
    }

    #[test]
    fn any_text_is_decoded_and_any_html_read(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let text = html::to_text(&charset::decode(&bytes, None));
        prop_assert!(!text.contains("\n\n"), "blank lines are left out");
    }

    #[test]
    fn anything_like_html_is_read(text in "[<>/&;#!a-z \\-ü\"=]{0,200}") {
        let text = html::to_text(&text);
        prop_assert!(text.is_empty() || text.ends_with('\n'));
    }
}
