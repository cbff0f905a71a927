//! What a new shop starts with: stores, products, stock and customers.

use std::path::Path;
use std::sync::Arc;

use runtime::core::store::Store as Rows;
use runtime::prelude::*;
use storefront_domain::{Customer, Product, Sample, Stock, Store};

use crate::rows::number;

/// Rows written at once: well below what one transaction of the app may take.
const AT_ONCE: usize = 2_000;

/// The seed of the bundled sample.
const BUNDLED: u64 = 42;

/// Everything that must be there before the first request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Who sells.
    pub stores: Vec<Store>,
    /// What is sold.
    pub products: Vec<Product>,
    /// What there is of it for reservations.
    pub stock: Vec<Stock>,
    /// Who buys.
    pub customers: Vec<Customer>,
}

impl Catalogue {
    /// That of the sample.
    #[must_use]
    pub fn of_sample(sample: &Sample) -> Self {
        let Sample { stores, products, stock, customers, .. } = sample.clone();
        Self { stores, products, stock, customers }
    }

    /// Reads it from a JSON file, or takes the bundled one: that of the sample.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(file: Option<&Path>) -> std::io::Result<Self> {
        match file {
            None => Ok(Self::of_sample(&Sample::month(BUNDLED))),
            Some(file) => serde_json::from_slice(&std::fs::read(file)?).map_err(std::io::Error::other),
        }
    }

    /// Writes it, unless there are stores already.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write_if_new(&self, rows: &Arc<dyn Rows>) -> Result<(), TaskError> {
        let there = rows.query_app("SELECT 1 FROM stores LIMIT 1", Vec::new()).await?;
        if there.is_empty() { self.write(rows).await } else { Ok(()) }
    }

    /// Writes it. A row whose number is known is left as it is, so this can be done again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self, rows: &Arc<dyn Rows>) -> Result<(), TaskError> {
        let mut inserts: Vec<(&'static str, Vec<SqlValue>)> = Vec::new();
        for product in &self.products {
            inserts.push((
                "INSERT INTO products (id, name, price_minor) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                vec![number(product.id.0), product.name.as_str().into(), product.price_minor.into()],
            ));
            for category in &product.categories {
                inserts.push((
                    "INSERT INTO product_categories (category, product) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                    vec![category.0.as_str().into(), number(product.id.0)],
                ));
            }
        }
        for Stock { product, free, held, sold } in &self.stock {
            inserts.push((
                "INSERT INTO stock (product, free, held, sold) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                vec![number(product.0), (*free).into(), (*held).into(), (*sold).into()],
            ));
        }
        for customer in &self.customers {
            inserts.push((
                "INSERT INTO customers (id, name, email) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                vec![number(customer.id.0), customer.name.as_str().into(), customer.email.as_str().into()],
            ));
        }
        // Last: a shop with stores has everything else.
        for store in &self.stores {
            inserts.push((
                "INSERT INTO stores (id, name, zone, currency, fee_bp) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                vec![
                    number(store.id.0),
                    store.name.as_str().into(),
                    store.zone.name().into(),
                    store.currency.code().into(),
                    i64::from(share(store)?).into(),
                ],
            ));
        }
        for some in inserts.chunks(AT_ONCE) {
            let some = some.to_vec();
            let write = AppWrite::new(move |tx| {
                some.iter().try_for_each(|(sql, values)| tx.execute(sql, values).map(|_| ()))
            });
            rows.write_app(write).await?;
        }
        Ok(())
    }
}

/// The store's share as the domain writes it.
fn share(store: &Store) -> Result<u16, TaskError> {
    let value = serde_json::to_value(store.fee).ok();
    value
        .and_then(|value| value.as_u64())
        .and_then(|share| u16::try_from(share).ok())
        .ok_or_else(|| TaskError::permanent(format!("store {} has no share", store.id)))
}
