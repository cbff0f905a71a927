//! Who calls an admin API that lets in nobody whom it does not know.

use std::sync::Arc;

use runtime::admin::LocalToken;
use runtime::config::{NoAppConfig, RuntimeConfig};
use runtime::core::clock::Clock;
use runtime::stores::SystemClock;

use crate::product;

/// A token of an admin, made as an operator makes the first one: with the store at hand.
pub(crate) async fn first_token(config: &RuntimeConfig<NoAppConfig>) -> String {
    let store = product::app(&Arc::default()).open_store(config).await.expect("the store opens");
    let token = LocalToken {
        principal: "bench".parse().expect("a name"),
        name: "bench".parse().expect("a name"),
        expires_at: None,
    };
    let text = token.make(&*store, &*store, SystemClock.now()).await.expect("a token");
    store.close().await.expect("closed");
    text.expose().to_owned()
}
