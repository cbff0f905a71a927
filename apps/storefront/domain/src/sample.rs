//! A month of a small shop, made from a seed: the same seed gives the same rows on every machine.
//!
//! Three stores in three zones and currencies, customers with tastes, March 2026: in it New York's and then Europe's
//! clocks go forward. Some rows are recorded days after they happened, some refunds only in April. People and addresses
//! are made up (`example.org`).

use jiff::{SignedDuration, Timestamp};

use crate::memberships::{Member, MembershipTerms, Payment};
use crate::money::{BasisPoints, Currency, Money};
use crate::notifications::{Draft, Topic};
use crate::reservations::{HoldAsk, ReservationEvent, Stock};
use crate::truth::{
    Category, Customer, CustomerId, DraftId, MemberId, PaymentId, Product, ProductId, Rating, Refund,
    RefundId, ReservationId, Sale, SaleId, Stars, Store, StoreId,
};
use crate::zone::Zone;

/// How many of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleSize {
    /// Things to sell; at least one.
    pub products: u64,
    /// People; at least one.
    pub customers: u64,
    /// Opinions.
    pub ratings: u64,
    /// Sales; about one in twenty is refunded.
    pub sales: u64,
    /// Reservations somebody asks for.
    pub holds: u64,
    /// Memberships; at most one for each customer.
    pub members: u64,
    /// Draft notifications.
    pub drafts: u64,
}

impl Default for SampleSize {
    fn default() -> Self {
        Self {
            products: 120,
            customers: 400,
            ratings: 5_000,
            sales: 6_000,
            holds: 900,
            members: 200,
            drafts: 1_500,
        }
    }
}

/// What somebody wants held, when, and what they do about it then: nothing, in which case time runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleHold {
    /// What is asked.
    pub ask: HoldAsk,
    /// When.
    pub at: Timestamp,
    /// What the buyer does after that, and when; it may be too late.
    pub then: Option<(ReservationEvent, Timestamp)>,
}

/// A month of a shop. Every list is in the order in which its rows are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The first moment of the month in UTC.
    pub starts: Timestamp,
    /// The stores.
    pub stores: Vec<Store>,
    /// What they sell.
    pub products: Vec<Product>,
    /// What they have of it for reservations.
    pub stock: Vec<Stock>,
    /// Who buys.
    pub customers: Vec<Customer>,
    /// What they think of it.
    pub ratings: Vec<Rating>,
    /// What was sold.
    pub sales: Vec<Sale>,
    /// What was given back; each sale at most once, and never more than it cost.
    pub refunds: Vec<Refund>,
    /// What is to be held.
    pub holds: Vec<SampleHold>,
    /// The memberships as they joined, up to ten weeks before the month.
    pub members: Vec<Member>,
    /// What they paid since: some in time, some late, some never.
    pub payments: Vec<Payment>,
    /// What there is to tell.
    pub drafts: Vec<Draft>,
}

