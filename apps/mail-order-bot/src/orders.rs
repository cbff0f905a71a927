//! Orders as the store keeps them, for people who look.

use runtime::core::store::{SqlRow, SqlValue, StoreError};
use runtime::prelude::TaskError;

/// An order, without its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// Its number.
    pub number: i64,
    /// The customer's number.
    pub customer: String,
    /// The customer's name.
    pub customer_name: String,
    /// Number of its lines.
    pub lines: i64,
    /// What it costs in minor units.
    pub total_minor: i64,
    /// The currency's code.
    pub currency: String,
    /// The task whose mail it came from.
    pub task: String,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// The product.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How many units.
    pub quantity: i64,
    /// The unit.
    pub unit: String,
    /// What the line costs in minor units.
    pub total_minor: i64,
}

const ORDERS: &str = "SELECT number, customer, customer_name,
        (SELECT COUNT(*) FROM order_lines l WHERE l.number = o.number), total_minor, currency, task
    FROM orders o WHERE ?1 IS NULL OR number = ?1 ORDER BY number";

const LINES: &str =
    "SELECT sku, name, quantity, unit, total_minor FROM order_lines WHERE number = ?1 ORDER BY position";

/// How rows of the app are read: through the running store, or from its file.
pub trait Query: AsyncFn(&'static str, Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError> {}

impl<Q: AsyncFn(&'static str, Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError>> Query for Q {}

/// All orders, or the one of this number.
///
/// # Errors
/// What the store said.
pub async fn orders(query: impl Query, number: Option<i64>) -> Result<Vec<StoredOrder>, TaskError> {
    let rows = query(ORDERS, vec![SqlValue::from(number)]).await?;
    rows.iter().map(order).collect()
}

/// The lines of an order.
///
/// # Errors
/// What the store said.
pub async fn lines(query: impl Query, number: i64) -> Result<Vec<StoredLine>, TaskError> {
    let rows = query(LINES, vec![number.into()]).await?;
    rows.iter().map(line).collect()
}

fn order(row: &SqlRow) -> Result<StoredOrder, TaskError> {
    Ok(StoredOrder {
        number: row.integer(0)?,
        customer: row.text(1)?.to_owned(),
        customer_name: row.text(2)?.to_owned(),
        lines: row.integer(3)?,
        total_minor: row.integer(4)?,
        currency: row.text(5)?.to_owned(),
        task: row.text(6)?.to_owned(),
    })
}

fn line(row: &SqlRow) -> Result<StoredLine, TaskError> {
    Ok(StoredLine {
        sku: row.text(0)?.to_owned(),
        name: row.text(1)?.to_owned(),
        quantity: row.integer(2)?,
        unit: row.text(3)?.to_owned(),
        total_minor: row.integer(4)?,
    })
}

/// An amount as people read it: `12.50 EUR`.
pub fn amount(minor: i64, currency: &str) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02} {currency}", minor.abs() / 100, minor.abs() % 100)
}

/// Orders as a table.
pub fn orders_table(orders: &[StoredOrder]) -> String {
    let rows = orders.iter().map(|order| {
        vec![
            order.number.to_string(),
            order.customer.clone(),
            order.customer_name.clone(),
            order.lines.to_string(),
            amount(order.total_minor, &order.currency),
        ]
    });
    table(&["ORDER", "CUSTOMER", "NAME", "LINES", "TOTAL"], rows)
}

/// Lines of an order as a table.
pub fn lines_table(lines: &[StoredLine], currency: &str) -> String {
    let rows = lines.iter().map(|line| {
        vec![
            line.sku.clone(),
            line.name.clone(),
            format!("{} {}", line.quantity, line.unit),
            amount(line.total_minor, currency),
        ]
    });
    table(&["SKU", "NAME", "QUANTITY", "TOTAL"], rows)
}

/// Columns as wide as they need to be, two spaces between them.
pub fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let text = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(|line| text(line) + "\n").collect()
}
