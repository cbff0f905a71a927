//! Hostile documents against the real child process: whatever happens there is an error with a code here.

use std::time::Duration;

use mail_order_bot::attachments::{Candidate, choose};
use mail_order_bot::corpus::{bundled_catalogue, bundled_customers, bundled_mails};
use mail_order_bot::extract::{ExtractError, ExtractLimits, Extractor, Format};
use mail_order_bot::mime::{self, Attachment};
use mail_order_bot::read_order;
use mail_order_domain::{Content, ObstacleCode, Shop, Verdict};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mail-order-bot");

fn candidate(format: Format, bytes: &[u8]) -> Candidate {
    Candidate { name: "document".into(), format, charset: None, bytes: bytes.to_vec() }
}

async fn failure(limits: ExtractLimits, format: Format, bytes: &[u8]) -> ExtractError {
    let extractor = Extractor::new(PROGRAM, limits);
    match extractor.extract(&candidate(format, bytes)).await {
        Ok(_) => panic!("a hostile document was read"),
        Err(error) => error,
    }
}

/// The parent is unharmed when it still reads a good document.
async fn assert_still_reads() {
    let raw = bundled_mails().iter().find(|(name, _)| *name == "pdf-lines").expect("a bundled mail").1;
    let attachments = mime::parse(raw).expect("a good mail").attachments;
    let good = choose(attachments).candidates.remove(0);
    let extractor = Extractor::new(PROGRAM, ExtractLimits::default());
    let document = extractor.extract(&good).await.expect("a good document is read");
    assert!(matches!(&document.contents[0], Content::Text(text) if text.contains("TEA-110")));
}

#[tokio::test]
async fn a_stack_overflow_costs_the_child_only() {
    let error =
        failure(ExtractLimits::default(), Format::Pdf, include_bytes!("../corpus/hostile/recursion.pdf"))
            .await;
    assert!(
        matches!(&error, ExtractError::Crashed { detail, killed: false, .. } if detail.contains("overflow")),
        "{error:?}"
    );
    assert_eq!(error.code(), ObstacleCode::ExtractCrashed);
    assert!(!error.retry_could_help());
    assert_still_reads().await;
}

#[tokio::test]
async fn a_hang_ends_with_the_wall_clock() {
    let limits =
        ExtractLimits { timeout: Duration::from_millis(500), cpu_secs: 600, ..ExtractLimits::default() };
    let error = failure(limits, Format::Pdf, include_bytes!("../corpus/hostile/endless.pdf")).await;
    assert!(matches!(error, ExtractError::Timeout), "{error:?}");
    assert_eq!(error.code(), ObstacleCode::ExtractTimeout);
    assert!(error.retry_could_help());
    assert_still_reads().await;
}

#[tokio::test]
async fn a_hang_ends_with_the_processor_time() {
    let limits = ExtractLimits { timeout: Duration::from_secs(600), cpu_secs: 1, ..ExtractLimits::default() };
    let error = failure(limits, Format::Pdf, include_bytes!("../corpus/hostile/endless.pdf")).await;
    assert!(matches!(error, ExtractError::Timeout), "{error:?}");
}

#[tokio::test]
async fn a_memory_hog_ends_with_the_memory_limit() {
    let limits = ExtractLimits::default();
    let error = failure(limits, Format::Xlsx, include_bytes!("../corpus/hostile/corners.xlsx")).await;
    assert!(matches!(error, ExtractError::Memory), "{error:?}");
    assert!(!error.retry_could_help());
    assert_still_reads().await;
}

#[tokio::test]
async fn the_memory_limit_is_the_childs_own() {
    // Four million cells take more than 64 MiB and less than a gigabyte; without the limit they would be read.
    let sheet = include_bytes!("../corpus/hostile/wide.xlsx");
    let tight = ExtractLimits { memory_bytes: 64 << 20, ..ExtractLimits::default() };
    let error = failure(tight, Format::Xlsx, sheet).await;
    assert!(matches!(error, ExtractError::Memory), "{error:?}");
    let extractor = Extractor::new(PROGRAM, ExtractLimits::default());
    extractor.extract(&candidate(Format::Xlsx, sheet)).await.expect("there is memory for it");
}

