//! The month as its customers see it: many clients at once, each with a connection of its own, every row posted at its
//! moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use storefront_domain::{RefundId, ReservationEvent, SaleId, Sample, SampleHold};
use tokio::sync::SetOnce;

use super::DemoError;
use crate::business_time::BusinessTime;
use crate::http_call::{Call, Connection};

/// What is to be posted.
pub(super) struct Load<'a> {
    pub(super) http: SocketAddr,
    pub(super) time: BusinessTime,
    pub(super) sample: &'a Sample,
    pub(super) clients: usize,
}

/// How it went.
#[derive(Default)]
pub(super) struct Loaded {
    latencies: Vec<Duration>,
    /// Answers by path and status.
    pub(super) answers: BTreeMap<(&'static str, u16), u64>,
}

impl Loaded {
    /// Answers of this status.
    pub(super) fn count(&self, path: &str, status: u16) -> u64 {
        self.answers
            .iter()
            .filter(|((known, of), _)| *known == path && *of == status)
            .map(|(_, count)| count)
            .sum()
    }

    pub(super) fn summary(&self, took: Duration) -> String {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = |share: usize| {
            let found = sorted.get((sorted.len() * share / 1000).min(sorted.len().saturating_sub(1)));
            found.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        let busy: u64 =
            self.answers.iter().filter(|((_, status), _)| *status == 503).map(|(_, count)| count).sum();
        format!(
            "{} requests in {:.1} s ({:.0} a second, {busy} asked to come again); latency p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms.",
            sorted.len(),
            took.as_secs_f64(),
            sorted.len() as f64 / took.as_secs_f64(),
            at(500),
            at(990),
            at(1000),
        )
    }

    fn take_in(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (key, count) in other.answers {
            *self.answers.entry(key).or_default() += count;
        }
    }
}

/// One row of the sample, by its place in its list.
#[derive(Debug, Clone, Copy)]
enum Step {
    Rating(usize),
    Sale(usize),
    Refund(usize),
    Hold(usize),
    Member(usize),
    Payment(usize),
    Draft(usize),
}

/// The numbers the shop gave to the sample's rows.
struct Given {
    sales: Vec<SetOnce<u64>>,
    members: Vec<SetOnce<u64>>,
}

impl Load<'_> {
    pub(super) async fn run(&self) -> Result<Loaded, DemoError> {
        let steps = Arc::new(self.steps());
        let given =
            Given { sales: empty(self.sample.sales.len()), members: empty(self.sample.members.len()) };
        let given = Arc::new(given);
        let next = Arc::new(AtomicUsize::new(0));
        let sample = Arc::new(self.sample.clone());
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..self.clients {
            let client = Client {
                connection: Connection::open(self.http).await?,
                time: self.time.clone(),
                sample: sample.clone(),
                given: given.clone(),
                loaded: Loaded::default(),
            };
            clients.spawn(client.work(steps.clone(), next.clone()));
        }
        let mut loaded = Loaded::default();
        while let Some(client) = clients.join_next().await {
            loaded.take_in(client??);
        }
        Ok(loaded)
    }

    /// Everything in the order of its moments.
    fn steps(&self) -> Vec<(Timestamp, Step)> {
        let Sample { starts, ratings, sales, refunds, holds, members, payments, drafts, .. } = self.sample;
        let mut steps: Vec<(Timestamp, Step)> = Vec::new();
        // Who joined before the month began is entered first.
        steps.extend((0..members.len()).map(|index| (*starts, Step::Member(index))));
        steps.extend(ratings.iter().enumerate().map(|(index, rating)| (rating.at, Step::Rating(index))));
        steps.extend(sales.iter().enumerate().map(|(index, sale)| (sale.recorded_at, Step::Sale(index))));
        steps.extend(
            refunds.iter().enumerate().map(|(index, refund)| (refund.recorded_at, Step::Refund(index))),
        );
        steps.extend(holds.iter().enumerate().map(|(index, hold)| (hold.at, Step::Hold(index))));
        steps.extend(
            payments
                .iter()
                .enumerate()
                .map(|(index, payment)| (payment.at.max(*starts), Step::Payment(index))),
        );
        steps.extend(drafts.iter().enumerate().map(|(index, draft)| (draft.at, Step::Draft(index))));
        steps.sort_by_key(|(when, _)| *when);
        steps
    }
}

fn empty(many: usize) -> Vec<SetOnce<u64>> {
    (0..many).map(|_| SetOnce::new()).collect()
}

struct Client {
    connection: Connection,
    time: BusinessTime,
    sample: Arc<Sample>,
    given: Arc<Given>,
    loaded: Loaded,
}

impl Client {
    async fn work(
        mut self,
        steps: Arc<Vec<(Timestamp, Step)>>,
        next: Arc<AtomicUsize>,
    ) -> Result<Loaded, DemoError> {
        while let Some((when, step)) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
            self.wait_until(*when).await;
            match step {
                Step::Rating(index) => self.rating(*index).await?,
                Step::Hold(index) => self.hold(*index).await?,
                Step::Member(index) => self.member(*index).await?,
                Step::Payment(index) => self.payment(*index).await?,
                Step::Draft(index) => self.draft(*index).await?,
                Step::Sale(index) => self.sale(*index).await?,
                Step::Refund(index) => self.refund(*index).await?,
            }
        }
        Ok(self.loaded)
    }

