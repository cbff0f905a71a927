//! `recommend`: who liked this liked that, a category at a time.
//!
//! A category's model is kept with how far it has come in the ratings. A run takes in what came since and makes the
//! lists again that this touched; a rebuild throws model and lists away, and the same run takes in everything. Ratings
//! are counted in the order in which they were committed, so none can slip in behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runtime::core::store::{SqlRow, Store as Rows};
use runtime::prelude::*;
use storefront_domain::{
    Category, CategoryModel, CustomerId, Product, ProductId, Rating, Recommendation, RecommendationRules,
    Stars,
};

use crate::obligations::Obligations;
use crate::rows::{Columns, number, unreadable};

/// Ratings taken in at once.
const PAGE: i64 = 10_000;

/// A category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recommend {
    /// Its name.
    pub category: String,
}

impl TaskInput for Recommend {
    const KEY: &'static str = "category";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("category:{}", self.category))
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Scope::new(format!("category={}", self.category)).map(Some)
    }

    /// Two runs of one category would take in the same ratings.
    fn ordering_key(&self) -> Result<Option<OrderingKey>, InvalidName> {
        OrderingKey::new(format!("category:{}", self.category)).map(Some)
    }
}

/// What was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recommended {
    /// Ratings that were new.
    pub ratings: u64,
    /// Lists that were made again.
    pub lists: u64,
}

/// A model, and how far it has come.
struct Known {
    up_to: i64,
    model: CategoryModel,
}

/// Takes in what is new in a category.
///
/// # Errors
/// A retry when the store fails.
pub async fn recommend(ctx: Context, ask: Recommend) -> HandlerResult<Recommended> {
    let category = Category(ask.category);
    let Known { up_to: from, mut model } = known(ctx.store(), &category).await?;
    let (mut up_to, mut ratings, mut touched) = (from, 0, BTreeSet::new());
    loop {
        let sql = "SELECT seq, customer, product, stars, at FROM ratings
                   WHERE seq > ?1 AND product IN (SELECT product FROM product_categories WHERE category = ?2)
                   ORDER BY seq LIMIT ?3";
        let asked = vec![up_to.into(), category.0.as_str().into(), PAGE.into()];
        let page = ctx.store().query_app(sql, asked).await?;
        for row in &page {
            up_to = row.integer(0)?;
            touched.append(&mut model.apply(&rating_row(row)?));
        }
        ratings += page.len() as u64;
        if page.len() < PAGE as usize {
            break;
        }
    }
    let rules = RecommendationRules::default();
    let lists: Vec<_> = touched.into_iter().map(|product| (product, model.list(product, &rules))).collect();
    let done = Recommended { ratings, lists: lists.len() as u64 };
    if ratings > 0 {
        ctx.write(write_lists(category, from, up_to, &model, lists)?);
    }
    Ok(done)
}

async fn known(rows: &Arc<dyn Rows>, category: &Category) -> Result<Known, TaskError> {
    let of = vec![SqlValue::from(category.0.as_str())];
    let found = rows
        .query_app("SELECT up_to, model FROM recommendation_model WHERE category = ?1", of.clone())
        .await?;
    if let Some(row) = found.first() {
        let model = serde_json::from_slice(row.blob(1)?).map_err(unreadable)?;
        return Ok(Known { up_to: row.integer(0)?, model });
    }
    let mut products = Vec::new();
    for row in rows.query_app("SELECT product FROM product_categories WHERE category = ?1", of).await? {
        let categories = vec![category.clone()];
        products.push(Product {
            id: ProductId(row.number(0)?),
            name: String::new(),
            categories,
            price_minor: 0,
        });
    }
    Ok(Known { up_to: 0, model: CategoryModel::new(category.clone(), &products) })
}

/// A row of ratings: number, customer, product, stars, moment.
pub(crate) fn rating_row(row: &SqlRow) -> Result<Rating, TaskError> {
    let stars = u8::try_from(row.integer(3)?).map_err(unreadable)?;
    Ok(Rating {
        customer: CustomerId(row.number(1)?),
        product: ProductId(row.number(2)?),
        stars: Stars::new(stars).map_err(unreadable)?,
        at: row.moment(4)?,
    })
}

fn write_lists(
    category: Category,
    from: i64,
    up_to: i64,
    model: &CategoryModel,
    lists: Vec<(ProductId, Vec<Recommendation>)>,
) -> Result<AppWrite, TaskError> {
    let model = serde_json::to_vec(model).map_err(unreadable)?;
    Ok(AppWrite::new(move |tx| {
        let category = SqlValue::from(category.0.as_str());
        let sql = "SELECT up_to FROM recommendation_model WHERE category = ?1";
        let stands =
            tx.query(sql, std::slice::from_ref(&category))?.first().map_or(Ok(0), |row| row.integer(0))?;
        if stands != from {
            return Err(TaskError::new(
                ErrorCode::AppWriteFailed,
                "the lists were made by somebody else meanwhile",
            ));
        }
        tx.execute(
            "INSERT OR REPLACE INTO recommendation_model (category, up_to, model) VALUES (?1, ?2, ?3)",
            &[category.clone(), up_to.into(), model.as_slice().into()],
        )?;
        for (product, list) in &lists {
            tx.execute(
                "DELETE FROM recommendation WHERE category = ?1 AND product = ?2",
                &[category.clone(), number(product.0)],
            )?;
            for (position, entry) in (1_i64..).zip(list) {
                tx.execute(
                    "INSERT INTO recommendation (category, product, position, other, score_ppm, together)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    &[
                        category.clone(),
                        number(product.0),
                        position.into(),
                        number(entry.product.0),
                        number(entry.score_ppm),
                        number(entry.together),
                    ],
                )?;
            }
        }
        Ok(())
    }))
}

/// Makes the lists of a category again.
pub struct RecommendAgain {
    /// Makes the tasks.
    pub obligations: Arc<Obligations>,
}

#[async_trait]
impl Rebuild for RecommendAgain {
    async fn plan(&self, ask: RebuildAsk) -> Result<RebuildPlan, TaskError> {
        let invalid = |text: String| TaskError::new(ErrorCode::InvalidArgument, text);
        if ask.since.is_some() || ask.until.is_some() {
            return Err(invalid(
                "a category is made again as a whole: without --since and --until".to_owned(),
            ));
        }
        let category = ask.scope.as_str().strip_prefix("category=");
        let category = category
            .ok_or_else(|| invalid(format!("the scope is category= and a name, not {}", ask.scope)))?;
        let category = Category(category.to_owned());
        let tasks = vec![self.obligations.recommend_now(&category)?];
        let discard = AppWrite::new(move |tx| {
            for table in ["recommendation", "recommendation_model"] {
                tx.execute(
                    &format!("DELETE FROM {table} WHERE category = ?1"),
                    &[category.0.as_str().into()],
                )?;
            }
            Ok(())
        });
        Ok(RebuildPlan { discard: vec![discard], tasks })
    }
}
