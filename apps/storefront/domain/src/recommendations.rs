//! Who liked this also liked that: item to item, one category at a time.
//!
//! The measure is the cosine of two products' stars over the customers who rated both, shrunk towards nothing when few
//! did: `score = cosine × together / (together + shrinkage)`. All of it is whole numbers. Sums are exact, so they do
//! not depend on the order in which ratings came; the two roundings (the root, the quotient) go down and happen only
//! when a list is read. That is why a model kept up rating by rating and one rebuilt from all of them are equal, and
//! so are the bytes they serialise to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::truth::{Category, CustomerId, Product, ProductId, Rating, Stars};

/// How lists are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecommendationRules {
    /// With so many common customers a score is half its cosine. Guards against two products that one person liked.
    pub shrinkage: u32,
    /// Pairs with fewer common customers are not listed.
    pub min_together: u32,
    /// The longest list.
    pub limit: usize,
}

impl Default for RecommendationRules {
    fn default() -> Self {
        Self { shrinkage: 10, min_together: 2, limit: 10 }
    }
}

/// One entry of a product's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendation {
    /// What to show.
    pub product: ProductId,
    /// How alike, in millionths; 1 to 1,000,000.
    pub score_ppm: u64,
    /// How many customers rated both.
    pub together: u64,
}

/// What two products have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Common {
    /// Sum over common customers of the product of their stars.
    dot: u64,
    /// The number of common customers.
    together: u64,
}

/// A rating that counts: the newest of a customer for a product, of equally new ones the one with more stars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Opinion {
    at: Timestamp,
    stars: Stars,
}

/// The sums of one category. Serialises as its opinions; the sums are made again from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct CategoryModel {
    category: Category,
    products: BTreeSet<ProductId>,
    opinions: BTreeMap<CustomerId, BTreeMap<ProductId, Opinion>>,
    /// Sum of the squares of a product's stars.
    squares: BTreeMap<ProductId, u64>,
    /// What each product has in common with each other one. Invariant: symmetric, never of a product with itself.
    common: BTreeMap<ProductId, BTreeMap<ProductId, Common>>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    category: Category,
    products: BTreeSet<ProductId>,
    opinions: BTreeMap<CustomerId, BTreeMap<ProductId, Opinion>>,
}

