//! The sets that are text: small enough to be read whole.

use std::fs;
use std::path::Path;

use storefront_domain::{
    DataError, Product, Rating, Sale, StoreId, Zone, parse_cdnow, parse_films, parse_ratings,
};

use super::LoadError;

/// What people thought of films.
#[derive(Debug, Clone)]
pub struct MovieLens {
    /// Each opinion once, in the order of the file.
    pub ratings: Vec<Rating>,
    /// The films; their genres are the categories.
    pub films: Vec<Product>,
}

impl MovieLens {
    /// Reads `ml-100k.inter` and `ml-100k.item` of a folder. The data has no prices: each film gets this one.
    ///
    /// # Errors
    /// When a file cannot be read, at its first wrong line.
    pub fn read(folder: &Path, price_minor: u32) -> Result<Self, LoadError> {
        Ok(Self {
            ratings: read(&folder.join("ml-100k.inter"), parse_ratings)?,
            films: read(&folder.join("ml-100k.item"), |text| parse_films(text, price_minor))?,
        })
    }
}

/// Reads `CDNOW_master.txt` of a folder as sales of one store.
///
/// # Errors
/// When the file cannot be read, at its first wrong line.
pub fn read_cdnow(folder: &Path, store: StoreId, zone: &Zone) -> Result<Vec<Sale>, LoadError> {
    read(&folder.join("CDNOW_master.txt"), |text| parse_cdnow(text, store, zone))
}

fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, DataError>) -> Result<T, LoadError> {
    let text = fs::read_to_string(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
    parse(&text).map_err(|source| LoadError::Line { path: path.to_owned(), source })
}
