//! A schedule's input: a document in which values may follow from the tick.
//!
//! A task's input names what is to be done, so that any attempt sees the same. A document that never changes cannot name
//! *yesterday*; a schedule's input is therefore a template, stored with the schedule and rendered when a tick makes its task:
//!
//! ```
//! use runtime_core::schedule::{FromTick, Zone, render_input};
//! use serde_json::json;
//!
//! let input = json!({ "store": 42, "date": { "$tick": "date", "minus": "P1D", "zone": "Europe/Berlin" } });
//! assert_eq!(input, json!({ "store": 42, "date": FromTick::date().minus("P1D").zone("Europe/Berlin") }));
//! let tick = "2026-11-21T23:30:00Z".parse().unwrap();
//! assert_eq!(render_input(&input, tick, &Zone::default()).unwrap(), json!({ "store": 42, "date": "2026-11-21" }));
//! ```
//!
//! An object with the key `$tick` stands for a value made of the tick's time, in the schedule's zone unless it names another:
//!
//! | `$tick` | becomes | | `$tick` | becomes |
//! | --- | --- | --- | --- | --- |
//! | `date` | `"2026-11-21"` | | `hour` | `"2026-11-21T02"` |
//! | `week` | `"2026-W47"` | | `local` | `"2026-11-21T02:30:00"`, the wall time |
//! | `month` | `"2026-11"` | | `instant` | `"2026-11-21T01:30:00Z"` |
//! | `year` | `"2026"` | | `unix_seconds`, `unix_millis` | a number |
//!
//! `minus` or `plus` moves it by an ISO 8601 duration. Hours, minutes and seconds move the instant; years, months, weeks and days
//! move the date on the calendar, so that `P1D` is yesterday on a day of 23 hours and of 25. An object `{"$literal": …}` stands for
//! what it holds, as it is. Any other key that begins with `$` is refused, wherever it stands.
//!
//! Rendering is a function of the template, the tick and the zone: the same for a tick that fires, one that is caught up or
//! backfilled, and one that is only previewed.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Span, Timestamp};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::zone::Zone;
use crate::input::{Misfit, Misfits};

const TICK: &str = "$tick";
const LITERAL: &str = "$literal";

/// A value of a schedule's input that follows from the tick, for schedules that are declared in code. It is written as the
/// placeholder of the module's table, and checked with the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromTick {
    form: &'static str,
    moved: Option<(&'static str, String)>,
    zone: Option<String>,
}

impl FromTick {
    fn of(form: Form) -> Self {
        Self { form: form.name(), moved: None, zone: None }
    }

    /// The day: `2026-11-21`.
    pub fn date() -> Self {
        Self::of(Form::Date)
    }

    /// The ISO week: `2026-W47`.
    pub fn week() -> Self {
        Self::of(Form::Week)
    }

    /// The month: `2026-11`.
    pub fn month() -> Self {
        Self::of(Form::Month)
    }

    /// The hour of a day: `2026-11-21T02`.
    pub fn hour() -> Self {
        Self::of(Form::Hour)
    }

    /// The instant: `2026-11-21T01:30:00Z`.
    pub fn instant() -> Self {
        Self::of(Form::Instant)
    }

    /// So much earlier: an ISO 8601 duration, such as `P1D`.
    #[must_use]
    pub fn minus(mut self, duration: impl Into<String>) -> Self {
        self.moved = Some(("minus", duration.into()));
        self
    }

    /// So much later.
    #[must_use]
    pub fn plus(mut self, duration: impl Into<String>) -> Self {
        self.moved = Some(("plus", duration.into()));
        self
    }

    /// By the calendar of this zone instead of the schedule's.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }
}

impl Serialize for FromTick {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(TICK, self.form)?;
        if let Some((way, duration)) = &self.moved {
            map.serialize_entry(way, duration)?;
        }
        if let Some(zone) = &self.zone {
            map.serialize_entry("zone", zone)?;
        }
        map.end()
    }
}

/// The input of the task of a tick.
///
/// # Errors
/// Every placeholder that is none, by its place.
pub fn render_input(template: &Value, tick: Timestamp, zone: &Zone) -> Result<Value, Misfits> {
    let mut rendering = Rendering { tick, zone, misfits: Vec::new() };
    let input = rendering.value(template, "input");
    if rendering.misfits.is_empty() { Ok(input) } else { Err(Misfits(rendering.misfits)) }
}

/// Whether any value of an input follows from the tick.
pub fn follows_the_tick(template: &Value) -> bool {
    match template {
        Value::Object(fields) if fields.contains_key(LITERAL) => false,
        Value::Object(fields) => fields.contains_key(TICK) || fields.values().any(follows_the_tick),
        Value::Array(items) => items.iter().any(follows_the_tick),
        _ => false,
    }
}

struct Rendering<'r> {
    tick: Timestamp,
    zone: &'r Zone,
    misfits: Vec<Misfit>,
}

