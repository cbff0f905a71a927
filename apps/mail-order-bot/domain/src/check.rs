//! A draft against the catalogue: every line is looked at whole, so that one reply can name all that is wrong.

use std::collections::BTreeMap;

use crate::catalogue::{Catalogue, Product};
use crate::draft::{DraftLine, Field, OrderDraft};
use crate::money::{Currency, Money};
use crate::number::{Decimal, DecimalMark, NumberError};
use crate::order::OrderLine;
use crate::problem::{Claim, Contradiction, LineProblem, ProblemKind};
use crate::sku::Sku;
use crate::table::Cell;
use crate::unit::Unit;

/// Most lines of one order.
pub(crate) const MAX_LINES: usize = 1_000;

/// What became of a draft. It is good when there are neither problems nor contradictions; `lines` then holds every
/// line of the draft.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The lines that are good by themselves.
    pub lines: Vec<OrderLine>,
    /// Everything wrong with the others.
    pub problems: Vec<LineProblem>,
    /// Everything the draft says that cannot all be true.
    pub contradictions: Vec<Contradiction>,
    /// The sum of `lines`.
    pub total: Option<Money>,
}

/// Checks a draft against the catalogue and prices it.
#[must_use]
pub fn check(draft: &OrderDraft, catalogue: &Catalogue) -> Checked {
    let mut checked = Checked::default();
    for line in draft.lines.iter().take(MAX_LINES) {
        check_line(&mut checked, line, draft.decimal_mark, catalogue);
    }
    if let Some(line) = draft.lines.get(MAX_LINES) {
        let kind = ProblemKind::TooManyLines { limit: MAX_LINES as u32 };
        checked.problems.push(LineProblem { at: line.at.clone(), column: None, sku: None, kind });
    }
    checked.contradictions.extend(repeated_articles(draft, catalogue.currency()));
    let zero = Money::new(0, catalogue.currency());
    checked.total = checked.lines.iter().try_fold(zero, |sum, line| sum.plus(line.total));
    if checked.problems.is_empty() && checked.contradictions.is_empty() {
        checked.contradictions.extend(wrong_total(draft, checked.total));
    }
    checked
}

fn check_line(checked: &mut Checked, line: &DraftLine, mark: Option<DecimalMark>, catalogue: &Catalogue) {
    let sku = sku_of(line);
    let before = checked.problems.len();
    let mut complain = |field: Option<&Field>, kind| {
        let column = field.and_then(|field| field.column.clone());
        checked.problems.push(LineProblem { at: line.at.clone(), column, sku: sku.clone(), kind });
    };
    let product = match &sku {
        None => {
            complain(line.sku.as_ref(), ProblemKind::MissingSku);
            None
        }
        Some(sku) => {
            let product = catalogue.product(sku);
            if product.is_none() {
                let given = line.sku.as_ref().map(|field| field.cell.shown()).unwrap_or_default();
                let suggestion = catalogue.suggestion(sku).cloned();
                complain(line.sku.as_ref(), ProblemKind::UnknownSku { given, suggestion });
            }
            product
        }
    };
    let quantity = match quantity_of(line, mark, product) {
        Ok(quantity) => Some(quantity),
        Err(kind) => {
            complain(line.quantity.as_ref(), kind);
            None
        }
    };
    for (field, unit) in unit_claims(line) {
        match (unit, product) {
            (Err(given), _) => complain(Some(field), ProblemKind::UnknownUnit { given }),
            (Ok(given), Some(product)) if given != product.unit => {
                complain(Some(field), ProblemKind::WrongUnit { given, sold_in: product.unit });
            }
            (Ok(_), _) => {}
        }
    }
    if let Some(field) = &line.price
        && let Some(kind) = wrong_price(field, mark, product, catalogue.currency())
    {
        complain(Some(field), kind);
    }
    let (Some(product), Some(quantity), true) = (product, quantity, checked.problems.len() == before) else {
        return;
    };
    let Some(total) = product.price.times(quantity) else { return };
    if let Some(claimed) = &line.total
        && amount_of(claimed, mark, total.currency) != Some(total)
    {
        let (at, claimed) = (line.at.clone(), claimed.cell.shown());
        checked.contradictions.push(Contradiction::LineTotal {
            at,
            sku: product.sku.clone(),
            claimed,
            computed: total,
        });
    }
    checked.lines.push(OrderLine {
        sku: product.sku.clone(),
        name: product.name.clone(),
        quantity,
        unit: product.unit,
        unit_price: product.price,
        total,
    });
}

