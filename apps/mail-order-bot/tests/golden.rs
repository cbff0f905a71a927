//! What every bundled mail must become: one snapshot a mail, with the exact order or the exact refusal.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use insta::Settings;
use mail_order_bot::corpus::{bundled_catalogue, bundled_customers, bundled_mails};
use mail_order_bot::extract::{ExtractLimits, Extractor};
use mail_order_bot::{Reading, read_order};
use mail_order_domain::{Shop, Verdict};

fn setup() -> (Shop, Extractor) {
    let shop = Shop::parse(bundled_catalogue(), bundled_customers()).expect("the bundled files are good");
    (shop, Extractor::new(env!("CARGO_BIN_EXE_mail-order-bot"), ExtractLimits::default()))
}

async fn read_all() -> Vec<(&'static str, Reading)> {
    let (shop, extractor) = setup();
    let mut readings = Vec::new();
    for (name, raw) in bundled_mails() {
        let reading = read_order(raw, &shop, &extractor).await;
        readings
            .push((*name, reading.unwrap_or_else(|error| panic!("{name} needs another attempt: {error:?}"))));
    }
    readings
}

/// A reading as a person would check it.
fn shown(reading: &Reading) -> String {
    let verdict = serde_json::to_string_pretty(&reading.verdict).expect("a verdict is JSON");
    let mut text = format!(
        "{} -> {:?}\nfrom: {}\nsubject: {}\nmessage id: {}\n",
        reading.verdict.code(),
        reading.verdict.disposition(),
        reading.from,
        reading.subject,
        reading.message_id.as_deref().unwrap_or("none")
    );
    for note in &reading.notes {
        writeln!(text, "note: {note}").expect("writing to a string");
    }
    writeln!(text, "\n{verdict}").expect("writing to a string");
    match &reading.reply {
        None => text.push_str("\nno reply\n"),
        Some(reply) => {
            write!(
                text,
                "\nreply to {} ({})\n{}\n\n{}",
                reply.to,
                reply.language.code(),
                reply.subject,
                reply.body
            )
            .expect("writing to a string");
        }
    }
    text
}

#[tokio::test]
async fn every_bundled_mail_becomes_exactly_this() {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let readings = read_all().await;
    settings.bind(|| {
        for (name, reading) in &readings {
            insta::assert_snapshot!(*name, shown(reading));
        }
    });
}

#[tokio::test]
async fn every_verdict_occurs_and_reading_again_gives_the_same() {
    let first = read_all().await;
    let seen: BTreeSet<_> = first.iter().map(|(_, reading)| reading.verdict.code()).collect();
    assert_eq!(seen, BTreeSet::from(Verdict::CODES));
    assert_eq!(first, read_all().await);
}

#[tokio::test]
async fn orders_add_up_and_only_customers_are_answered() {
    let (shop, _) = setup();
    for (name, reading) in read_all().await {
        if let Verdict::Order { order } = &reading.verdict {
            let lines: i64 =
                order.lines.iter().map(|line| line.unit_price.minor * i64::from(line.quantity)).sum();
            assert_eq!(order.total.minor, lines, "{name}");
            assert!(reading.reply.is_some(), "{name} is confirmed");
        }
        if let Some(reply) = &reading.reply {
            assert!(shop.customers.find(&reply.to).is_some(), "{name} answers {}", reply.to);
            assert_eq!(reply.to, reading.from, "{name}");
        }
    }
}

#[test]
fn every_mail_is_listed_once_and_has_one_snapshot() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &str, end: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(here.join(folder)).expect("a folder of the repository");
        let names =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
        names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect()
    };
    let listed: BTreeSet<String> = bundled_mails().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.len(), bundled_mails().len(), "names are unique");
    assert!(listed.len() >= 44);
    assert_eq!(listed, files("corpus/mails", ".eml"));
    assert_eq!(listed, files("tests/snapshots", ".snap"));
}