impl Rendering<'_> {
    fn value(&mut self, template: &Value, at: &str) -> Value {
        match template {
            Value::Object(fields) => self.object(fields, at),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.value(item, &format!("{at}/{index}")))
                .collect(),
            plain => plain.clone(),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, at: &str) -> Value {
        let made = match fields.keys().find(|key| key.starts_with('$')).map(String::as_str) {
            None => {
                let of = |(key, value): (&String, &Value)| {
                    let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    (key.clone(), self.value(value, &place))
                };
                return Value::Object(fields.iter().map(of).collect());
            }
            Some(LITERAL) if fields.len() == 1 => return fields[LITERAL].clone(),
            Some(LITERAL) => Err(format!("{LITERAL} stands alone")),
            Some(TICK) => {
                Placeholder::parse(fields).and_then(|placeholder| placeholder.at(self.tick, self.zone))
            }
            Some(other) => Err(format!("unknown {other:.40}: there are {TICK} and {LITERAL}")),
        };
        made.unwrap_or_else(|why| {
            self.misfits.push(Misfit { field: at.to_owned(), why });
            Value::Null
        })
    }
}

/// A placeholder that can be.
struct Placeholder {
    form: Form,
    /// By which the instant is moved.
    clock: SignedDuration,
    /// By which the date is moved, in years, months, weeks and days alone.
    calendar: Span,
    zone: Option<Zone>,
}

impl Placeholder {
    fn parse(fields: &Map<String, Value>) -> Result<Self, String> {
        let known = [TICK, "minus", "plus", "zone"];
        if let Some(other) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("unknown {other:.40} beside {TICK}: there are minus, plus and zone"));
        }
        let text = |key: &str| match fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("{key} is a text")),
        };
        let form = text(TICK)?.unwrap_or_default();
        let form = Form::ALL.into_iter().find(|known| known.name() == form).ok_or_else(|| {
            let known = Form::ALL.map(Form::name).join(", ");
            format!("unknown {TICK} {form:.40?}: there are {known}")
        })?;
        let span = match (text("minus")?, text("plus")?) {
            (None, None) => Span::new(),
            (Some(minus), None) => -length(minus)?,
            (None, Some(plus)) => length(plus)?,
            (Some(_), Some(_)) => return Err("minus and plus exclude each other".to_owned()),
        };
        let zone = text("zone")?.map(str::parse).transpose();
        let zone = zone.map_err(|error: super::InvalidSchedule| error.to_string())?;
        let calendar = Span::new()
            .years(span.get_years())
            .months(span.get_months())
            .weeks(span.get_weeks())
            .days(span.get_days());
        let clock = span.years(0).months(0).weeks(0).days(0);
        let clock = SignedDuration::try_from(clock).map_err(|error| error.to_string())?;
        Ok(Self { form, clock, calendar, zone })
    }

    fn at(&self, tick: Timestamp, zone: &Zone) -> Result<Value, String> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        let beyond = || "the time that it stands for is beyond the calendar".to_owned();
        let instant = tick.checked_add(self.clock).map_err(|_| beyond())?;
        let wall = zone.wall(instant).checked_add(self.calendar).map_err(|_| beyond())?;
        let instant = || match self.calendar.is_zero() {
            true => Ok(instant),
            false => zone.first_reached(wall).ok_or_else(beyond),
        };
        Ok(match self.form {
            Form::Instant => instant()?.to_string().into(),
            Form::UnixSeconds => instant()?.as_second().into(),
            Form::UnixMillis => instant()?.as_millisecond().into(),
            form => form.of_wall(wall).into(),
        })
    }
}

/// A length of time that is not negative.
fn length(text: &str) -> Result<Span, String> {
    let wrong = || format!("{text:.40?} is no ISO 8601 duration, such as P1D or PT6H");
    // The parser knows friendlier forms too; of what is stored there is one.
    if !text.starts_with('P') {
        return Err(wrong());
    }
    text.parse::<Span>().ok().filter(|span| !span.is_negative()).ok_or_else(wrong)
}

/// What a placeholder becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Date,
    Week,
    Month,
    Year,
    Hour,
    Local,
    Instant,
    UnixSeconds,
    UnixMillis,
}

impl Form {
    const ALL: [Self; 9] = [
        Self::Date,
        Self::Week,
        Self::Month,
        Self::Year,
        Self::Hour,
        Self::Local,
        Self::Instant,
        Self::UnixSeconds,
        Self::UnixMillis,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
            Self::Hour => "hour",
            Self::Local => "local",
            Self::Instant => "instant",
            Self::UnixSeconds => "unix_seconds",
            Self::UnixMillis => "unix_millis",
        }
    }

    fn of_wall(self, wall: DateTime) -> String {
        match self {
            Self::Week => {
                let week = wall.date().iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!("{:04}-{:02}", wall.year(), wall.month()),
            Self::Year => format!("{:04}", wall.year()),
            Self::Hour => format!("{}T{:02}", wall.date(), wall.hour()),
            Self::Local => wall.to_string(),
            Self::Date | Self::Instant | Self::UnixSeconds | Self::UnixMillis => wall.date().to_string(),
        }
    }
}
