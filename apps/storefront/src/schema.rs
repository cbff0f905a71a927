//! The shop's own tables, beside the platform's in the same file. Moments are milliseconds since 1970, money is minor
//! units. What is truth is written by the request path and by the workers whose home it is; every projection can be
//! thrown away and made again from it.

use runtime::prelude::AppMigration;

/// The app's schema, oldest step first.
pub(crate) const MIGRATIONS: &[AppMigration] = &[AppMigration {
    name: "a shop and its six obligations",
    sql: "
        -- Truth: who and what there is.
        CREATE TABLE stores (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            zone TEXT NOT NULL,
            currency TEXT NOT NULL,
            fee_bp INTEGER NOT NULL
        );
        CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price_minor INTEGER NOT NULL);
        CREATE TABLE product_categories (
            category TEXT NOT NULL,
            product INTEGER NOT NULL,
            PRIMARY KEY (category, product)
        ) WITHOUT ROWID;
        CREATE TABLE stock (
            product INTEGER PRIMARY KEY,
            free INTEGER NOT NULL CHECK (free >= 0),
            held INTEGER NOT NULL CHECK (held >= 0),
            sold INTEGER NOT NULL CHECK (sold >= 0)
        );
        CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL);

        -- Truth: what happened. `seq` is the order in which rows were committed.
        CREATE TABLE ratings (
            seq INTEGER PRIMARY KEY,
            customer INTEGER NOT NULL,
            product INTEGER NOT NULL,
            stars INTEGER NOT NULL,
            at INTEGER NOT NULL
        );
        CREATE INDEX ratings_of_product ON ratings (product, seq);
        CREATE TABLE sales (
            id INTEGER PRIMARY KEY,
            store INTEGER NOT NULL,
            customer INTEGER NOT NULL,
            product INTEGER NOT NULL,
            quantity INTEGER NOT NULL,
            amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
            at INTEGER NOT NULL,
            recorded_at INTEGER NOT NULL,
            period TEXT NOT NULL
        );
        CREATE INDEX sales_of_period ON sales (store, period, id);
        CREATE INDEX sales_by_time ON sales (store, at);
        CREATE TABLE refunds (
            id INTEGER PRIMARY KEY,
            sale INTEGER NOT NULL,
            store INTEGER NOT NULL,
            amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
            at INTEGER NOT NULL,
            recorded_at INTEGER NOT NULL,
            period TEXT NOT NULL
        );
        CREATE INDEX refunds_of_period ON refunds (store, period, id);
        CREATE INDEX refunds_by_time ON refunds (store, at);
        CREATE INDEX refunds_of_sale ON refunds (sale);
        -- From here on no row is taken into this period any more.
        CREATE TABLE closed_periods (
            store INTEGER NOT NULL,
            period TEXT NOT NULL,
            closed_at INTEGER NOT NULL,
            PRIMARY KEY (store, period)
        ) WITHOUT ROWID;
        CREATE TABLE reservations (
            id INTEGER PRIMARY KEY,
            customer INTEGER NOT NULL,
            product INTEGER NOT NULL,
            quantity INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            state TEXT NOT NULL,
            since INTEGER NOT NULL
        );
        CREATE INDEX reservations_of_product ON reservations (product, state);
        CREATE TABLE members (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL UNIQUE, joined_at INTEGER NOT NULL);
        CREATE TABLE payments (
            id INTEGER PRIMARY KEY,
            member INTEGER NOT NULL,
            cycles INTEGER NOT NULL,
            at INTEGER NOT NULL
        );
        CREATE INDEX payments_of_member ON payments (member, at, id);
        CREATE TABLE drafts (
            id INTEGER PRIMARY KEY,
            recipient INTEGER NOT NULL,
            topic TEXT NOT NULL,
            line TEXT NOT NULL,
            at INTEGER NOT NULL,
            promotion TEXT
        );
        CREATE INDEX drafts_that_wait ON drafts (recipient, topic) WHERE promotion IS NULL;
        CREATE INDEX drafts_of_promotion ON drafts (promotion, id) WHERE promotion IS NOT NULL;
        CREATE TABLE promotions (
            id TEXT PRIMARY KEY,
            recipient INTEGER NOT NULL,
            topic TEXT NOT NULL,
            due_at INTEGER NOT NULL,
            state TEXT NOT NULL
        ) WITHOUT ROWID;

        -- Projections.
        CREATE TABLE settlement (
            store INTEGER NOT NULL,
            period TEXT NOT NULL,
            closed_at INTEGER NOT NULL,
            currency TEXT NOT NULL,
            net_minor INTEGER NOT NULL,
            payout_minor INTEGER NOT NULL,
            receipt TEXT,
            PRIMARY KEY (store, period)
        ) WITHOUT ROWID;
        CREATE TABLE payout_lines (
            store INTEGER NOT NULL,
            period TEXT NOT NULL,
            position INTEGER NOT NULL,
            kind TEXT NOT NULL,
            counted INTEGER NOT NULL,
            amount_minor INTEGER NOT NULL,
            PRIMARY KEY (store, period, position)
        ) WITHOUT ROWID;
        CREATE TABLE rollup (
            store INTEGER NOT NULL,
            level TEXT NOT NULL,
            starts_on TEXT NOT NULL,
            hour INTEGER NOT NULL,
            metric TEXT NOT NULL,
            counted INTEGER NOT NULL,
            total TEXT NOT NULL,
            least INTEGER NOT NULL,
            greatest INTEGER NOT NULL,
            PRIMARY KEY (store, level, starts_on, hour, metric)
        ) WITHOUT ROWID;
        CREATE TABLE recommendation (
            category TEXT NOT NULL,
            product INTEGER NOT NULL,
            position INTEGER NOT NULL,
            other INTEGER NOT NULL,
            score_ppm INTEGER NOT NULL,
            together INTEGER NOT NULL,
            PRIMARY KEY (category, product, position)
        ) WITHOUT ROWID;
        -- How far a category's lists have come.
        CREATE TABLE recommendation_model (category TEXT PRIMARY KEY, up_to INTEGER NOT NULL, model BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE membership (
            member INTEGER PRIMARY KEY,
            state TEXT NOT NULL,
            since INTEGER NOT NULL,
            paid_until INTEGER NOT NULL
        );
        CREATE TABLE membership_change (
            transition TEXT PRIMARY KEY,
            member INTEGER NOT NULL,
            at INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX changes_of_member ON membership_change (member);

        -- The request path's own: numbers that are given once, and requests that were answered.
        CREATE TABLE numbers (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE requests (
            name TEXT PRIMARY KEY,
            content BLOB NOT NULL,
            status INTEGER NOT NULL,
            answer TEXT NOT NULL,
            at INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX requests_by_time ON requests (at);
    ",
}];
