//! The app's own tables, beside the platform's in the same file.

use runtime::prelude::AppMigration;

/// The app's schema, oldest step first.
pub(crate) const MIGRATIONS: &[AppMigration] = &[AppMigration {
    name: "mails and orders",
    sql: "
        -- Raw mails, kept once by the hash of their bytes.
        CREATE TABLE mail_raw (
            hash TEXT PRIMARY KEY,
            bytes BLOB NOT NULL,
            received_at INTEGER NOT NULL
        ) WITHOUT ROWID;

        -- The second key of a mail: what it calls itself. One Message-ID stands for one content.
        CREATE TABLE mail_identity (
            message_id TEXT PRIMARY KEY,
            hash TEXT NOT NULL,
            task TEXT NOT NULL
        ) WITHOUT ROWID;

        CREATE TABLE orders (
            number INTEGER PRIMARY KEY,
            task TEXT NOT NULL UNIQUE,
            hash TEXT NOT NULL,
            message_id TEXT,
            customer TEXT NOT NULL,
            customer_name TEXT NOT NULL,
            total_minor INTEGER NOT NULL,
            currency TEXT NOT NULL,
            created_at INTEGER NOT NULL
        );

        CREATE TABLE order_lines (
            number INTEGER NOT NULL REFERENCES orders (number),
            position INTEGER NOT NULL,
            sku TEXT NOT NULL,
            name TEXT NOT NULL,
            quantity INTEGER NOT NULL,
            unit TEXT NOT NULL,
            unit_price_minor INTEGER NOT NULL,
            total_minor INTEGER NOT NULL,
            PRIMARY KEY (number, position)
        ) WITHOUT ROWID;
    ",
}];
