//! A request that comes again under its key is answered again and done once.

use serde_json::{Value, json};

use crate::kit::Shop;

fn sale(amount: u64) -> Value {
    json!({ "store": 1, "customer": 1, "product": 1, "quantity": 1, "amount_minor": amount })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_answered_again_and_written_once() {
    let shop = Shop::open(|_| ()).await;
    let first = shop.post_as("a", "/sales", &sale(500)).await;
    assert_eq!((first.status, first.again), (201, false), "{first:?}");
    let second = shop.post_as("a", "/sales", &sale(500)).await;
    assert_eq!((second.status, second.again, &second.body), (201, true, &first.body));
    assert_eq!(shop.count("sales").await, 1);

    let other = shop.post_as("a", "/sales", &sale(600)).await;
    assert_eq!(other.status, 409, "a key stands for one request");
    assert_eq!(shop.post_as("a", "/ratings", &sale(500)).await.status, 400, "and for one path");
    assert_eq!(shop.post_as("b", "/sales", &sale(500)).await.status, 201);
    assert_eq!(shop.post("/sales", &sale(500)).await.status, 201);
    assert_eq!(shop.post("/sales", &sale(500)).await.status, 201, "without a key each request is a new one");
    assert_eq!(shop.count("sales").await, 4);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_under_one_key_are_one() {
    let shop = Shop::open(|_| ()).await;
    let body = json!({ "customer": 3, "product": 1, "quantity": 1 });
    let calls = (0..40).map(|_| shop.post_as("one", "/reservations", &body));
    let told = futures_util::future::join_all(calls).await;
    assert!(told.iter().all(|one| one.status == 201 && one.body == told[0].body), "{told:?}");
    assert_eq!(told.iter().filter(|told| !told.again).count(), 1);
    assert_eq!(shop.count("reservations").await, 1);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_its_key_free() {
    let shop = Shop::open(|_| ()).await;
    let wrong = json!({ "store": 1, "customer": 1_000_000, "product": 1, "quantity": 1, "amount_minor": 5 });
    assert_eq!(shop.post_as("a", "/sales", &wrong).await.field(), "customer");
    assert_eq!(shop.post_as("a", "/sales", &sale(5)).await.status, 201);
    let long = "k".repeat(201);
    assert_eq!(shop.post_as(&long, "/sales", &sale(5)).await.field(), "Idempotency-Key");
    shop.running.stop().await;
}