/// The article a line is for, in the catalogue's spelling.
pub(crate) fn sku_of(line: &DraftLine) -> Option<Sku> {
    let field = line.sku.as_ref().filter(|field| !field.cell.is_empty())?;
    Some(Sku::new(&field.cell.shown()))
}

/// The quantity a line claims, as a number, if it is one.
pub(crate) fn quantity_claim(
    line: &DraftLine,
    mark: Option<DecimalMark>,
) -> Option<Result<Decimal, NumberError>> {
    let field = line.quantity.as_ref()?;
    match &field.cell {
        Cell::Empty => None,
        Cell::Number(number) => Some(Ok(*number)),
        Cell::Text(text) => Some(Decimal::parse(split_quantity(text).0, mark)),
    }
}

fn quantity_of(
    line: &DraftLine,
    mark: Option<DecimalMark>,
    product: Option<&Product>,
) -> Result<u32, ProblemKind> {
    let given = line.quantity.as_ref().map(|field| field.cell.shown()).unwrap_or_default();
    let number = match quantity_claim(line, mark) {
        None => return Err(ProblemKind::MissingQuantity),
        Some(Err(NumberError::Ambiguous)) => return Err(ProblemKind::QuantityAmbiguous { given }),
        Some(Err(NumberError::NotANumber)) => return Err(ProblemKind::QuantityNotANumber { given }),
        Some(Err(NumberError::TooLarge)) => {
            return Err(match product {
                Some(Product { maximum, unit, .. }) => {
                    ProblemKind::QuantityAboveMaximum { given, maximum: *maximum, unit: *unit }
                }
                None => ProblemKind::QuantityNotANumber { given },
            });
        }
        Some(Ok(number)) => number,
    };
    let Some(whole) = number.to_whole() else { return Err(ProblemKind::QuantityFraction { given }) };
    if whole <= 0 {
        return Err(ProblemKind::QuantityNotPositive { given });
    }
    let Some(product) = product else { return Ok(1) };
    let unit = product.unit;
    match u32::try_from(whole) {
        Ok(quantity) if quantity < product.minimum => {
            Err(ProblemKind::QuantityBelowMinimum { given, minimum: product.minimum, unit })
        }
        Ok(quantity) if quantity <= product.maximum && !quantity.is_multiple_of(product.multiple) => {
            Err(ProblemKind::QuantityNotMultiple { given, multiple: product.multiple, unit })
        }
        Ok(quantity) if quantity <= product.maximum => Ok(quantity),
        _ => Err(ProblemKind::QuantityAboveMaximum { given, maximum: product.maximum, unit }),
    }
}

/// `10 Stk` is a number and a word; `x 10` and `10 x` are a number alone.
fn split_quantity(text: &str) -> (&str, Option<&str>) {
    let is_times = |word: &str| matches!(word, "x" | "X" | "×");
    let text = text.trim();
    let text = text.trim_start_matches(['x', 'X', '×']).trim_start();
    let end = text.find(|c: char| c.is_alphabetic() || c == '×').unwrap_or(text.len());
    let (number, word) = (text[..end].trim(), text[end..].trim());
    (number, (!word.is_empty() && !is_times(word)).then_some(word))
}

/// Every unit the line names: in its unit field and behind its quantity.
fn unit_claims(line: &DraftLine) -> Vec<(&Field, Result<Unit, String>)> {
    let known = |word: &str| Unit::from_word(word).ok_or_else(|| word.to_owned());
    let mut claims = Vec::new();
    if let Some(field) = line.unit.as_ref().filter(|field| !field.cell.is_empty()) {
        claims.push((field, known(&field.cell.shown())));
    }
    if let Some(field) = &line.quantity
        && let Cell::Text(text) = &field.cell
        && let (number, Some(word)) = split_quantity(text)
        && number.bytes().any(|b| b.is_ascii_digit())
        && claims.iter().all(|(_, claim)| *claim != known(word))
    {
        claims.push((field, known(word)));
    }
    claims
}

