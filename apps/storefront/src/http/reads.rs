//! What can be looked up: projections as they stand.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use storefront_domain::Bucket;

use super::answer::{Answer, Refusal};
use super::desk::Desk;
use crate::rows::{Columns, number};
use crate::workers::rollup::{CELLS, cell_row};

/// Most entries of one answer.
const MOST: i64 = 1_000;

/// The parameters of a query.
pub(crate) struct Query(pub(crate) BTreeMap<String, String>);

impl Query {
    fn number(&self, field: &'static str) -> Result<u64, Refusal> {
        let text = self.0.get(field).ok_or_else(|| Refusal::field(field, "is missing"))?;
        text.parse::<u64>()
            .ok()
            .filter(|number| (1..=i64::MAX as u64).contains(number))
            .ok_or_else(|| Refusal::field(field, "must be a number"))
    }

    fn only(&self, fields: &[&str]) -> Result<(), Refusal> {
        match self.0.keys().find(|field| !fields.contains(&field.as_str())) {
            None => Ok(()),
            Some(field) => Err(Refusal::field(field.clone(), "is not a parameter of this request")),
        }
    }
}

impl Desk {
    /// `GET /settlements?store=1`.
    pub(crate) async fn settlements(&self, query: &Query) -> Result<Answer, Refusal> {
        query.only(&["store"])?;
        let store = query.number("store")?;
        let sql = "SELECT period, currency, net_minor, payout_minor, receipt FROM settlement
                   WHERE store = ?1 ORDER BY closed_at, period LIMIT ?2";
        let mut list = Vec::new();
        for row in self.rows.query_app(sql, vec![number(store), MOST.into()]).await? {
            list.push(json!({
                "period": row.text(0)?,
                "currency": row.text(1)?,
                "net_minor": row.integer(2)?,
                "payout_minor": row.integer(3)?,
                "receipt": row.text(4).ok(),
            }));
        }
        Ok(Answer::ok(json!({ "store": store, "settlements": list })))
    }

    /// `GET /rollups?store=1&level=day`.
    pub(crate) async fn rollups(&self, query: &Query) -> Result<Answer, Refusal> {
        query.only(&["store", "level"])?;
        let store = query.number("store")?;
        let level = query.0.get("level").map_or("day", String::as_str);
        if !["hour", "day", "month"].contains(&level) {
            return Err(Refusal::field("level", "must be hour, day or month"));
        }
        let sql = format!(
            "{CELLS} WHERE store = ?1 AND level = ?2 ORDER BY starts_on DESC, hour DESC, metric LIMIT ?3"
        );
        let mut list: Vec<Value> = Vec::new();
        for row in self.rows.query_app(&sql, vec![number(store), level.into(), MOST.into()]).await? {
            let (key, total) = cell_row(&row)?;
            let hour = if let Bucket::Hour { hour, .. } = key.bucket { Some(hour) } else { None };
            list.push(json!({
                "starts_on": row.text(2)?,
                "hour": hour,
                "metric": key.metric.name(),
                "count": total.count,
                "total": total.sum.to_string(),
                "least": total.least,
                "greatest": total.greatest,
            }));
        }
        Ok(Answer::ok(json!({ "store": store, "level": level, "rollups": list })))
    }

    /// `GET /products/{id}/recommendations`.
    pub(crate) async fn recommendations(&self, product: &str) -> Result<Answer, Refusal> {
        let product: u64 =
            product.parse().map_err(|_| Refusal::NotFound("there is no such product".to_owned()))?;
        let sql = "SELECT r.category, r.other, p.name, r.score_ppm, r.together FROM recommendation r
                   JOIN products p ON p.id = r.other
                   WHERE r.product = ?1 AND r.category IN (SELECT category FROM product_categories WHERE product = ?1)
                   ORDER BY r.category, r.position LIMIT ?2";
        let mut list = Vec::new();
        for row in self.rows.query_app(sql, vec![number(product), MOST.into()]).await? {
            list.push(json!({
                "category": row.text(0)?,
                "product": row.number(1)?,
                "name": row.text(2)?,
                "score_ppm": row.integer(3)?,
                "together": row.integer(4)?,
            }));
        }
        Ok(Answer::ok(json!({ "product": product, "recommendations": list })))
    }
}
