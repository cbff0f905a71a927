//! What customers do beside buying: rate, join, pay; and what there is to tell them.

use jiff::Timestamp;
use serde_json::json;
use storefront_domain::{Category, CustomerId, Draft, DraftId, Topic};

use super::{Asked, Desk, is_there};
use crate::http::answer::{Answer, Refusal};
use crate::http::form::Form;
use crate::rows::{Columns, moment, number};
use crate::workers::grace::Grace;

const CUSTOMER: &str = "SELECT 1 FROM customers WHERE id = ?1";

impl Desk {
    /// `POST /ratings`.
    pub(crate) async fn rating(&self, asked: &Asked, mut form: Form) -> Result<Answer, Refusal> {
        let (customer, product) = (form.number("customer")?, form.number("product")?);
        let stars = form.whole("stars", 1, 5)?;
        let at = form.at(self.now())?;
        form.end()?;
        let sql = "SELECT category FROM product_categories WHERE product = ?1";
        let found = self.rows.query_app(sql, vec![number(product)]).await?;
        let mut tasks = Vec::new();
        for row in &found {
            tasks.push(self.obligations.recommend(&Category(row.text(0)?.to_owned()))?);
        }
        if tasks.is_empty() {
            return Err(Refusal::field("product", "is no product's number"));
        }
        self.commit(asked, tasks, move |tx| {
            if !is_there(tx, CUSTOMER, customer)? {
                return Err(Refusal::field("customer", "is nobody's number"));
            }
            let sql =
                "INSERT INTO ratings (customer, product, stars, at) VALUES (?1, ?2, ?3, ?4) RETURNING seq";
            let row = tx.query(sql, &[number(customer), number(product), number(stars), moment(at)])?;
            let seq = row.first().map_or(Ok(0), |row| row.number(0))?;
            Ok(Answer::accepted(json!({ "rating": seq })))
        })
        .await
    }

    /// `POST /members`.
    pub(crate) async fn member(&self, asked: &Asked, mut form: Form) -> Result<Answer, Refusal> {
        let customer = form.number("customer")?;
        let at = form.at(self.now())?;
        form.end()?;
        let id = self.number().await?;
        let tasks = vec![self.obligations.member(&Grace::Joined { member: id })?];
        self.commit(asked, tasks, move |tx| {
            if !is_there(tx, CUSTOMER, customer)? {
                return Err(Refusal::field("customer", "is nobody's number"));
            }
            if is_there(tx, "SELECT 1 FROM members WHERE customer = ?1", customer)? {
                return Err(Refusal::Conflict("the customer is a member".to_owned()));
            }
            let sql = "INSERT INTO members (id, customer, joined_at) VALUES (?1, ?2, ?3)";
            tx.execute(sql, &[number(id), number(customer), moment(at)])?;
            Ok(Answer::created(json!({ "member": id })))
        })
        .await
    }

    /// `POST /payments`.
    pub(crate) async fn payment(&self, asked: &Asked, mut form: Form) -> Result<Answer, Refusal> {
        let member = form.number("member")?;
        let cycles = form.whole("cycles", 1, 26)?;
        let at = form.at(self.now())?;
        form.end()?;
        let id = self.number().await?;
        let tasks = vec![self.obligations.member(&Grace::Paid { member, payment: id })?];
        self.commit(asked, tasks, move |tx| {
            let found = tx.query("SELECT joined_at FROM members WHERE id = ?1", &[number(member)])?;
            let joined = found.first().ok_or_else(|| Refusal::field("member", "is no member's number"))?;
            if at < joined.moment(0)? {
                return Err(Refusal::field("at", "lies before the membership"));
            }
            let sql = "INSERT INTO payments (id, member, cycles, at) VALUES (?1, ?2, ?3, ?4)";
            tx.execute(sql, &[number(id), number(member), number(cycles), moment(at)])?;
            Ok(Answer::accepted(json!({ "payment": id })))
        })
        .await
    }

    /// `POST /drafts`.
    pub(crate) async fn draft(&self, asked: &Asked, mut form: Form) -> Result<Answer, Refusal> {
        let recipient = CustomerId(form.number("recipient")?);
        let topic = topic(&form.text("topic")?)?;
        let line = form.text("line")?;
        let at: Timestamp = form.at(self.now())?;
        form.end()?;
        let id = DraftId(self.number().await?);
        let draft = Draft { id, recipient, topic, line, at };
        let tasks = vec![self.obligations.promote(&draft)?];
        self.commit(asked, tasks, move |tx| {
            if !is_there(tx, CUSTOMER, recipient.0)? {
                return Err(Refusal::field("recipient", "is nobody's number"));
            }
            tx.execute(
                "INSERT INTO drafts (id, recipient, topic, line, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                &[
                    number(draft.id.0),
                    number(draft.recipient.0),
                    draft.topic.name().into(),
                    draft.line.as_str().into(),
                    moment(draft.at),
                ],
            )?;
            Ok(Answer::accepted(json!({ "draft": draft.id })))
        })
        .await
    }
}

fn topic(name: &str) -> Result<Topic, Refusal> {
    let known = [Topic::Membership, Topic::Reservation, Topic::Refund, Topic::Recommendation];
    let found = known.into_iter().find(|topic| topic.name() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|topic| topic.name()).collect();
        Refusal::field("topic", format!("must be one of {}", names.join(", ")))
    })
}