#[tokio::test]
async fn a_flood_of_output_is_cut_off() {
    let limits = ExtractLimits { output_bytes: 256 << 10, ..ExtractLimits::default() };
    let error = failure(limits, Format::Pdf, include_bytes!("../corpus/hostile/flood.pdf")).await;
    assert!(matches!(error, ExtractError::Output), "{error:?}");
    assert!(!error.retry_could_help());
    assert_still_reads().await;
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_is_unpacked() {
    let bomb = Attachment {
        name: "order.xlsx".into(),
        media_type: "application/octet-stream".into(),
        charset: None,
        bytes: include_bytes!("../corpus/hostile/bomb.xlsx").to_vec(),
        damaged: false,
    };
    let selection = choose(vec![bomb]);
    assert!(selection.candidates.is_empty());
    assert_eq!(selection.obstacles[0].code, ObstacleCode::ExpansionLimit);
}

#[tokio::test]
async fn a_bomb_that_lies_about_its_size_is_caught_in_the_child() {
    let lying = include_bytes!("../corpus/hostile/lying-bomb.xlsx");
    let attachment = Attachment {
        name: "order.xlsx".into(),
        media_type: "application/octet-stream".into(),
        charset: None,
        bytes: lying.to_vec(),
        damaged: false,
    };
    let selection = choose(vec![attachment]);
    assert_eq!(selection.candidates.len(), 1, "its directory looks harmless: {:?}", selection.obstacles);
    let error = failure(ExtractLimits::default(), Format::Xlsx, lying).await;
    let codes = [ObstacleCode::ExpansionLimit, ObstacleCode::Unreadable];
    assert!(matches!(error, ExtractError::Document(code) if codes.contains(&code)), "{error:?}");
}

#[tokio::test]
async fn rubbish_is_unreadable_in_every_format() {
    let cases = [
        (Format::Xlsx, b"PK\x03\x04 rubbish".as_slice()),
        (Format::Ods, b""),
        (Format::Pdf, b"%PDF-1.4 rubbish"),
        (Format::Csv, b"\0\x01\x02\0\0\0\0"),
    ];
    for (format, bytes) in cases {
        let error = failure(ExtractLimits::default(), format, bytes).await;
        assert!(matches!(error, ExtractError::Document(ObstacleCode::Unreadable)), "{format:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_document_without_text_says_so() {
    let error =
        failure(ExtractLimits::default(), Format::Pdf, include_bytes!("../corpus/hostile/nested.pdf")).await;
    assert!(matches!(error, ExtractError::Document(ObstacleCode::NoText)), "{error:?}");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_worth_another_try() {
    let extractor = Extractor::new("/nowhere/at/all", ExtractLimits::default());
    let error =
        extractor.extract(&candidate(Format::Pdf, b"%PDF-")).await.expect_err("there is no such program");
    assert!(matches!(error, ExtractError::Process(_)));
    assert!(error.retry_could_help());
}

#[tokio::test]
async fn a_passing_fault_is_an_error_with_a_last_word() {
    let shop = Shop::parse(bundled_catalogue(), bundled_customers()).expect("the bundled files are good");
    let raw = bundled_mails().iter().find(|(name, _)| *name == "pdf-lines").expect("a bundled mail").1;
    let extractor = Extractor::new("/nowhere/at/all", ExtractLimits::default());
    let error = read_order(raw, &shop, &extractor).await.expect_err("the attachment was not read");
    assert_eq!(error.code(), ObstacleCode::ExtractCrashed);
    let expected =
        Verdict::UnreadableAttachment { attachment: "po.pdf".into(), reason: ObstacleCode::ExtractCrashed };
    assert_eq!(error.last_word.verdict, expected);
    assert!(error.last_word.reply.is_some(), "the customer is told when there is no other attempt");
}
