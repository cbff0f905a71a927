//! Reads public data sets from their files into rows of the truth. The files are fetched by `cargo xtask data` and are
//! no part of the product; what a line means is said in the domain crate.
//!
//! | set | rows | reads |
//! | --- | --- | --- |
//! | MovieLens 100k | 100,000 ratings, 1,682 films | [`MovieLens::read`] |
//! | CDNOW | 69,659 purchases over 18 months | [`read_cdnow`] |
//! | The Complete Journey | 1,469,307 lines of receipts of 457 stores in 2017 | `Journey::open`, a batch at a time; with the feature `receipts` |

mod command;
mod import;
#[cfg(feature = "receipts")]
mod journey;
mod text;

use std::io;
use std::path::PathBuf;

use storefront_domain::DataError;
use thiserror::Error;

pub use command::{ImportCommand, import, store};
pub use import::{BATCH, ImportError, Imported, Importer};
#[cfg(feature = "receipts")]
pub use journey::Journey;
pub use text::{MovieLens, read_cdnow};

/// Why a data set cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The system refused.
    #[error("read {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A line that is not what it should be.
    #[error("{}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, and what is wrong with it.
        source: DataError,
    },
    /// A file that is not Parquet, or damaged.
    #[cfg(feature = "receipts")]
    #[error("{}", path.display())]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// What its reader said.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file with other columns.
    #[cfg(feature = "receipts")]
    #[error("{}: there is no column {column} of type {wanted}", path.display())]
    Column {
        /// Which file.
        path: PathBuf,
        /// Which column was looked for.
        column: &'static str,
        /// What it should hold.
        wanted: String,
    },
    /// A row without a value where each must have one.
    #[cfg(feature = "receipts")]
    #[error("{}: a row after line {line} has no {column}", path.display())]
    Nothing {
        /// Which file.
        path: PathBuf,
        /// The last line before the batch, counted from 1.
        line: u64,
        /// Which column.
        column: &'static str,
    },
}
