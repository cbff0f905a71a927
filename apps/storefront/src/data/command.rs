//! `storefront import …`: a public data set becomes the shop's truth. It opens the store itself, so no instance may run;
//! the tasks that it leaves are done by the next one.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use runtime::signals::Exit;
use runtime::{App, ConfigArgs, Setup, SetupError, StartError};
use storefront_domain::{BasisPoints, Currency, Store, StoreId, Zone, ZoneError};

#[cfg(feature = "receipts")]
use super::Journey;
use super::import::{BATCH, ImportError, Imported, Importer};
use super::{MovieLens, read_cdnow};
use crate::config::StorefrontConfig;
use crate::obligations::Obligations;

/// The clock of the stores in the sets, both American; neither says which.
const ZONE: &str = "America/New_York";

/// The platform's share of what they sell: of no set, ours.
const FEE: u16 = 250;

/// The price of every film: the set has none.
const PRICE_MINOR: u32 = 999;

/// Which set.
#[derive(Debug, Clone, Subcommand)]
pub enum ImportCommand {
    /// MovieLens 100k: films are products, ratings are ratings.
    Movielens {
        /// With `ml-100k.inter` and `ml-100k.item`.
        folder: PathBuf,
    },
    /// CDNOW: dated purchases, as sales of one store.
    Cdnow {
        /// With `CDNOW_master.txt`.
        folder: PathBuf,
        /// The store.
        #[arg(long, default_value_t = 1)]
        store: u64,
    },
    /// The Complete Journey: lines of receipts, as sales of their stores.
    #[cfg(feature = "receipts")]
    CompleteJourney {
        /// With `transactions.parquet`.
        folder: PathBuf,
    },
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("the import did not come to its end; run it again once the cause is gone")]
    Import(#[from] ImportError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// Imports a set, and prints what it found.
pub fn import(app: &App<StorefrontConfig>, args: &ConfigArgs, command: &ImportCommand) -> Exit {
    let config = match app.load(args) {
        Ok(loaded) => loaded.value,
        Err(exit) => return exit,
    };
    let Some(runtime) = runtime::control_runtime() else { return Exit::StartUp };
    let imported = runtime.block_on(async {
        let rows = app.open_store(&config).await?;
        let obligations = Obligations::new(&config.app, &Setup::new(app.name()?))?;
        let imported =
            run(Importer { rows: rows.clone(), obligations: Arc::new(obligations) }, command).await;
        rows.close().await.map_err(ImportError::Store)?;
        imported
    });
    match imported {
        Ok(Imported { rows, tasks, known_tasks }) => {
            println!("{rows} rows; {tasks} new tasks, {known_tasks} known ones");
            Exit::Clean
        }
        Err(error) => Exit::StartUp.because(&error),
    }
}

async fn run(importer: Importer, command: &ImportCommand) -> Result<Imported, CommandError> {
    let zone = Zone::named(ZONE)?;
    let open = |id: StoreId| store(id, &zone);
    Ok(match command {
        ImportCommand::Movielens { folder } => {
            let MovieLens { films, ratings } =
                MovieLens::read(folder, PRICE_MINOR).map_err(ImportError::Load)?;
            importer.ratings(&films, &ratings).await?
        }
        ImportCommand::Cdnow { folder, store } => {
            let sales = read_cdnow(folder, StoreId(*store), &zone).map_err(ImportError::Load)?;
            importer.sales(sales.chunks(BATCH).map(|batch| Ok(batch.to_vec())), open).await?
        }
        #[cfg(feature = "receipts")]
        ImportCommand::CompleteJourney { folder } => {
            importer.sales(Journey::open(folder, BATCH).map_err(ImportError::Load)?, open).await?
        }
    })
}

/// A store of a set. The sets know their stores by number alone.
///
/// # Panics
/// Never: the share is one.
#[must_use]
pub fn store(id: StoreId, zone: &Zone) -> Store {
    let fee = BasisPoints::new(FEE).expect("less than the whole");
    Store { id, name: format!("Store {id}"), zone: zone.clone(), currency: Currency::Usd, fee }
}
