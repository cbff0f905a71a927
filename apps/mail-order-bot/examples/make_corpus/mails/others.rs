//! Mails that order nothing, and bytes that are hardly mails.

use super::*;
use crate::letter::{Encoding, Part};

pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut mails = people();
    mails.extend(machines());
    mails.extend(broken());
    mails
}

fn people() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        text("other-question", OLDPOST, "A question", "Hi, does TEA-100 keep for 12 months? And is it organic?\nJane\n"),
        text("other-cancellation", NORD, "Storno", "Bitte stornieren Sie unsere Bestellung 78:\n\n20 Pck TEA-100\n20 Pck TEA-110\n"),
        text(
            "other-complaint",
            HARBOUR,
            "Damaged goods",
            "We have to complain about our last order: 4 of the 12 pcs MUG-200 arrived broken. Please refund.\n",
        ),
        text(
            "other-thanks",
            TEALEAF,
            "Re: Order 93",
            "Thank you, that was quick!\n\n> Dear Tealeaf & Sons,\n>\n> thank you for your order. We have booked it as follows:\n>\n>   10 x TEA-100 Green tea Sencha, 250 g (pack) at 6.40 EUR = 64.00 EUR\n",
        ),
        text("other-unclear", OLDPOST, "Order", "Hello, please send the same as last month, only twice as much of the green tea.\nJane\n"),
        text("other-greeting", LIND, "Frohe Ostern", "Wir wünschen allen im Teehaus frohe Ostern!\n"),
        text("other-empty", CLAIRET, "", ""),
        (
            "other-invitation",
            Letter::new("other-invitation", HARBOUR, "Tasting on Friday")
                .text("Come and taste with us.\n")
                .part(Part::new(
                    "text/calendar; charset=utf-8; method=REQUEST",
                    Encoding::EightBit,
                    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:t1@harbour-roast.example\r\nDTSTART:20260313T150000Z\r\nSUMMARY:Tasting\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
                ))
                .build(),
        ),
        (
            "other-spam",
            Letter::new("other-spam", "=?UTF-8?B?8J+SsCBFQVNZIENBU0g=?= <win@lucky-draw.example>", "You have been SELECTED!!! order now")
                .html("<html><body><h1>CONGRATULATIONS</h1><p>You won 1,000,000 USD! Claim code WIN-2026, only 24 hours!</p><a href='http://lucky-draw.example/x?y=1&z=2'>CLICK</a><!-- 10 x FREE-100 --></body></html>")
                .build(),
        ),
    ]
}

fn machines() -> Vec<(&'static str, Vec<u8>)> {
    let bounced = Letter::new("sent-1", "Teahouse <orders@teahouse.example>", "Re: Order 93")
        .text("Dear Tealeaf & Sons,\n\n  10 x TEA-100 Green tea\n")
        .build();
    vec![
        (
            "machine-newsletter",
            Letter::new("machine-newsletter", TEALEAF, "Tealeaf news: spring is here")
                .header("List-Unsubscribe", "<https://tealeaf.example/u/1>")
                .header("Precedence", "bulk")
                .html("<p>Order 10 x TEA-100 today and save!</p>")
                .build(),
        ),
        (
            "machine-out-of-office",
            Letter::new("machine-out-of-office", HARBOUR, "Automatic reply: Re: Order 12")
                .header("Auto-Submitted", "auto-replied")
                .text("I am away until Monday.\n\nYour message said: Please order 10 x TEA-100\n")
                .build(),
        ),
        (
            "machine-bounce",
            Letter::new("machine-bounce", "Mail Delivery System <mailer-daemon@tealeaf.example>", "Undelivered Mail Returned to Sender")
                .header("Return-Path", "<>")
                .header("Auto-Submitted", "auto-replied")
                .text("The mail system could not deliver your message.\n")
                .part(Part::new("message/delivery-status", Encoding::EightBit, b"Reporting-MTA: dns; tealeaf.example\r\n\r\nFinal-Recipient: rfc822; buying@tealeaf.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"))
                .part(Part::new("message/rfc822", Encoding::EightBit, &bounced))
                .build(),
        ),
    ]
}

fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let no_end = {
        let mut raw = Letter::new("broken-no-end", HARBOUR, "Order 19")
            .text("Order attached.\n")
            .attach("order.csv", CSV, b"SKU,Qty\nTEA-100,7\nCOF-100,3\n")
            .build();
        raw.truncate(raw.len() - "\r\n--=_teahouse_part--\r\n".len());
        raw
    };
    let wrong_boundary = {
        let raw = Letter::new("broken-wrong-boundary", ADLER, "Bestellung")
            .text("Bestellung:\n\n6 Flaschen SYR-300\n")
            .attach("leer.txt", "text/plain", b"nichts")
            .build();
        String::from_utf8_lossy(&raw)
            .replace("boundary=\"=_teahouse_part\"", "boundary=\"=_other\"")
            .into_bytes()
    };
    let deep = {
        let mut raw =
            b"From: stock@harbour-roast.example\r\nSubject: Order\r\nMIME-Version: 1.0\r\n".to_vec();
        for depth in 0..200 {
            raw.extend_from_slice(
                format!("Content-Type: multipart/mixed; boundary=\"b{depth}\"\r\n\r\n--b{depth}\r\n")
                    .as_bytes(),
            );
        }
        raw.extend_from_slice(b"Content-Type: text/plain\r\n\r\n10 packs TEA-100\r\n");
        raw
    };
    let bare_line_feeds =
        b"From: jane@oldpost.example\nSubject: Order\nMessage-ID: <bare-lf@oldpost.example>\n\nPlease send\n4 packs TEA-110\n".to_vec();
    let nulls = b"From: Jane <jane@oldpost.example>\r\nSubject: Order\0 \x80\xff\r\nContent-Type: text/plain; charset=no-such\r\n\r\nPlease send 2 packs\0 COF-100\r\n\0\0\0".to_vec();
    vec![
        ("broken-no-end", no_end),
        ("broken-wrong-boundary", wrong_boundary),
        ("broken-bare-line-feeds", bare_line_feeds),
        ("broken-null-bytes", nulls),
        ("broken-too-deep", deep),
        (
            "broken-no-sender",
            Letter::new("broken-no-sender", "", "Order")
                .without("From")
                .text("10 packs TEA-100, please send\n")
                .build(),
        ),
        ("broken-garbage", (0..=255_u8).cycle().step_by(7).take(700).collect()),
        ("broken-nothing", Vec::new()),
    ]
}
