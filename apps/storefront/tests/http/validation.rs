//! What is wrong is refused by the name of its field, and nothing of it is written.

use serde_json::{Value, json};

use crate::kit::Shop;

fn sale() -> Value {
    json!({ "store": 1, "customer": 1, "product": 1, "quantity": 2, "amount_minor": 500 })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn without(mut body: Value, field: &str) -> Value {
    body.as_object_mut().unwrap().remove(field);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named_and_nothing_is_written() {
    let shop = Shop::open(|_| ()).await;
    let rating = json!({ "customer": 1, "product": 1, "stars": 5 });
    let hold = json!({ "customer": 1, "product": 1, "quantity": 1 });
    let draft = json!({ "recipient": 1, "topic": "refund", "line": "it is on its way" });
    let far = json!("9000-01-01T00:00:00Z");
    let wrong = [
        ("/sales", without(sale(), "store"), "store"),
        ("/sales", with(sale(), "store", json!(99)), "store"),
        ("/sales", with(sale(), "store", json!("1")), "store"),
        ("/sales", with(sale(), "customer", json!(0)), "customer"),
        ("/sales", with(sale(), "customer", json!(1_000_000)), "customer"),
        ("/sales", with(sale(), "product", json!(1_000_000)), "product"),
        ("/sales", with(sale(), "quantity", json!(0)), "quantity"),
        ("/sales", with(sale(), "quantity", json!(1.5)), "quantity"),
        ("/sales", with(sale(), "amount_minor", json!(-1)), "amount_minor"),
        ("/sales", with(sale(), "at", far.clone()), "at"),
        ("/sales", with(sale(), "at", json!("yesterday")), "at"),
        ("/sales", with(sale(), "at", json!(7)), "at"),
        ("/sales", with(sale(), "discount", json!(1)), "discount"),
        ("/sales", json!([]), "body"),
        ("/refunds", json!({ "sale": 12345, "amount_minor": 1 }), "sale"),
        ("/refunds", json!({ "sale": 1, "amount_minor": 0 }), "amount_minor"),
        ("/ratings", with(rating.clone(), "stars", json!(6)), "stars"),
        ("/ratings", with(rating.clone(), "product", json!(1_000_000)), "product"),
        ("/ratings", with(rating, "customer", json!(1_000_000)), "customer"),
        ("/reservations", with(hold.clone(), "quantity", json!(1_001)), "quantity"),
        ("/reservations", with(hold, "product", json!(1_000_000)), "product"),
        ("/members", json!({}), "customer"),
        ("/members", json!({ "customer": 1_000_000 }), "customer"),
        ("/payments", json!({ "member": 1, "cycles": 1 }), "member"),
        ("/payments", json!({ "member": 1, "cycles": 0 }), "cycles"),
        ("/drafts", with(draft.clone(), "topic", json!("weather")), "topic"),
        ("/drafts", with(draft.clone(), "line", json!("two\nlines")), "line"),
        ("/drafts", with(draft.clone(), "line", json!("x".repeat(501))), "line"),
        ("/drafts", with(draft, "recipient", json!(1_000_000)), "recipient"),
    ];
    for (path, body, field) in wrong {
        let told = shop.post(path, &body).await;
        assert_eq!((told.status, told.field()), (400, field), "{path} {body}: {told:?}");
    }
    for table in ["sales", "refunds", "ratings", "reservations", "members", "payments", "drafts"] {
        assert_eq!(shop.count(table).await, 0, "{table}");
    }
    let live: u64 =
        shop.running.store().queue_stats().await.unwrap().iter().map(|queue| queue.counts.live()).sum();
    assert_eq!(live, 0, "no task of a refused request is left");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_and_what_is_not_there_is_said_so() {
    let shop = Shop::open(|_| ()).await;
    let told = shop.call("POST", "/sales", None, b"{".to_vec()).await;
    assert_eq!((told.status, told.field()), (400, "body"));
    for (method, path) in [("GET", "/nowhere"), ("GET", "/sales"), ("POST", "/"), ("POST", "/sales/1")] {
        assert_eq!(shop.call(method, path, None, b"{}".to_vec()).await.status, 404, "{method} {path}");
    }
    assert_eq!(shop.post("/reservations/77/confirm", &json!({})).await.status, 404);
    assert_eq!(shop.post("/reservations/x/cancel", &json!({})).await.status, 404);
    assert_eq!(shop.get("/settlements").await.field(), "store");
    assert_eq!(shop.get("/rollups?store=1&level=year").await.field(), "level");
    assert_eq!(shop.get("/rollups?store=1&colour=red").await.field(), "colour");
    assert_eq!(shop.get("/healthz").await.status, 200);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_of_a_sale_and_no_larger_than_what_is_left_of_it() {
    let shop = Shop::open(|_| ()).await;
    let sale = shop.post("/sales", &sale()).await;
    assert_eq!(sale.status, 201, "{sale:?}");
    let refund = |minor: u64| json!({ "sale": sale.body["sale"], "amount_minor": minor });
    assert_eq!(shop.post("/refunds", &refund(300)).await.status, 201);
    assert_eq!(shop.post("/refunds", &refund(201)).await.field(), "amount_minor");
    assert_eq!(shop.post("/refunds", &refund(200)).await.status, 201);
    assert_eq!(shop.count("refunds").await, 2);
    let early = json!({ "sale": sale.body["sale"], "amount_minor": 1, "at": "2020-01-01T00:00:00Z" });
    assert_eq!(shop.post("/refunds", &early).await.field(), "at");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_held_only_while_there_is_some_and_decided_once() {
    let shop = Shop::open(|_| ()).await;
    let hold = |quantity: u64| json!({ "customer": 1, "product": 1, "quantity": quantity });
    let sql = "SELECT free FROM stock WHERE product = 1";
    let free = shop.running.store().query_app(sql, Vec::new()).await.unwrap()[0].integer(0).unwrap();
    let free = u64::try_from(free).unwrap();
    assert_eq!(shop.post("/reservations", &hold(free + 1)).await.status, 409);
    let held = shop.post("/reservations", &hold(free)).await;
    assert_eq!(held.status, 201, "{held:?}");
    assert_eq!(shop.post("/reservations", &hold(1)).await.status, 409);
    let id = held.body["reservation"].as_u64().unwrap();
    let decide = async |verb: &str| shop.post(&format!("/reservations/{id}/{verb}"), &json!({})).await;
    assert_eq!(decide("confirm").await.body["state"], "confirmed");
    assert_eq!(decide("confirm").await.status, 200, "what is so already is no fault");
    assert_eq!(decide("cancel").await.status, 409);
    let sql = "SELECT free, held, sold FROM stock WHERE product = 1";
    let row = shop.running.store().query_app(sql, Vec::new()).await.unwrap();
    let counts = [row[0].integer(0).unwrap(), row[0].integer(1).unwrap(), row[0].integer(2).unwrap()];
    assert_eq!(counts, [0, 0, i64::try_from(free).unwrap()]);
    shop.running.stop().await;
}
