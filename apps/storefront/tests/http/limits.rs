//! The request path is bounded: in size, in time, in number, and by what the shop has taken on.

use std::num::{NonZeroU64, NonZeroUsize};

use runtime::config::{ShedConfig, WorkerConfig};
use runtime::core::control::NodeCommand;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::Shop;

/// A request whose body never comes.
async fn stalled(shop: &Shop) -> TcpStream {
    let mut stream = TcpStream::connect(shop.address).await.unwrap();
    let head = b"POST /sales HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused() {
    let shop = Shop::open(|config| config.app.max_body_bytes = NonZeroUsize::new(256).unwrap()).await;
    let told = shop.post("/sales", &json!({ "padding": "x".repeat(300) })).await;
    assert_eq!((told.status, told.field()), (400, "body"));
    assert_eq!(shop.post("/sales", &json!({ "padding": "x" })).await.field(), "store");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_sent_away() {
    let shop = Shop::open(|config| config.app.request_timeout_ms = NonZeroU64::new(50).unwrap()).await;
    let mut stream = stalled(&shop).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 503");
    shop.running.stop().await;
}

/// Whatever the server says until it hangs up.
async fn said(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    drop(stream.read_to_end(&mut said).await);
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_says_it_slowly_is_cut_off() {
    let shop = Shop::open(|config| config.app.head_timeout_ms = NonZeroU64::new(100).unwrap()).await;
    let silent = TcpStream::connect(shop.address).await.unwrap();
    assert_eq!(said(silent).await, b"");

    let mut half = TcpStream::connect(shop.address).await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: sh").await.unwrap();
    assert_eq!(said(half).await, b"", "no head, no answer");

    // One byte after the other, for as long as the other end takes them.
    let mut dribbling = TcpStream::connect(shop.address).await.unwrap();
    dribbling.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
    let mut sent = 0_u64;
    while dribbling.write_all(b"x").await.is_ok() {
        sent += 1;
        assert!(sent < 100_000, "nobody hangs up");
        pace.tick().await;
    }

    // Whoever has been answered once may be idle no longer than that either.
    let mut idle = TcpStream::connect(shop.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    let answers = String::from_utf8(said(idle).await).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    shop.running.stop().await;
}

/// The first line of an answer to one more request over this connection.
async fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        answer.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_places_are_taken_who_has_been_idle_longest_leaves_and_who_is_answered_stays() {
    let shop = Shop::open(|config| {
        config.app.max_connections = NonZeroUsize::new(2).unwrap();
        config.app.head_timeout_ms = NonZeroU64::new(600_000).unwrap();
        config.app.request_timeout_ms = NonZeroU64::new(600_000).unwrap();
    })
    .await;
    let mut busy = stalled(&shop).await;
    let mut idle = TcpStream::connect(shop.address).await.unwrap();
    assert_eq!(ask(&mut idle).await.unwrap(), "HTTP/1.1 200 OK");
    let mut third = TcpStream::connect(shop.address).await.unwrap();
    assert_eq!(ask(&mut third).await.unwrap(), "HTTP/1.1 200 OK");
    assert_eq!(said(idle).await, b"", "it had to make room");
    for _ in 0..20 {
        let mut next = TcpStream::connect(shop.address).await.unwrap();
        assert_eq!(ask(&mut next).await.unwrap(), "HTTP/1.1 200 OK");
    }
    // What has been waited for all the time is answered.
    busy.write_all(&[b' '; 99]).await.unwrap();
    let mut answer = [0; 12];
    busy.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_at_once_than_there_are_places_are_sent_away() {
    let shop = Shop::open(|config| {
        config.app.max_requests = NonZeroUsize::MIN;
        config.app.request_timeout_ms = NonZeroU64::new(600_000).unwrap();
    })
    .await;
    let stream = stalled(&shop).await;
    let told = shop.until("/healthz", 503).await;
    assert_eq!(told.retry_after.as_deref(), Some("1"));
    drop(stream);
    shop.until("/healthz", 200).await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sends_callers_away_and_nothing_of_the_request_is_written() {
    let shop = Shop::open(|config| config.store.queue_capacity = NonZeroU64::MIN).await;
    let hold = |customer: u64| json!({ "customer": customer, "product": 1, "quantity": 1 });
    assert_eq!(shop.post("/reservations", &hold(1)).await.status, 201);
    let told = shop.post_as("again", "/reservations", &hold(2)).await;
    assert_eq!((told.status, told.retry_after.as_deref()), (503, Some("1")), "{told:?}");
    assert_eq!(shop.count("reservations").await, 1);
    let held = shop.running.store().query_app("SELECT SUM(held) FROM stock", Vec::new()).await.unwrap();
    assert_eq!(held[0].integer(0).unwrap(), 1);
    assert_eq!(shop.count("requests").await, 0, "the key is free for when there is room");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_shop_says_so_and_goes_on_where_it_listens() {
    let shop = Shop::open(|_| ()).await;
    shop.door(NodeCommand::Pause).await;
    let told = shop.get("/healthz").await;
    assert_eq!((told.status, told.retry_after.as_deref()), (503, Some("1")));
    shop.door(NodeCommand::Resume).await;
    assert_eq!(shop.get("/healthz").await.status, 200);
    shop.running.stop().await;
}

/// A shop that makes no lists, and whose ratings of one product are ready to be taken up.
async fn behind(change: impl FnOnce(&mut WorkerConfig)) -> Shop {
    let shop = Shop::open(|config| {
        config.app.gather_ms = NonZeroU64::MIN;
        let mut recommend = WorkerConfig {
            shed: ShedConfig { depth: Some(NonZeroU64::MIN), ..ShedConfig::default() },
            ..WorkerConfig::default()
        };
        recommend.shed.retry_after_ms = NonZeroU64::new(6_500);
        change(&mut recommend);
        config.workers.insert("recommend".parse().unwrap(), recommend);
    })
    .await;
    shop.steer("workers/recommend", NodeCommand::Pause).await;
    assert_eq!(shop.post("/ratings", &rating(1)).await.status, 202);
    shop.until_ready("recommend").await;
    shop
}

fn rating(product: u64) -> serde_json::Value {
    json!({ "customer": 1, "product": product, "stars": 5 })
}

/// A product whose category differs from that of the first.
async fn of_another_category(shop: &Shop) -> u64 {
    let sql = "SELECT product FROM product_categories WHERE category NOT IN \
        (SELECT category FROM product_categories WHERE product = 1) ORDER BY product LIMIT 1";
    let found = shop.running.store().query_app(sql, Vec::new()).await.unwrap();
    found[0].integer(0).unwrap().unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_is_behind_sends_ratings_away_and_takes_what_it_lives_from() {
    let shop = behind(|_| ()).await;
    let other = of_another_category(&shop).await;
    let told = shop.post_as("again", "/ratings", &rating(other)).await;
    assert_eq!(
        (told.status, told.retry_after.as_deref()),
        (503, Some("7")),
        "whole seconds, rounded up: {told:?}"
    );
    assert_eq!(
        (shop.count("ratings").await, shop.count("requests").await),
        (1, 0),
        "nothing of it was written"
    );
    let hold = json!({ "customer": 1, "product": 1, "quantity": 1 });
    assert_eq!(shop.post("/reservations", &hold).await.status, 201);

    shop.steer("workers/recommend", NodeCommand::Resume).await;
    shop.until_idle("recommend").await;
    assert_eq!(shop.post_as("again", "/ratings", &rating(other)).await.status, 202, "once it has caught up");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_shedding_is_off_ratings_pile_up() {
    let shop = behind(|recommend| recommend.shed.enabled = Some(false)).await;
    let other = of_another_category(&shop).await;
    assert_eq!(shop.post("/ratings", &rating(other)).await.status, 202);
    shop.running.stop().await;
}
