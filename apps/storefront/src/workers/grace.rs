//! `grace`: what becomes of a membership when nobody pays.
//!
//! Where a membership stands is a function of two kinds of rows, the one in which it began and its payments, and of the
//! time. So every cause (it began, a payment came, something is due) does the same: it reads the rows, asks the domain
//! where the membership stands now, writes that with the outcome, and sets the next alarm. A payment that overtook an
//! alarm, or came late, or an alarm that rings twice, changes nothing but what is true.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use runtime::core::store::SqlRow;
use runtime::prelude::*;
use storefront_domain::{
    CustomerId, Due, Member, MemberId, MembershipError, MembershipTerms, Payment, PaymentId, Transition,
};

use crate::obligations::Obligations;
use crate::rows::{Columns, moment, name_of, number};
use crate::workers::settle::number_of_scope;

/// Why a membership is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "cause", rename_all = "snake_case", deny_unknown_fields)]
pub enum Grace {
    /// It began.
    Joined {
        /// The membership's number.
        member: u64,
    },
    /// A payment came.
    Paid {
        /// The membership's number.
        member: u64,
        /// The payment's number.
        payment: u64,
    },
    /// Something is due.
    Due {
        /// The membership's number.
        member: u64,
        /// What is due.
        #[schemars(with = "String")]
        transition: Transition,
        /// From when on.
        #[schemars(with = "String")]
        at: Timestamp,
    },
}

impl Grace {
    /// An alarm.
    #[must_use]
    pub fn of(due: &Due) -> Self {
        Self::Due { member: due.member.0, transition: due.transition, at: due.at }
    }

    fn member(&self) -> MemberId {
        let (Self::Joined { member } | Self::Paid { member, .. } | Self::Due { member, .. }) = self;
        MemberId(*member)
    }

    fn due(&self) -> Option<Due> {
        match *self {
            Self::Due { transition, at, .. } => Some(Due { member: self.member(), transition, at }),
            Self::Joined { .. } | Self::Paid { .. } => None,
        }
    }
}

impl TaskInput for Grace {
    const KEY: &'static str = "member and cause: joined, the payment, or the transition and its moment";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(match self {
            Self::Joined { member } => format!("member:{member}/joined"),
            Self::Paid { member, payment } => format!("member:{member}/payment:{payment}"),
            Self::Due { member, transition, at } => {
                Due { member: MemberId(*member), transition: *transition, at: *at }.key()
            }
        })
    }

    /// An alarm that was set before is set.
    fn unique(&self) -> Unique {
        Unique { within: UniqueWithin::Remembered, on_conflict: OnConflict::Ignore }
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Scope::new(format!("member={}", self.member())).map(Some)
    }
}

/// Where the membership stood when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stands {
    /// The membership's number.
    pub member: u64,
    /// Its state.
    pub state: String,
    /// When it will be looked at again.
    pub next: Option<String>,
}

/// Looks at a membership.
///
/// # Errors
/// A snooze before its time; a retry when the store fails.
pub async fn look(obligations: Arc<Obligations>, ctx: Context, cause: Grace) -> HandlerResult<Stands> {
    let (time, id) = (&obligations.time, cause.member());
    if let Some(due) = cause.due().filter(|due| time.now() < due.at) {
        return Err(NotDone::Snooze { wait: time.until(due.at) });
    }
    let rows = ctx.store();
    let joined = rows.query_app(JOINED, vec![number(id.0)]).await?;
    let paid = rows.query_app(PAID, vec![number(id.0)]).await?;
    let seen = History::read(id, &joined, &paid, &obligations.membership)?.until(time.now());
    // Another cause may come in between; then it has a task of its own, and sets its own alarm.
    let next = seen.member.next_due(&obligations.membership);
    if let Some(due) = &next {
        ctx.enqueue(obligations.member_due(due)?);
    }
    let state = name_of(seen.member.state)?;
    let obligations = obligations.clone();
    ctx.write(AppWrite::new(move |tx| {
        let (joined, paid) = (tx.query(JOINED, &[number(id.0)])?, tx.query(PAID, &[number(id.0)])?);
        let now = obligations.time.at(tx.now());
        History::read(id, &joined, &paid, &obligations.membership)?.until(now).write(tx)
    }));
    Ok(Stands { member: id.0, state, next: next.map(|due| due.at.to_string()) })
}