    async fn wait_until(&self, when: Timestamp) {
        let wait = self.time.real_at(when).duration_since(self.time.real_now());
        tokio::time::sleep(Duration::try_from(wait).unwrap_or(Duration::ZERO)).await;
    }

    async fn sale(&mut self, index: usize) -> Result<(), DemoError> {
        let sale = self.sample.sales[index];
        let SaleId(id) = sale.id;
        let body = json!({
            "store": sale.store,
            "customer": sale.customer,
            "product": sale.product,
            "quantity": sale.quantity,
            "amount_minor": sale.amount.minor,
            "at": sale.at,
        });
        let answer = self.post("/sales", "/sales", format!("sale-{id}"), &body).await?;
        self.given.sales[index].set(number(&answer, "sale")?)?;
        Ok(())
    }

    async fn refund(&mut self, index: usize) -> Result<(), DemoError> {
        let refund = self.sample.refunds[index];
        let RefundId(id) = refund.id;
        // Numbers are given from 1 up, in the order of the list.
        let sale = *self.given.sales[refund.sale.0 as usize - 1].wait().await;
        let body = json!({ "sale": sale, "amount_minor": refund.amount.minor, "at": refund.at });
        self.post("/refunds", "/refunds", format!("refund-{id}"), &body).await?;
        Ok(())
    }

    async fn rating(&mut self, index: usize) -> Result<(), DemoError> {
        let rating = self.sample.ratings[index];
        let body = json!({
            "customer": rating.customer,
            "product": rating.product,
            "stars": rating.stars.get(),
            "at": rating.at,
        });
        self.post("/ratings", "/ratings", format!("rating-{index}"), &body).await.map(drop)
    }

    /// Holds, and then does what this buyer does, when there is something held.
    async fn hold(&mut self, index: usize) -> Result<(), DemoError> {
        let SampleHold { ask, at, then } = self.sample.holds[index];
        let body =
            json!({ "customer": ask.customer, "product": ask.product, "quantity": ask.quantity, "at": at });
        let answer = self.post("/reservations", "/reservations", format!("hold-{index}"), &body).await?;
        let (Ok(id), Some((event, at))) = (number(&answer, "reservation"), then) else { return Ok(()) };
        self.wait_until(at).await;
        let (kind, verb) = match event {
            ReservationEvent::Confirm => ("/reservations/…/confirm", "confirm"),
            ReservationEvent::Cancel | ReservationEvent::Expire => ("/reservations/…/cancel", "cancel"),
        };
        let path = format!("/reservations/{id}/{verb}");
        self.post(kind, &path, format!("{verb}-{index}"), &json!({ "at": at })).await.map(drop)
    }

    async fn member(&mut self, index: usize) -> Result<(), DemoError> {
        let member = &self.sample.members[index];
        let body = json!({ "customer": member.customer, "at": member.since });
        let answer = self.post("/members", "/members", format!("member-{index}"), &body).await?;
        self.given.members[index].set(number(&answer, "member")?)?;
        Ok(())
    }

    async fn payment(&mut self, index: usize) -> Result<(), DemoError> {
        let payment = self.sample.payments[index];
        // Numbers are given from 1 up, in the order of the list.
        let member = *self.given.members[payment.member.0 as usize - 1].wait().await;
        let body = json!({ "member": member, "cycles": payment.cycles, "at": payment.at });
        self.post("/payments", "/payments", format!("payment-{index}"), &body).await.map(drop)
    }

    async fn draft(&mut self, index: usize) -> Result<(), DemoError> {
        let draft = self.sample.drafts[index].clone();
        let body =
            json!({ "recipient": draft.recipient, "topic": draft.topic, "line": draft.line, "at": draft.at });
        self.post("/drafts", "/drafts", format!("draft-{index}"), &body).await.map(drop)
    }

    /// Posts until the shop has taken or refused it: whoever is asked to come again does, under the same key.
    async fn post(
        &mut self,
        kind: &'static str,
        path: &str,
        key: String,
        body: &Value,
    ) -> Result<Value, DemoError> {
        let body = serde_json::to_vec(body)?;
        loop {
            let began = Instant::now();
            let call = Call { method: "POST", path, key: Some(&key), body: body.clone() };
            let (head, answer) = self.connection.call(call).await?;
            self.loaded.latencies.push(began.elapsed());
            let status = head.status().as_u16();
            *self.loaded.answers.entry((kind, status)).or_default() += 1;
            match status {
                200..=299 => return Ok(serde_json::from_slice(&answer)?),
                409 => return Ok(Value::Null),
                503 => {
                    let wait =
                        head.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
                    tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
                }
                _ => {
                    return Err(format!(
                        "{kind} was answered {status}: {}",
                        String::from_utf8_lossy(&answer)
                    )
                    .into());
                }
            }
        }
    }
}

fn number(answer: &Value, field: &str) -> Result<u64, DemoError> {
    answer
        .get(field)
        .and_then(Value::as_u64)
        .ok_or_else(|| format!("an answer without {field}: {answer}").into())
}
