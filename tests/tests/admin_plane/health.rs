//! The standard health service follows the tree.

use runtime_admin::LIVENESS;
use runtime_tests::eventually_async;
use runtime_tests::ground::{APP, GroundFolder};
use tonic_health::ServingStatus;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_app_is_not_serving_until_it_is_well_again() {
    let world = World::start().await;
    let says = async |service: &str, wanted: ServingStatus| {
        eventually_async(&format!("{service:?} is {wanted}"), async || {
            (world.client.health(service).await.expect("an answer") == wanted).then_some(())
        })
        .await;
    };
    says(APP, ServingStatus::Serving).await;
    world.folder().raise(GroundFolder::UNHEALTHY).expect("a flag");
    says(APP, ServingStatus::NotServing).await;
    says("", ServingStatus::NotServing).await;
    says(LIVENESS, ServingStatus::Serving).await;
    let overview = world.client.overview().await.expect("an overview");
    assert_eq!(overview.what.health.expect("a health").reason, "the folder says so");

    world.folder().lower(GroundFolder::UNHEALTHY).expect("a flag");
    says(APP, ServingStatus::Serving).await;
    says("", ServingStatus::Serving).await;
    world.stop().await;
}