const JOINED: &str = "SELECT customer, joined_at FROM members WHERE id = ?1";
const PAID: &str = "SELECT id, cycles, at FROM payments WHERE member = ?1 ORDER BY at, id";

/// Everything that is known of a membership.
pub(crate) struct History<'a> {
    member: Member,
    payments: Vec<Payment>,
    terms: &'a MembershipTerms,
}

/// A membership at a moment, and how it got there.
pub(crate) struct Standing {
    /// Where it stands.
    pub(crate) member: Member,
    /// What the clock did to it: the transition's name, and its moment.
    changes: Vec<(String, Timestamp)>,
}

impl<'a> History<'a> {
    fn read(
        id: MemberId,
        joined: &[SqlRow],
        paid: &[SqlRow],
        terms: &'a MembershipTerms,
    ) -> Result<Self, TaskError> {
        let joined =
            joined.first().ok_or_else(|| TaskError::permanent(format!("there is no member {id}")))?;
        let customer = CustomerId(joined.number(0)?);
        let member = Member::join(id, customer, joined.moment(1)?, terms).map_err(refused)?;
        let payment = |row: &SqlRow| {
            let cycles = u16::try_from(row.integer(1)?).map_err(crate::rows::unreadable)?;
            Ok(Payment { id: PaymentId(row.number(0)?), member: id, cycles, at: row.moment(2)? })
        };
        let payments = paid.iter().map(payment).collect::<Result<_, TaskError>>()?;
        Ok(Self { member, payments, terms })
    }

    /// Lives through it, up to a moment. No payment lies after it: the request path takes none from the future.
    fn until(self, now: Timestamp) -> Standing {
        let Self { member, payments, terms } = self;
        let mut standing = Standing { member, changes: Vec::new() };
        for payment in &payments {
            standing.go_on(terms, payment.at);
            match standing.member.pay(payment, terms) {
                Ok(Some(member)) => standing.member = member,
                // Paid for what was over: the row stays, and counts for nothing.
                Ok(None) | Err(MembershipError::Ended { .. }) => {}
                Err(error) => tracing::warn!(member = %payment.member, %error, "a payment does not count"),
            }
        }
        standing.go_on(terms, now);
        standing
    }
}

impl Standing {
    fn go_on(&mut self, terms: &MembershipTerms, now: Timestamp) {
        while let Some(due) = self.member.next_due(terms).filter(|due| due.at <= now) {
            match self.member.advance(&due, terms, now) {
                Ok(Some(member)) => self.member = member,
                Ok(None) | Err(_) => return,
            }
            self.changes.push((due.key(), due.at));
        }
    }

    fn write(&self, tx: &mut dyn StoreTx) -> Result<(), TaskError> {
        let Member { id, state, since, paid_until, .. } = &self.member;
        tx.execute(
            "INSERT OR REPLACE INTO membership (member, state, since, paid_until) VALUES (?1, ?2, ?3, ?4)",
            &[number(id.0), name_of(state)?.into(), moment(*since), moment(*paid_until)],
        )?;
        tx.execute("DELETE FROM membership_change WHERE member = ?1", &[number(id.0)])?;
        for (transition, at) in &self.changes {
            tx.execute(
                "INSERT INTO membership_change (transition, member, at) VALUES (?1, ?2, ?3)",
                &[transition.as_str().into(), number(id.0), moment(*at)],
            )?;
        }
        Ok(())
    }
}

fn refused(error: MembershipError) -> TaskError {
    TaskError::permanent(error.to_string())
}

/// Makes a membership's standing again.
pub struct LookAgain {
    /// Makes the tasks.
    pub obligations: Arc<Obligations>,
}

#[async_trait]
impl Rebuild for LookAgain {
    async fn plan(&self, ask: RebuildAsk) -> Result<RebuildPlan, TaskError> {
        if ask.since.is_some() || ask.until.is_some() {
            let text = "a membership is made again as a whole: without --since and --until";
            return Err(TaskError::new(ErrorCode::InvalidArgument, text));
        }
        let member = number_of_scope(&ask.scope, "member")?;
        let discard = AppWrite::new(move |tx| {
            tx.execute("DELETE FROM membership WHERE member = ?1", &[number(member)])?;
            tx.execute("DELETE FROM membership_change WHERE member = ?1", &[number(member)])?;
            Ok(())
        });
        let tasks = vec![self.obligations.member(&Grace::Joined { member })?];
        Ok(RebuildPlan { discard: vec![discard], tasks })
    }
}