const CATEGORIES: [&str; 6] = ["Tea", "Coffee", "Cups", "Sweets", "Books", "Garden"];
const FIRST_NAMES: [&str; 10] = ["Ada", "Bo", "Chloé", "Dina", "Emre", "Finn", "Grete", "Hana", "Ivo", "Jun"];
const LAST_NAMES: [&str; 10] =
    ["Moreau", "Nowak", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ünal", "Vogel"];
const MINUTES: u64 = 31 * 24 * 60;

impl Sample {
    /// The month of a seed at the usual size.
    #[must_use]
    pub fn month(seed: u64) -> Self {
        Self::of_size(seed, &SampleSize::default())
    }

    /// The month of a seed at another size.
    #[must_use]
    pub fn of_size(seed: u64, size: &SampleSize) -> Self {
        let mut dice = Dice(seed);
        let starts = "2026-03-01T00:00:00Z".parse().expect("a moment");
        let stores = stores();
        let products: Vec<_> = (1..=size.products).map(|id| product(id, &mut dice)).collect();
        let stock =
            products.iter().map(|product| Stock::new(product.id, dice.below(40) as u32 + 5)).collect();
        let customers = (1..=size.customers).map(customer).collect();
        let mut month = Month { dice, starts, size };
        let ratings = month.ratings();
        let sales = month.sales(&stores, &products);
        let refunds = month.refunds(&sales);
        let holds = month.holds();
        let members = month.members();
        let payments = month.payments(&members);
        let drafts = month.drafts();
        Self {
            starts,
            stores,
            products,
            stock,
            customers,
            ratings,
            sales,
            refunds,
            holds,
            members,
            payments,
            drafts,
        }
    }

    /// All categories, each once, in order.
    #[must_use]
    pub fn categories(&self) -> Vec<Category> {
        let mut all: Vec<_> = self.products.iter().flat_map(|product| product.categories.clone()).collect();
        all.sort();
        all.dedup();
        all
    }
}

fn stores() -> Vec<Store> {
    let store = |id, name: &str, zone, currency, fee| Store {
        id: StoreId(id),
        name: name.to_owned(),
        zone: Zone::named(zone).expect("a zone"),
        currency,
        fee: BasisPoints::new(fee).expect("a share"),
    };
    vec![
        store(1, "Berlin", "Europe/Berlin", Currency::Eur, 250),
        store(2, "London", "Europe/London", Currency::Gbp, 275),
        store(3, "New York", "America/New_York", Currency::Usd, 315),
    ]
}

/// Products take their categories in turn; every fifth is in a second one too.
fn product(id: u64, dice: &mut Dice) -> Product {
    let category = |at: u64| Category(CATEGORIES[(at % 6) as usize].to_owned());
    let mut categories = vec![category(id)];
    if id.is_multiple_of(5) {
        categories.push(category(id + 1));
        categories.sort();
    }
    let name = format!("{} no. {id}", CATEGORIES[(id % 6) as usize]);
    Product { id: ProductId(id), name, categories, price_minor: 150 + dice.below(4_000) as u32 }
}

fn customer(id: u64) -> Customer {
    let first = FIRST_NAMES[(id % 10) as usize];
    let last = LAST_NAMES[(id / 10 % 10) as usize];
    Customer {
        id: CustomerId(id),
        name: format!("{first} {last}"),
        email: format!("customer{id}@example.org"),
    }
}

struct Month<'a> {
    dice: Dice,
    starts: Timestamp,
    size: &'a SampleSize,
}