impl CategoryModel {
    /// The model of `category` before anybody rated anything. Of `products` it takes those in the category.
    #[must_use]
    pub fn new<'a>(category: Category, products: impl IntoIterator<Item = &'a Product>) -> Self {
        let inside = products.into_iter().filter(|product| product.categories.contains(&category));
        let products = inside.map(|product| product.id).collect();
        Self::of_kept(category, products, BTreeMap::new())
    }

    /// The model of `category` from all its truth at once. The order of the ratings does not matter, nor does one that
    /// comes twice; ratings of other categories' products are passed over.
    #[must_use]
    pub fn rebuild<'a>(
        category: Category,
        products: impl IntoIterator<Item = &'a Product>,
        ratings: impl IntoIterator<Item = &'a Rating>,
    ) -> Self {
        let mut model = Self::new(category, products);
        for rating in ratings.into_iter().filter(|rating| model.products.contains(&rating.product)) {
            let opinion = Opinion { at: rating.at, stars: rating.stars };
            let newest = model.opinions.entry(rating.customer).or_default().entry(rating.product);
            newest.and_modify(|known| *known = opinion.max(*known)).or_insert(opinion);
        }
        Self::of_kept(model.category, model.products, model.opinions)
    }

    /// Takes one rating in. Answers the products whose lists may have changed: none when the rating is of another
    /// category, older than what is known, or was taken before.
    pub fn apply(&mut self, rating: &Rating) -> BTreeSet<ProductId> {
        let Rating { customer, product, stars, at } = *rating;
        let opinion = Opinion { at, stars };
        if !self.products.contains(&product) {
            return BTreeSet::new();
        }
        let opinions = self.opinions.entry(customer).or_default();
        let known = opinions.get(&product).copied();
        if known.is_some_and(|known| known >= opinion) {
            return BTreeSet::new();
        }
        opinions.insert(product, opinion);
        let old = known.map_or(0, |known| known.stars.get());
        let square = self.squares.entry(product).or_default();
        *square = *square - old * old + stars.get() * stars.get();
        for (other, theirs) in opinions.iter().filter(|(other, _)| **other != product) {
            for (left, right) in [(product, *other), (*other, product)] {
                let common = self.common.entry(left).or_default().entry(right).or_default();
                common.dot = common.dot - old * theirs.stars.get() + stars.get() * theirs.stars.get();
                common.together += u64::from(known.is_none());
            }
        }
        let touched = self.common.get(&product).into_iter().flat_map(BTreeMap::keys);
        touched.copied().chain([product]).collect()
    }

    /// Which category this is.
    #[must_use]
    pub fn category(&self) -> &Category {
        &self.category
    }

    /// A product's list, best first; equal scores stand in the order of their numbers.
    #[must_use]
    pub fn list(&self, product: ProductId, rules: &RecommendationRules) -> Vec<Recommendation> {
        let others = self.common.get(&product).into_iter().flatten();
        let enough = others.filter(|(_, common)| common.together >= u64::from(rules.min_together));
        let mut list: Vec<_> = enough
            .map(|(other, common)| Recommendation {
                product: *other,
                score_ppm: self.score(product, *other, *common, rules.shrinkage),
                together: common.together,
            })
            .filter(|entry| entry.score_ppm > 0)
            .collect();
        list.sort_by_key(|entry| (std::cmp::Reverse(entry.score_ppm), entry.product));
        list.truncate(rules.limit);
        list
    }

    /// Every product's list; products without one are left out.
    #[must_use]
    pub fn lists(&self, rules: &RecommendationRules) -> BTreeMap<ProductId, Vec<Recommendation>> {
        let all = self.common.keys().map(|product| (*product, self.list(*product, rules)));
        all.filter(|(_, list)| !list.is_empty()).collect()
    }

    /// In millionths, rounded down. By Cauchy and Schwarz `dot² ≤ left × right`, so the root is at most a million.
    fn score(&self, left: ProductId, right: ProductId, common: Common, shrinkage: u32) -> u64 {
        let norm = u128::from(self.squares[&left]) * u128::from(self.squares[&right]);
        let dot = u128::from(common.dot);
        let cosine = (dot * dot * 1_000_000_000_000 / norm).isqrt();
        let together = u128::from(common.together);
        let score = cosine * together / (together + u128::from(shrinkage));
        u64::try_from(score).expect("a cosine is at most a million millionths")
    }

    fn of_kept(
        category: Category,
        products: BTreeSet<ProductId>,
        opinions: BTreeMap<CustomerId, BTreeMap<ProductId, Opinion>>,
    ) -> Self {
        let mut squares: BTreeMap<ProductId, u64> = BTreeMap::new();
        let mut common: BTreeMap<ProductId, BTreeMap<ProductId, Common>> = BTreeMap::new();
        for theirs in opinions.values() {
            for (left, one) in theirs {
                *squares.entry(*left).or_default() += one.stars.get() * one.stars.get();
                for (right, two) in theirs.iter().filter(|(right, _)| *right != left) {
                    let common = common.entry(*left).or_default().entry(*right).or_default();
                    common.dot += one.stars.get() * two.stars.get();
                    common.together += 1;
                }
            }
        }
        Self { category, products, opinions, squares, common }
    }
}

impl From<Kept> for CategoryModel {
    fn from(kept: Kept) -> Self {
        Self::of_kept(kept.category, kept.products, kept.opinions)
    }
}

impl From<CategoryModel> for Kept {
    fn from(model: CategoryModel) -> Self {
        Self { category: model.category, products: model.products, opinions: model.opinions }
    }
}

#[cfg(test)]
mod tests;
