//! The one cache of descriptors.

use std::sync::Arc;

use crate::services::templates::TemplateCache;
use crate::tests::kit::{done, from_fn, worker};

#[test]
fn what_was_registered_is_served_to_everybody_until_it_is_replaced() {
    let cache = Arc::new(TemplateCache::default());
    assert!(cache.all().is_empty());
    let named = |name| worker(name, 1, from_fn(async |_| done())).descriptor;
    cache.refresh([named("b"), named("a")]);
    let second = cache.clone();
    assert_eq!(second.all().keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(second.get(&"a".parse().unwrap()).is_some());
    let before = second.all();
    cache.refresh([named("c")]);
    assert!(second.get(&"a".parse().unwrap()).is_none());
    assert_eq!(before.len(), 2, "whoever looks has what he looked at");
}
