//! The shop: what it sells, and to whom.

use crate::catalogue::Catalogue;
use crate::customers::Customers;
use crate::records::ShopError;

/// Catalogue and customers together: all that is needed to judge a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// What it sells.
    pub catalogue: Catalogue,
    /// To whom.
    pub customers: Customers,
}

impl Shop {
    /// Reads both files.
    ///
    /// # Errors
    /// Every mistake of both files at once, with line and column.
    pub fn parse(catalogue: &str, customers: &str) -> Result<Self, ShopError> {
        match (Catalogue::parse(catalogue), Customers::parse(customers)) {
            (Ok(catalogue), Ok(customers)) => Ok(Self { catalogue, customers }),
            (catalogue, customers) => {
                let problems = catalogue.err().into_iter().chain(customers.err()).flatten().collect();
                Err(ShopError { problems })
            }
        }
    }
}