impl Month<'_> {
    /// Any moment of the month, to the second.
    fn moment(&mut self) -> Timestamp {
        self.starts + SignedDuration::from_secs(self.dice.below(MINUTES * 60) as i64)
    }

    fn customer(&mut self) -> CustomerId {
        CustomerId(self.dice.below(self.size.customers) + 1)
    }

    /// A product to a customer's taste, mostly: one of the category that the customer's number stands for.
    fn product_for(&mut self, customer: CustomerId) -> ProductId {
        let any = self.dice.below(self.size.products) + 1;
        let liked = any - any % 6 + customer.0 % 6;
        let to_taste = self.dice.below(4) > 0 && (1..=self.size.products).contains(&liked);
        ProductId(if to_taste { liked } else { any })
    }

    fn ratings(&mut self) -> Vec<Rating> {
        let mut rows: Vec<_> = (0..self.size.ratings).map(|_| self.rating()).collect();
        rows.sort_by_key(|rating| (rating.at, rating.customer, rating.product));
        rows
    }

    fn rating(&mut self) -> Rating {
        let customer = self.customer();
        let product = self.product_for(customer);
        let likes = product.0 % 6 == customer.0 % 6;
        let stars = if likes { 3 + self.dice.below(3) } else { 1 + self.dice.below(4) };
        let stars = Stars::new(stars as u8).expect("one to five");
        Rating { customer, product, stars, at: self.moment() }
    }

    fn sales(&mut self, stores: &[Store], products: &[Product]) -> Vec<Sale> {
        let mut rows: Vec<_> = (0..self.size.sales).map(|_| self.sale(stores, products)).collect();
        rows.sort_by_key(|sale| (sale.recorded_at, sale.at, sale.customer, sale.product));
        // Numbers are given as rows are recorded.
        rows.iter_mut().zip(1..).for_each(|(sale, id)| sale.id = SaleId(id));
        rows
    }

    fn sale(&mut self, stores: &[Store], products: &[Product]) -> Sale {
        let customer = self.customer();
        let product = &products[self.product_for(customer).0 as usize - 1];
        let store = &stores[self.dice.below(stores.len() as u64) as usize];
        let quantity = 1 + self.dice.below(4) as u32;
        let price = Money::new(product.price_minor.into(), store.currency);
        let amount = price.times(quantity).expect("a few pieces");
        let at = self.moment();
        let recorded_at = self.recorded(at, 20);
        Sale {
            id: SaleId(0),
            store: store.id,
            customer,
            product: product.id,
            quantity,
            amount,
            at,
            recorded_at,
        }
    }

    /// One row in so many is recorded up to three days late.
    fn recorded(&mut self, at: Timestamp, one_in: u64) -> Timestamp {
        let late = if self.dice.below(one_in) == 0 { self.dice.below(72 * 60) as i64 } else { 0 };
        at + SignedDuration::from_mins(late)
    }

    /// One sale in twenty is taken back within ten days, half of them only in part.
    fn refunds(&mut self, sales: &[Sale]) -> Vec<Refund> {
        let mut rows = Vec::new();
        for sale in sales {
            if self.dice.below(20) > 0 {
                continue;
            }
            let amount = if self.dice.below(2) == 0 {
                sale.amount
            } else {
                Money { minor: self.dice.below(sale.amount.minor as u64) as i64 + 1, ..sale.amount }
            };
            let at = sale.recorded_at + SignedDuration::from_mins(self.dice.below(10 * 24 * 60) as i64);
            let recorded_at = self.recorded(at, 4);
            rows.push(Refund { id: RefundId(0), sale: sale.id, store: sale.store, amount, at, recorded_at });
        }
        rows.sort_by_key(|refund| (refund.recorded_at, refund.sale));
        rows.iter_mut().zip(1..).for_each(|(refund, id)| refund.id = RefundId(id));
        rows
    }

    fn holds(&mut self) -> Vec<SampleHold> {
        let mut moments: Vec<_> = (0..self.size.holds).map(|_| self.moment()).collect();
        moments.sort();
        let numbered = moments.into_iter().zip(1..);
        numbered
            .map(|(at, id)| {
                let customer = self.customer();
                let product = self.product_for(customer);
                let quantity = 1 + self.dice.below(3) as u32;
                let ask = HoldAsk { id: ReservationId(id), customer, product, quantity };
                let later = at + SignedDuration::from_mins(1 + self.dice.below(20) as i64);
                let then = match self.dice.below(10) {
                    0..5 => Some((ReservationEvent::Confirm, later)),
                    5..7 => Some((ReservationEvent::Cancel, later)),
                    _ => None,
                };
                SampleHold { ask, at, then }
            })
            .collect()
    }

    fn members(&mut self) -> Vec<Member> {
        let terms = MembershipTerms::default();
        let many = self.size.members.min(self.size.customers);
        let mut joins: Vec<_> = (0..many).map(|_| self.dice.below(70 * 24) as i64).collect();
        joins.sort_unstable_by(|left, right| right.cmp(left));
        let numbered = joins.into_iter().zip(1..);
        numbered
            .map(|(hours, id)| {
                let joined = self.starts - SignedDuration::from_hours(hours);
                Member::join(MemberId(id), CustomerId(id), joined, &terms).expect("within the calendar")
            })
            .collect()
    }

    /// Some pay each cycle a little early, some late and some not at all.
    fn payments(&mut self, members: &[Member]) -> Vec<Payment> {
        let ends = self.starts + SignedDuration::from_mins(MINUTES as i64);
        let mut rows = Vec::new();
        for member in members {
            let hours = match self.dice.below(4) {
                0 | 1 => -(self.dice.below(48) as i64),
                2 => self.dice.below(30 * 24) as i64,
                _ => continue,
            };
            let dues =
                (0..4).map(|cycle| member.paid_until + SignedDuration::from_hours(hours + cycle * 672));
            let paid = dues.take_while(|at| *at < ends);
            rows.extend(paid.map(|at| Payment { id: PaymentId(0), member: member.id, cycles: 1, at }));
        }
        rows.sort_by_key(|payment| (payment.at, payment.member));
        rows.iter_mut().zip(1..).for_each(|(payment, id)| payment.id = PaymentId(id));
        rows
    }

    /// In bursts: a draft is often followed by others of its topic within minutes.
    fn drafts(&mut self) -> Vec<Draft> {
        let mut rows: Vec<Draft> = Vec::new();
        while (rows.len() as u64) < self.size.drafts {
            let topics = [Topic::Membership, Topic::Reservation, Topic::Refund, Topic::Recommendation];
            let (topic, recipient) = (topics[self.dice.below(4) as usize], self.customer());
            let mut at = self.moment();
            for _ in 0..=self.dice.below(4).min(self.size.drafts - rows.len() as u64 - 1) {
                let line = format!("{} update of {}", topic.name(), at.strftime("%d %B, %H:%M UTC"));
                rows.push(Draft { id: DraftId(0), recipient, topic, line, at });
                at += SignedDuration::from_secs(self.dice.below(400) as i64);
            }
        }
        rows.sort_by_key(|draft| (draft.at, draft.recipient, draft.topic));
        rows.iter_mut().zip(1..).for_each(|(draft, id)| draft.id = DraftId(id));
        rows
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a few lines that give the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests;
