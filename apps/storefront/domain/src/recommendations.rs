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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tea() -> Category {
        Category("tea".into())
    }

    /// Products 0 to 7; the odd ones are no tea.
    fn products() -> Vec<Product> {
        let category = |id| if id % 2 == 0 { tea() } else { Category("cups".into()) };
        let product = |id| Product {
            id: ProductId(id),
            name: format!("p{id}"),
            categories: vec![category(id)],
            price_minor: 100,
        };
        (0..8).map(product).collect()
    }

    fn rating(customer: u64, product: u64, stars: u8, second: i64) -> Rating {
        Rating {
            customer: CustomerId(customer),
            product: ProductId(product),
            stars: Stars::new(stars).unwrap(),
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    fn plain() -> RecommendationRules {
        RecommendationRules { shrinkage: 0, min_together: 1, limit: 10 }
    }

    #[test]
    fn scores_are_cosines_shrunk_by_how_few_rated_both() {
        // 0 and 2: dot 5·4 + 3·5 = 35, squares 34 and 41 -> 35/√1394 = 0.937425…
        let ratings = [rating(1, 0, 5, 0), rating(1, 2, 4, 0), rating(2, 0, 3, 0), rating(2, 2, 5, 0)];
        let model = CategoryModel::rebuild(tea(), &products(), &ratings);
        let entry = |rules| model.list(ProductId(0), &rules)[0];
        let expected = Recommendation { product: ProductId(2), score_ppm: 937_425, together: 2 };
        assert_eq!(entry(plain()), expected);
        assert_eq!(entry(RecommendationRules { shrinkage: 2, ..plain() }).score_ppm, 468_712);
        assert_eq!(model.list(ProductId(0), &RecommendationRules { min_together: 3, ..plain() }), vec![]);
    }

    #[test]
    fn equal_scores_stand_by_number_and_other_categories_stay_out() {
        let ratings: Vec<_> = [6, 4, 1, 0, 2].map(|product| rating(1, product, 4, 0)).to_vec();
        let model = CategoryModel::rebuild(tea(), &products(), &ratings);
        let list = model.list(ProductId(4), &RecommendationRules { limit: 2, ..plain() });
        assert_eq!(list.iter().map(|entry| entry.product.0).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(model.list(ProductId(1), &plain()), vec![]);
        assert!(list.iter().all(|entry| entry.score_ppm == 1_000_000));
    }

    #[test]
    fn the_newest_opinion_counts() {
        let mut model = CategoryModel::new(tea(), &products());
        assert_eq!(model.apply(&rating(1, 0, 5, 10)).len(), 1);
        assert_eq!(model.apply(&rating(1, 0, 1, 9)), BTreeSet::new(), "older");
        assert_eq!(model.apply(&rating(1, 0, 5, 10)), BTreeSet::new(), "taken before");
        assert_eq!(model.apply(&rating(1, 1, 5, 10)), BTreeSet::new(), "no tea");
        assert_eq!(model.apply(&rating(1, 2, 3, 11)).len(), 2);
        assert_eq!(
            model,
            CategoryModel::rebuild(tea(), &products(), &[rating(1, 2, 3, 11), rating(1, 0, 5, 10)])
        );
    }

    prop_compose! {
        fn any_rating()(customer in 0u64..6, product in 0u64..8, stars in 1u8..=5, second in 0i64..6) -> Rating {
            rating(customer, product, stars, second)
        }
    }

    fn bytes(model: &CategoryModel) -> String {
        serde_json::to_string(&(model, model.lists(&plain()))).unwrap()
    }

    proptest! {
        #[test]
        fn kept_up_in_any_order_equals_rebuilt(
            ratings in prop::collection::vec(any_rating(), 0..60),
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            shuffled in any::<u64>(),
        ) {
            let rebuilt = CategoryModel::rebuild(tea(), &products(), &ratings);
            let mut order = ratings.clone();
            if !ratings.is_empty() {
                order.extend(again.iter().map(|index| *index.get(&ratings)));
            }
            order.sort_by_key(|rating| {
                (rating.customer.0 * 31 + rating.product.0 * 17 + rating.at.as_second() as u64)
                    .wrapping_mul(shuffled | 1).rotate_left(17)
            });
            let mut kept_up = CategoryModel::new(tea(), &products());
            for rating in &order {
                let before = kept_up.lists(&plain());
                let touched = kept_up.apply(rating);
                let after = kept_up.lists(&plain());
                for product in (0..8).map(ProductId).filter(|product| !touched.contains(product)) {
                    prop_assert_eq!(before.get(&product), after.get(&product), "an untouched list changed");
                }
            }
            prop_assert_eq!(bytes(&kept_up), bytes(&rebuilt));
            prop_assert_eq!(&kept_up, &rebuilt);
            let read_back: CategoryModel = serde_json::from_str(&serde_json::to_string(&kept_up).unwrap()).unwrap();
            prop_assert_eq!(read_back, rebuilt);
        }

        #[test]
        fn scores_agree_with_the_formula_over_floats(ratings in prop::collection::vec(any_rating(), 0..60)) {
            let model = CategoryModel::rebuild(tea(), &products(), &ratings);
            let mut newest: BTreeMap<(u64, u64), (Timestamp, u64)> = BTreeMap::new();
            for rating in &ratings {
                let entry = newest.entry((rating.customer.0, rating.product.0)).or_insert((rating.at, 0));
                *entry = (*entry).max((rating.at, rating.stars.get()));
            }
            let stars = |customer, product| newest.get(&(customer, product)).map_or(0.0, |(_, stars)| *stars as f64);
            let dot = |left, right| (0..6).map(|who| stars(who, left) * stars(who, right)).sum::<f64>();
            for (product, list) in model.lists(&plain()) {
                for entry in list {
                    let (left, right) = (product.0, entry.product.0);
                    let cosine = dot(left, right) / (dot(left, left) * dot(right, right)).sqrt();
                    prop_assert!((cosine * 1e6 - entry.score_ppm as f64).abs() <= 1.001, "{} {:?}", cosine, entry);
                }
            }
        }
    }
}
