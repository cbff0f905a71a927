//! A month of the shop, lived through by the demo: every check of it is a check of this test.

use std::num::NonZeroU32;

use runtime::signals::Exit;
use runtime::{App, ConfigArgs};
use storefront::config::StorefrontConfig;
use storefront::demo::{Demo, DemoSize, demo};
use storefront::module::{APP, Storefront};

#[test]
fn every_obligation_of_a_small_month_is_met_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::<StorefrontConfig>::configured(APP).module(Storefront);
    // Time enough for a busy machine: the month must be posted before it is over.
    let month = Demo { size: DemoSize::Small, seed: 7, seconds: NonZeroU32::new(25) };
    assert_eq!(demo(&app, &ConfigArgs::default(), folder.path(), &month), Exit::Clean);
}
