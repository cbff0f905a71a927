//! `grpc.health.v1` follows the tree.

use runtime_admin::{LIVENESS, READINESS};
use runtime_core::control::CommandError;
use runtime_core::error::ErrorCode;
use runtime_core::node::Health;
use tonic::transport::Endpoint;
use tonic_health::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::control::Mood;
use crate::world::{Served, setup};

/// What a service says, change after change.
struct Watch(tonic::Streaming<HealthCheckResponse>);

impl Watch {
    async fn of(served: &Served, service: &str) -> Self {
        let channel = Endpoint::from_shared(served.endpoint()).unwrap().connect().await.unwrap();
        let request = HealthCheckRequest { service: service.into() };
        Self(HealthClient::new(channel).watch(request).await.unwrap().into_inner())
    }

    /// Waits until it says `wanted`.
    async fn until(&mut self, wanted: ServingStatus) {
        loop {
            let said = self.0.message().await.unwrap().expect("the stream goes on").status();
            if said as i32 == wanted as i32 {
                return;
            }
        }
    }
}

#[tokio::test]
async fn each_app_and_the_whole_say_how_they_are() {
    let served = setup().await;
    assert_eq!(served.client.health("").await.unwrap(), Serving);
    assert_eq!(served.client.health(LIVENESS).await.unwrap(), Serving);
    assert_eq!(served.client.health(READINESS).await.unwrap(), Serving);
    assert_eq!(served.client.health("shop").await.unwrap(), Serving);
    assert_eq!(served.client.health("books").await.unwrap(), NotServing);
    assert!(served.client.health("unknown").await.is_err());
}

#[tokio::test]
async fn health_flips_with_the_tree_and_back() {
    let served = setup().await;
    let mut whole = Watch::of(&served, "").await;
    let mut shop = Watch::of(&served, "shop").await;
    whole.until(Serving).await;
    shop.until(Serving).await;
    served.control.change(|world| {
        world.overview.health = Health::Unhealthy("the store is gone".into());
        world.overview.apps[0].1 = Health::Unhealthy("no progress".into());
    });
    whole.until(NotServing).await;
    shop.until(NotServing).await;
    assert_eq!(served.client.health(READINESS).await.unwrap(), NotServing);
    assert_eq!(served.client.health(LIVENESS).await.unwrap(), Serving);
    served.control.change(|world| {
        world.overview.health = Health::Healthy;
        world.overview.apps[0].1 = Health::Healthy;
    });
    whole.until(Serving).await;
    shop.until(Serving).await;
}

#[tokio::test]
async fn a_tree_that_cannot_answer_does_not_read_as_alive() {
    let served = setup().await;
    let mut alive = Watch::of(&served, LIVENESS).await;
    alive.until(Serving).await;
    let refusal = CommandError::new(ErrorCode::NoAnswer, "the commands node is restarting");
    served.control.change(|world| world.mood = Mood::Refusing(refusal));
    alive.until(NotServing).await;
    assert_eq!(served.client.health("shop").await.unwrap(), NotServing);
}

#[tokio::test]
async fn a_stopping_runtime_lives_but_serves_nothing() {
    let served = setup().await;
    let mut whole = Watch::of(&served, "").await;
    served.control.change(|world| world.overview.stopping = true);
    whole.until(NotServing).await;
    assert_eq!(served.client.health(LIVENESS).await.unwrap(), Serving);
}

#[tokio::test]
async fn a_closed_door_lives_but_serves_nothing() {
    let served = setup().await;
    let mut shop = Watch::of(&served, "shop").await;
    shop.until(Serving).await;
    let refusal = CommandError::new(ErrorCode::ShuttingDown, "no more commands");
    served.control.change(|world| world.mood = Mood::Refusing(refusal));
    shop.until(NotServing).await;
    assert_eq!(served.client.health(LIVENESS).await.unwrap(), Serving);
    assert_eq!(served.client.health("").await.unwrap(), NotServing);
}

#[tokio::test]
async fn a_stop_ends_open_streams_within_its_grace() {
    let mut config = crate::world::config();
    config.stop_grace = std::time::Duration::from_millis(50);
    let served = crate::world::setup_with(config, crate::control::InMemoryControl::new()).await;
    let mut whole = Watch::of(&served, "").await;
    whole.until(Serving).await;
    served.stop.send(()).unwrap();
    whole.until(NotServing).await;
    served.ended.await.unwrap().unwrap();
    assert!(!matches!(whole.0.message().await, Ok(Some(_))));
    assert!(runtime_admin::AdminClient::connect(&served.address.to_string()).await.is_err());
}
