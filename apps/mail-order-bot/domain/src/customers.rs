//! Who may order: mail addresses and domains, each belonging to a customer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::records::{FileProblem, RecordReader};

const FIELDS: [&str; 4] = ["match", "customer", "name", "language"];

/// A customer of the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The customer's number.
    pub id: String,
    /// The name that replies greet.
    pub name: String,
    /// The language replies are written in.
    pub language: Language,
}

/// Every address and domain that belongs to a customer. An address of its own wins over its domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Customers {
    matches: BTreeMap<String, Customer>,
}

impl Customers {
    /// Reads the customers file: `match;customer;name;language`, where `match` is an address (`ann@shop.example`) or a
    /// domain (`@shop.example`).
    ///
    /// # Errors
    /// Every mistake of the file, with line and column.
    pub fn parse(text: &str) -> Result<Self, Vec<FileProblem>> {
        let mut reader = RecordReader::new("customers");
        let mut matches = BTreeMap::new();
        for record in reader.read(text, FIELDS) {
            let [address, id, name, language] = record.fields;
            let key = address.0.to_lowercase();
            if !key.split_once('@').is_some_and(|(_, domain)| !domain.is_empty() && !domain.contains('@')) {
                reader.complain(address.1, format!("{:?} is no address and no @domain", address.0));
            }
            for (field, what) in [(id, "number"), (name, "name")] {
                if field.0.is_empty() {
                    reader.complain(field.1, format!("a customer needs a {what}"));
                }
            }
            let Some(known) = Language::from_code(language.0) else {
                reader.complain(language.1, format!("{:?} is no language (en, de, fr, es, it)", language.0));
                continue;
            };
            let customer = Customer { id: id.0.to_owned(), name: name.0.to_owned(), language: known };
            if matches.insert(key, customer).is_some() {
                reader.complain(address.1, format!("{} is listed twice", address.0));
            }
        }
        if reader.problems.is_empty() { Ok(Self { matches }) } else { Err(reader.problems) }
    }

    /// The customer a mail from `address` comes from.
    #[must_use]
    pub fn find(&self, address: &str) -> Option<&Customer> {
        let address = address.to_lowercase();
        let domain = &address[address.rfind('@')?..];
        self.matches.get(&address).or_else(|| self.matches.get(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_wins_over_its_domain() {
        let text = "match;customer;name;language\n@shop.example;C-1;Shop;en\nann@shop.example;C-2;Ann;de\n";
        let customers = Customers::parse(text).expect("good customers");
        let id = |address| customers.find(address).map(|customer| customer.id.as_str());
        assert_eq!(id("Ann@Shop.Example"), Some("C-2"));
        assert_eq!(id("bob@shop.example"), Some("C-1"));
        assert_eq!(id("bob@sub.shop.example"), None, "a domain does not speak for what lies below it");
        assert_eq!(id("no address"), None);
    }

    #[test]
    fn every_mistake_is_named_with_line_and_column() {
        let text = "match;customer;name;language\nann;C-1;Ann;de\n@x.example;;X;xx\n@x.example;C-1;X;en\n@X.example;C-2;X;en\n";
        let problems = Customers::parse(text).expect_err("customers full of mistakes");
        let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(2, 1), (3, 12), (3, 15), (5, 1)]);
    }
}
