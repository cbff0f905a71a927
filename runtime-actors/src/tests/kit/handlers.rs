//! Handlers as closures.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_core::handler::{Context, Handler, HandlerResult};
use serde_json::Value;
use tokio::sync::Notify;

/// A handler that is a closure over the context.
pub(crate) struct FromFn<F>(F);

/// Wraps a closure.
pub(crate) fn from_fn<F, Fut>(run: F) -> FromFn<F>
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult<Vec<u8>>> + Send,
{
    FromFn(run)
}

/// A handler each of whose attempts ends when it is told to.
pub(crate) fn once_told(go: &Arc<Notify>) -> impl Handler + use<> {
    let go = go.clone();
    from_fn(move |_| {
        let go = go.clone();
        async move {
            go.notified().await;
            done()
        }
    })
}

/// What a handler answers that has nothing to say.
pub(crate) fn done() -> HandlerResult<Vec<u8>> {
    Ok(b"null".to_vec())
}

#[async_trait]
impl<F, Fut> Handler for FromFn<F>
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult<Vec<u8>>> + Send,
{
    async fn run(&self, ctx: Context, _payload: &[u8]) -> HandlerResult<Vec<u8>> {
        (self.0)(ctx).await
    }

    fn input_schema(&self) -> Value {
        Value::Bool(true)
    }

    fn output_schema(&self) -> Value {
        Value::Bool(true)
    }
}
