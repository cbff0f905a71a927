//! Holding stock, taking it, letting it go.

use jiff::SignedDuration;
use serde_json::json;
use storefront_domain::{
    CustomerId, HoldAsk, ProductId, Reservation, ReservationError, ReservationEvent, ReservationId,
    ReservationState,
};

use super::{Asked, Desk, is_there};
use crate::http::answer::{Answer, Refusal};
use crate::http::form::Form;
use crate::rows::{moment, name_of, number};
use crate::workers::expire::{step, stock_of, write_stock};

impl Desk {
    /// `POST /reservations`.
    pub(crate) async fn reservation(&self, asked: &Asked, mut form: Form) -> Result<Answer, Refusal> {
        let (customer, product) = (CustomerId(form.number("customer")?), ProductId(form.number("product")?));
        let quantity = form.whole("quantity", 1, 1_000)? as u32;
        let at = form.at(self.now())?;
        form.end()?;
        let id = ReservationId(self.number().await?);
        let hold: SignedDuration = self.obligations.hold;
        let expires_at = at.saturating_add(hold).unwrap_or(jiff::Timestamp::MAX);
        let state = ReservationState::Held;
        let planned = Reservation { id, customer, product, quantity, expires_at, state, since: at };
        let tasks = vec![self.obligations.expire(&planned)?];
        self.commit(asked, tasks, move |tx| {
            if !is_there(tx, "SELECT 1 FROM customers WHERE id = ?1", customer.0)? {
                return Err(Refusal::field("customer", "is nobody's number"));
            }
            let stock =
                stock_of(tx, product)?.ok_or_else(|| Refusal::field("product", "is no product's number"))?;
            let ask = HoldAsk { id, customer, product, quantity };
            let (stock, held) = stock.hold(&ask, at, hold).map_err(refused)?;
            write_stock(tx, &stock)?;
            tx.execute(
                "INSERT INTO reservations (id, customer, product, quantity, expires_at, state, since)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                &[
                    number(id.0),
                    number(customer.0),
                    number(product.0),
                    quantity.into(),
                    moment(held.expires_at),
                    name_of(held.state)?.into(),
                    moment(held.since),
                ],
            )?;
            Ok(Answer::created(json!({ "reservation": id, "expires_at": held.expires_at })))
        })
        .await
    }

    /// `POST /reservations/{id}/confirm` and `…/cancel`.
    pub(crate) async fn decide(
        &self,
        asked: &Asked,
        id: &str,
        event: ReservationEvent,
        mut form: Form,
    ) -> Result<Answer, Refusal> {
        let nothing = || Refusal::NotFound("there is no such reservation".to_owned());
        let id = ReservationId(id.parse().map_err(|_| nothing())?);
        let at = form.at(self.now())?;
        form.end()?;
        self.commit(asked, Vec::new(), move |tx| {
            let after = step(tx, id, event, at)?.ok_or_else(nothing)?.map_err(refused)?;
            Ok(Answer::ok(json!({ "reservation": id, "state": after.state })))
        })
        .await
    }
}

fn refused(error: ReservationError) -> Refusal {
    match error {
        ReservationError::TooLong => Refusal::field("at", "is too far away"),
        error => Refusal::Conflict(error.to_string()),
    }
}
