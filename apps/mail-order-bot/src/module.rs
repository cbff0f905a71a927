//! What the app consists of: two workers, a source for each mailbox, a schema.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mail_order_domain::Shop;
use runtime::prelude::*;

use crate::config::BotConfig;
use crate::corpus::{bundled_catalogue, bundled_customers};
use crate::extract::Extractor;
use crate::handlers::orders::OrderDesk;
use crate::handlers::replies;
use crate::post::PostOffice;
use crate::schema::MIGRATIONS;

/// The app's name, and that of its place in the tree.
pub const APP: &str = "mail-order-bot";

/// The worker that turns mails into orders.
pub const ORDERS: &str = "orders";

/// The worker that sends replies.
pub const REPLIES: &str = "replies";

/// The mail order bot.
pub struct MailOrders;

impl Module<BotConfig> for MailOrders {
    fn register(&self, config: &BotConfig, setup: &mut Setup) -> Result<(), SetupError> {
        setup.migrations(MIGRATIONS);
        let desk = Arc::new(OrderDesk {
            shop: shop(config)?,
            extractor: Extractor::current().map_err(failed("finding the program that reads attachments"))?,
            replies: setup.route(REPLIES)?,
        });
        setup.worker(
            Worker::named(ORDERS)
                .responsibility(
                    "turns each order mail into one order, one answer or one question to a person",
                )
                .serves("customers who order by mail")
                .writes(Home::Truth("orders"))
                .handler(move |ctx, mail| desk.clone().take(ctx, mail))
                .retry(RetryPolicy::default())
                .effect("create-order", EffectClass::Transactional)
                .entry_point(EntryPoint::per_scope("account"))
                .slots(slots(4))
                .timeout(Duration::from_secs(60)),
        );
        let post = Arc::new(PostOffice::open(&config.replies)?);
        let server = post.dependency();
        let replies = Worker::named(REPLIES)
            .responsibility("sends each customer the one reply to his mail")
            .serves("customers who wait for an answer")
            .writes(Home::Outside("the customer's mailbox"))
            .handler(move |ctx, reply| replies::send(post.clone(), ctx, reply))
            .retry(RetryPolicy::default())
            .effect("send", EffectClass::Unkeyed)
            .entry_point(EntryPoint::per_task())
            .slots(slots(2))
            .timeout(Duration::from_secs(60));
        setup.worker(match server {
            Some(server) => replies.depends_on(server.as_str()),
            None => replies,
        });
        let route = setup.route(ORDERS)?;
        for (name, mailbox) in &config.mailboxes {
            let (route, mailbox) = (route.clone(), mailbox.clone());
            setup.source(name, move || mailbox.build(route.clone()))?;
        }
        Ok(())
    }
}

fn slots(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

fn shop(config: &BotConfig) -> Result<Shop, SetupError> {
    let catalogue = read(config.catalogue.as_deref(), bundled_catalogue())?;
    let customers = read(config.customers.as_deref(), bundled_customers())?;
    Shop::parse(&catalogue, &customers).map_err(|error| SetupError::Module(error.to_string()))
}

fn read(file: Option<&Path>, bundled: &str) -> Result<String, SetupError> {
    match file {
        None => Ok(bundled.to_owned()),
        Some(path) => std::fs::read_to_string(path).map_err(failed(format!("reading {}", path.display()))),
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> SetupError {
    let doing = doing.into();
    move |error| SetupError::Failed { doing, cause: Box::new(error) }
}