fn wrong_price(
    field: &Field,
    mark: Option<DecimalMark>,
    product: Option<&Product>,
    ours: Currency,
) -> Option<ProblemKind> {
    let given = field.cell.shown();
    let number = match &field.cell {
        Cell::Empty => return None,
        Cell::Number(number) => Ok(*number),
        Cell::Text(text) => {
            let (amount, currency) = Currency::split(text);
            match currency {
                Some(currency) if currency != ours => {
                    return Some(ProblemKind::WrongCurrency { given: currency, ours });
                }
                _ => Decimal::parse(amount, mark),
            }
        }
    };
    let Ok(number) = number else { return Some(ProblemKind::PriceNotANumber { given }) };
    let product = product?;
    let same = number.to_hundredths() == Some(product.price.minor);
    (!same).then_some(ProblemKind::PriceDiffers { given, ours: product.price })
}

/// A written amount, taken in the shop's currency when it names none.
fn amount_of(field: &Field, mark: Option<DecimalMark>, ours: Currency) -> Option<Money> {
    let (number, currency) = match &field.cell {
        Cell::Empty => return None,
        Cell::Number(number) => (*number, None),
        Cell::Text(text) => {
            let (amount, currency) = Currency::split(text);
            (Decimal::parse(amount, mark).ok()?, currency)
        }
    };
    Some(Money::new(number.to_hundredths()?, currency.unwrap_or(ours)))
}

fn repeated_articles(draft: &OrderDraft, ours: Currency) -> Vec<Contradiction> {
    let mut by_sku: BTreeMap<Sku, Vec<&DraftLine>> = BTreeMap::new();
    for line in draft.lines.iter().take(MAX_LINES) {
        if let Some(sku) = sku_of(line) {
            by_sku.entry(sku).or_default().push(line);
        }
    }
    let mut repeated: Vec<_> = by_sku.into_iter().filter(|(_, lines)| lines.len() > 1).collect();
    repeated.sort_by_key(|(_, lines)| lines[0].at.line);
    repeated.into_iter().map(|(sku, lines)| contradiction_of(sku, &lines, draft.decimal_mark, ours)).collect()
}

fn contradiction_of(
    sku: Sku,
    lines: &[&DraftLine],
    mark: Option<DecimalMark>,
    ours: Currency,
) -> Contradiction {
    let claims = |text: &dyn Fn(&DraftLine) -> String| -> Vec<Claim> {
        lines.iter().map(|line| Claim { at: line.at.clone(), text: text(line) }).collect()
    };
    let shown = |field: &Option<Field>| field.as_ref().map(|field| field.cell.shown()).unwrap_or_default();
    let unit = |line: &DraftLine| unit_claims(line).into_iter().map(|(_, unit)| unit).next();
    let price = |line: &DraftLine| line.price.as_ref().and_then(|field| amount_of(field, mark, ours));
    let differ = |same: &dyn Fn(&DraftLine) -> bool| !lines.iter().all(|line| same(line));
    if differ(&|line| unit(line) == unit(lines[0])) {
        let text = |line: &DraftLine| shown(if line.unit.is_some() { &line.unit } else { &line.quantity });
        Contradiction::Units { sku, claims: claims(&text) }
    } else if differ(&|line| price(line) == price(lines[0])) {
        Contradiction::Prices { sku, claims: claims(&|line| shown(&line.price)) }
    } else if differ(&|line| quantity_claim(line, mark) == quantity_claim(lines[0], mark)) {
        Contradiction::Quantities { sku, claims: claims(&|line| shown(&line.quantity)) }
    } else {
        Contradiction::Repeated { sku, claims: claims(&|line| shown(&line.quantity)) }
    }
}

/// A stated total must be the sum of the lines; where a document has several parts, each part's total may be stated.
fn wrong_total(draft: &OrderDraft, computed: Option<Money>) -> Option<Contradiction> {
    let computed = computed?;
    let (at, last) = draft.totals.last()?;
    let claimed: Vec<_> = draft
        .totals
        .iter()
        .map(|(_, field)| amount_of(field, draft.decimal_mark, computed.currency))
        .collect();
    let sum = claimed.iter().try_fold(Money::new(0, computed.currency), |sum, claim| sum.plus((*claim)?));
    let agrees = sum == Some(computed) || claimed.contains(&Some(computed));
    (!agrees).then(|| Contradiction::OrderTotal { at: at.clone(), claimed: last.cell.shown(), computed })
}
