//! The measure, which opinion counts, and that keeping up and rebuilding agree to the byte.

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
