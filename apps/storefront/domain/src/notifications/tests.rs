//! What goes together, when it goes out, and what must not be read off an id.

use jiff::civil::time;
use proptest::prelude::*;

use super::*;

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

/// Five minutes without a draft, at most an hour, nothing from ten in the evening to seven.
fn rules() -> PromotionRules {
    PromotionRules {
        window: SignedDuration::from_mins(5),
        longest_wait: SignedDuration::from_hours(1),
        quiet: Some(QuietHours { from: time(22, 0, 0, 0), until: time(7, 0, 0, 0) }),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn draft(id: u64, at: Timestamp) -> Draft {
    let line = format!("news {id}");
    Draft { id: DraftId(id), recipient: CustomerId(7), topic: Topic::Membership, line, at }
}

fn drafts(moments: &[&str]) -> Vec<Draft> {
    moments.iter().enumerate().map(|(id, moment)| draft(id as u64, at(moment))).collect()
}

#[test]
fn many_drafts_within_the_window_become_one_promotion() {
    let waiting = drafts(&["2026-03-10T12:00:00Z", "2026-03-10T12:04:00Z", "2026-03-10T12:08:59Z"]);
    let promote = |now| rules().promote(&waiting, &berlin(), at(now));
    assert_eq!(promote("2026-03-10T12:13:58Z"), vec![]);
    let promoted = promote("2026-03-10T12:13:59Z");
    assert_eq!(promoted.len(), 1);
    assert_eq!(promoted[0].drafts, [0, 1, 2].map(DraftId));
    assert_eq!(promoted[0].id.as_str(), "promotion-7-membership-0");
    let two = drafts(&["2026-03-10T12:00:00Z", "2026-03-10T12:05:00Z"]);
    assert_eq!(rules().promote(&two, &berlin(), at("2026-03-10T12:10:00Z")).len(), 2, "the window was over");
    let other_topic = Draft { topic: Topic::Refund, ..waiting[1].clone() };
    let mixed = [waiting[0].clone(), other_topic];
    assert_eq!(rules().promote(&mixed, &berlin(), at("2026-03-10T12:30:00Z")).len(), 2, "one for each topic");
}

#[test]
fn nobody_waits_for_ever() {
    let start = at("2026-03-10T12:00:00Z");
    let stream: Vec<_> = (0..60).map(|n| draft(n, start + SignedDuration::from_mins(2 * n as i64))).collect();
    let sizes = rules().promote(&stream, &berlin(), at("2026-03-10T15:00:00Z"));
    assert_eq!(sizes.iter().map(|promotion| promotion.drafts.len()).collect::<Vec<_>>(), [30, 30]);
    assert_eq!(sizes[0].due_at, at("2026-03-10T13:00:00Z"));
}

#[test]
fn quiet_hours_are_the_customers_own() {
    for (came, due) in [
        ("2026-03-10T20:54:59Z", "2026-03-10T20:59:59Z"),
        ("2026-03-10T20:55:00Z", "2026-03-11T06:00:00Z"),
        ("2026-03-11T02:00:00Z", "2026-03-11T06:00:00Z"),
        ("2026-03-11T05:55:00Z", "2026-03-11T06:00:00Z"),
        // The clocks go forward in this night.
        ("2026-03-28T23:00:00Z", "2026-03-29T05:00:00Z"),
    ] {
        assert_eq!(rules().next_due(&drafts(&[came]), &berlin()), Some(at(due)), "{came}");
    }
    // The night's drafts go together in the morning.
    let night = drafts(&["2026-03-10T21:30:00Z", "2026-03-11T00:00:00Z", "2026-03-11T05:59:00Z"]);
    assert_eq!(rules().promote(&night, &berlin(), at("2026-03-11T06:00:00Z"))[0].drafts.len(), 3);
    // A quiet hour that ends in the hour that is skipped ends as much later.
    let short = QuietHours { from: time(1, 0, 0, 0), until: time(2, 30, 0, 0) };
    let rules = PromotionRules { quiet: Some(short), ..rules() };
    let due = rules.next_due(&drafts(&["2026-03-29T00:30:00Z"]), &berlin());
    assert_eq!(due, Some(at("2026-03-29T01:30:00Z")));
}

#[test]
fn a_letter_has_the_name_and_its_reference_has_not() {
    let customer =
        Customer { id: CustomerId(7), name: "Ada Moreau".into(), email: "ada.moreau@example.org".into() };
    let waiting = drafts(&["2026-03-10T12:00:00Z", "2026-03-10T12:01:00Z"]);
    let promotion = rules().promote(&waiting, &berlin(), at("2026-03-10T13:00:00Z")).remove(0);
    let letter = promotion.render(&waiting, &customer).unwrap();
    assert_eq!(letter.to, customer.email);
    assert_eq!(letter.subject, "Your membership (2 news)");
    assert_eq!(letter.text, "Dear Ada Moreau,\n\n- news 0\n- news 1\n\nYour shop\n");
    let row = serde_json::to_string(&promotion).unwrap() + letter.reference.as_str() + &letter.subject;
    for personal in ["Ada", "Moreau", "moreau", "@"] {
        assert!(!row.contains(personal), "{personal} in {row}");
    }
    let missing = promotion.render(&waiting[..1], &customer);
    assert_eq!(missing, Err(RenderError::DraftMissing { draft: DraftId(1) }));
    let stranger = Customer { id: CustomerId(8), ..customer };
    assert!(matches!(promotion.render(&waiting, &stranger), Err(RenderError::OtherCustomer { .. })));
}

#[test]
fn a_promotion_is_sent_once() {
    let waiting = drafts(&["2026-03-10T12:00:00Z"]);
    let promotion = rules().promote(&waiting, &berlin(), at("2026-03-10T13:00:00Z")).remove(0);
    let sent = promotion.sent().unwrap();
    assert_eq!((sent.state, sent.sent()), (PromotionState::Sent, None));
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let topic = prop::sample::select(vec![Topic::Membership, Topic::Refund]);
    (0u64..50, 0u64..2, topic, 0i64..2_000).prop_map(|(id, recipient, topic, minute)| Draft {
        recipient: CustomerId(recipient),
        topic,
        ..draft(id, at("2026-03-28T12:00:00Z") + SignedDuration::from_mins(minute))
    })
}

proptest! {
    #[test]
    fn looking_often_and_looking_once_promote_the_same(
        drafts in prop::collection::vec(any_draft(), 0..30),
        mut looks in prop::collection::vec(0i64..2_500, 0..12),
    ) {
        // One row for each number, as the store keeps them.
        let rows: BTreeMap<DraftId, Draft> = drafts.into_iter().map(|draft| (draft.id, draft)).collect();
        let (rules, zone) = (rules(), berlin());
        let minute = |minute| at("2026-03-28T12:00:00Z") + SignedDuration::from_mins(minute);
        let end = minute(10_000);
        let mut once = rules.promote(rows.values(), &zone, end);
        looks.sort_unstable();
        let mut waiting = rows.clone();
        let mut often = Vec::new();
        for now in looks.into_iter().map(minute).chain([end]) {
            let known = waiting.values().rev().filter(|draft| draft.at <= now);
            let promoted = rules.promote(known, &zone, now);
            waiting.retain(|id, _| !promoted.iter().any(|promotion| promotion.drafts.contains(id)));
            often.extend(promoted);
        }
        once.sort_by(|left, right| left.id.cmp(&right.id));
        often.sort_by(|left, right| left.id.cmp(&right.id));
        prop_assert_eq!(&often, &once);
        let told: Vec<_> = often.iter().flat_map(|promotion| &promotion.drafts).collect();
        prop_assert_eq!(told.len(), rows.len(), "each draft goes out once");
        prop_assert!(waiting.is_empty());
    }
}
