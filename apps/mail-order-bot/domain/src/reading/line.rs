//! One line of running text: `10 Stk TEA-100`, `TEA-100 x 10 à 3,50 EUR`, `- 5 boxes of MUG-200`.
//!
//! A line orders something when it names an article and a number that can only be its quantity. Where several numbers
//! could be, the line is kept without a quantity, so that the customer is asked instead of guessed at.

use crate::draft::{DraftLine, Field, LineRef};
use crate::money::Currency;
use crate::sku::Sku;
use crate::table::Cell;
use crate::unit::Unit;
use crate::words::fold;

/// Words that may stand around a quantity without being its unit, in folded spelling.
const FILLERS: &[&str] = &[
    "of", "de", "d", "di", "von", "vom", "please", "thanks", "bitte", "danke", "merci", "svp", "gracias",
    "favor", "por", "grazie", "prego", "article", "artikel", "item", "sku",
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Sku(&'a str),
    Number(&'a str),
    Unit(&'a str),
    /// `x`, `×`
    Times,
    /// `@`, `à`: what follows is a price.
    At,
    /// `Menge:`: what follows is a quantity.
    Quantity,
    Currency(&'a str),
    /// `of`, `please`: says nothing.
    Filler,
    Word(&'a str),
}

/// Longest line that is looked at closely, in bytes; people and programs break lines long before.
const MAX_LINE_BYTES: usize = 2_000;

/// The order lines of one line of text: one for each article it names.
pub(super) fn read(text: &str, at: &LineRef) -> Vec<DraftLine> {
    let text = without_bullet(text);
    let names = text.split_whitespace().map(bare).filter(|word| Sku::is_shape_of(word)).count();
    match names {
        0 => Vec::new(),
        // Too long to say which number belongs to which article: the customer is asked about the first.
        _ if text.len() > MAX_LINE_BYTES => {
            let first = text.split_whitespace().map(bare).find(|word| Sku::is_shape_of(word));
            let sku = first.map(|sku| Field { cell: Cell::text(sku), column: None });
            vec![DraftLine { sku, ..DraftLine::at(at.clone()) }]
        }
        1 => read_segment(text, at).into_iter().collect(),
        _ => segments(text).filter_map(|segment| read_segment(segment, at)).collect(),
    }
}

fn read_segment(text: &str, at: &LineRef) -> Option<DraftLine> {
    let tokens = tokens(text);
    let mut articles = tokens.iter().enumerate().filter_map(|(place, token)| match token {
        Token::Sku(sku) => Some((place, *sku)),
        _ => None,
    });
    let (place, sku) = articles.next()?;
    let several = articles.next().is_some();
    if !tokens.iter().any(|token| matches!(token, Token::Number(_))) {
        return None;
    }
    let field = |text: &str| Field { cell: Cell::text(text), column: None };
    let mut line = DraftLine::at(at.clone());
    line.sku = Some(field(sku));
    let Some(quantity) = quantity_place(&tokens, place).filter(|_| !several) else { return Some(line) };
    if let Token::Number(number) = tokens[quantity] {
        line.quantity = Some(field(number));
    }
    line.unit = unit_behind(&tokens[quantity + 1..]).map(field);
    let mut amounts = amounts(&tokens, quantity).into_iter();
    line.price = amounts.next().map(|amount| field(&amount));
    line.total = amounts.next().map(|amount| field(&amount));
    Some(line)
}

/// The word behind a quantity that says what it counts. A word that is no unit but stands where one would is taken as
/// one too, so that `10 barrels TEA-100` is asked about instead of being ten of anything.
fn unit_behind<'a>(behind: &[Token<'a>]) -> Option<&'a str> {
    let behind = if let [Token::Times, rest @ ..] = behind { rest } else { behind };
    match behind {
        [Token::Unit(unit), ..] => Some(unit),
        [Token::Word(word)]
        | [Token::Word(word), Token::Sku(_), ..]
        | [Token::Word(word), Token::Filler, Token::Sku(_), ..] => Some(word),
        _ => None,
    }
}

/// Which number is the quantity: one that is marked as such; else the only one that is no price; else the one beside
/// the article.
fn quantity_place(tokens: &[Token<'_>], sku: usize) -> Option<usize> {
    let before = |place: usize| place.checked_sub(1).and_then(|place| tokens.get(place));
    let numbers = || (0..tokens.len()).filter(|place| matches!(tokens[*place], Token::Number(_)));
    let is_price = |place: usize| {
        let next = tokens.get(place + 1);
        matches!(before(place), Some(Token::At | Token::Currency(_)))
            || matches!(next, Some(Token::Currency(_)))
    };
    let is_marked = |place: usize| {
        let next = tokens.get(place + 1);
        matches!(next, Some(Token::Times | Token::Unit(_)))
            || matches!(before(place), Some(Token::Times | Token::Quantity))
    };
    let free: Vec<_> = numbers().filter(|place| !is_price(*place)).collect();
    let marked: Vec<_> = free.iter().copied().filter(|place| is_marked(*place)).collect();
    let beside = |place: &usize| place.abs_diff(sku) == 1;
    match (marked.as_slice(), free.as_slice()) {
        ([one], _) | ([], [one]) => Some(*one),
        // `TEA-100 Tea 250 g 10 Stk`: only counting units count.
        ([_, ..], _) => only(marked.iter().copied().filter(|place| counts(tokens, *place))),
        ([], _) => only(free.iter().copied().filter(beside)),
    }
}

fn only(mut places: impl Iterator<Item = usize>) -> Option<usize> {
    places.next().filter(|_| places.next().is_none())
}

/// Whether the unit behind a number is one that goods are counted in, rather than measured.
fn counts(tokens: &[Token<'_>], place: usize) -> bool {
    match tokens.get(place + 1) {
        Some(Token::Unit(word)) => !matches!(
            Unit::from_word(word),
            Some(Unit::Gram | Unit::Kilogram | Unit::Litre | Unit::Metre) | None
        ),
        _ => true,
    }
}

/// Prices of the line in their order: numbers beside a currency or behind `@`, and plain amounts with cents that end
/// the line.
fn amounts(tokens: &[Token<'_>], quantity: usize) -> Vec<String> {
    let mut amounts = Vec::new();
    for (place, token) in tokens.iter().enumerate().skip(quantity + 1) {
        let Token::Number(number) = token else { continue };
        let before = tokens.get(place - 1);
        let after = tokens.get(place + 1);
        match (before, after) {
            (_, Some(Token::Currency(currency))) | (Some(Token::Currency(currency)), _) => {
                amounts.push(format!("{number} {currency}"));
            }
            (Some(Token::At), _) => amounts.push((*number).to_owned()),
            _ if has_cents(number) && ends_line(&tokens[place..]) => amounts.push((*number).to_owned()),
            _ => {}
        }
    }
    amounts
}

fn ends_line(tokens: &[Token<'_>]) -> bool {
    tokens.iter().all(|token| matches!(token, Token::Number(_) | Token::Currency(_)))
}

fn has_cents(number: &str) -> bool {
    let mut tail = number.bytes().rev();
    tail.by_ref().take(2).all(|b| b.is_ascii_digit()) && matches!(tail.next(), Some(b'.' | b','))
}

/// Parts of a line that names several articles.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '\t'])
        .flat_map(|part| part.split(", "))
        .flat_map(|part| part.split(" and "))
        .flat_map(|part| part.split(" und "))
        .flat_map(|part| part.split(" et "))
        .flat_map(|part| part.split(" y "))
        .flat_map(|part| part.split(" e "))
}

fn without_bullet(text: &str) -> &str {
    let text = text.trim();
    let rest = text.trim_start_matches(['*', '•', '·', '–']).trim_start();
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    // `1) 10 x TEA-100`: a number with a bracket or a full stop only numbers the lines.
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match rest[digits..].strip_prefix([')', '.']) {
        Some(tail) if (1..=3).contains(&digits) && tail.starts_with(' ') => tail.trim_start(),
        _ => rest,
    }
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| ",;:.()[]\"'*!?".contains(c))
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        token(word.trim_matches(|c: char| ";:()[]\"*!?=|".contains(c)), &mut tokens);
    }
    join_thousands(tokens, text)
}

fn token<'a>(word: &'a str, tokens: &mut Vec<Token<'a>>) {
    let word = word.trim_end_matches([',', '.', ':']);
    if word.is_empty() {
        return;
    }
    if Sku::is_shape_of(word) {
        tokens.push(Token::Sku(word));
    } else if is_number(word) {
        tokens.push(Token::Number(word));
    } else if matches!(word, "x" | "X" | "×" | "mal") {
        tokens.push(Token::Times);
    } else if matches!(word, "@" | "à" | "je" | "zu") {
        tokens.push(Token::At);
    } else if Currency::from_word(word).is_some() {
        tokens.push(Token::Currency(word));
    } else if let Some((head, tail)) = glued(word) {
        token(head, tokens);
        token(tail, tokens);
    } else if Unit::from_word(word).is_some() {
        tokens.push(Token::Unit(word));
    } else if FILLERS.contains(&fold(word).as_str()) {
        tokens.push(Token::Filler);
    } else if matches!(
        fold(word).as_str(),
        "qty"
            | "quantity"
            | "menge"
            | "anzahl"
            | "quantite"
            | "qte"
            | "cantidad"
            | "cant"
            | "quantita"
            | "qta"
    ) {
        tokens.push(Token::Quantity);
    } else {
        tokens.push(Token::Word(word));
    }
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+', '\u{2212}']).unwrap_or(word);
    let digits = digits.strip_suffix(",-").unwrap_or(digits);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || ".,'\u{2019}\u{a0}\u{202f}".contains(c))
}

/// `10x`, `x10`, `10Stk`, `3,50€`, `@3.50`: two tokens written as one.
fn glued(word: &str) -> Option<(&str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let split = if word.starts_with(is_digit) || word.starts_with(['-', '+']) {
        word.char_indices().find(|(_, c)| c.is_alphabetic() || "€$£×".contains(*c)).map(|(at, _)| at)
    } else {
        word.find(is_digit)
    }?;
    let (head, tail) = word.split_at(split);
    let known = |part: &str| {
        is_number(part)
            || matches!(part, "x" | "X" | "×" | "@")
            || Currency::from_word(part).is_some()
            || Unit::from_word(part).is_some()
    };
    (!head.is_empty() && known(head) && known(tail)).then_some((head, tail))
}

/// `1 200 Stk` is one number: three digits behind one to three, with nothing but a blank between. Two counts side by
/// side would make no sense, and a measure (`4 500 g`) is refused by its unit.
fn join_thousands<'a>(tokens: Vec<Token<'a>>, text: &'a str) -> Vec<Token<'a>> {
    let mut joined: Vec<Token<'a>> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if let (Some(Token::Number(head)), Token::Number(tail)) = (joined.last(), &token)
            && (1..=3).contains(&head.len())
            && head.bytes().all(|b| b.is_ascii_digit())
            && !head.starts_with('0')
            && tail.len() == 3
            && tail.bytes().all(|b| b.is_ascii_digit())
            && let Some(at) = text.find(&format!("{head} {tail}"))
        {
            let whole = &text[at..at + head.len() + 1 + tail.len()];
            joined.pop();
            joined.push(Token::Number(whole));
            continue;
        }
        joined.push(token);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Option<[String; 5]> {
        let at = LineRef { document: None, sheet: None, line: 1 };
        let mut lines = read(text, &at);
        assert!(lines.len() < 2, "{text} gave several lines");
        let line = lines.pop()?;
        let shown = |field: Option<Field>| field.map(|field| field.cell.shown()).unwrap_or_default();
        Some([line.sku, line.quantity, line.unit, line.price, line.total].map(shown))
    }

    #[test]
    fn a_line_is_read_however_it_is_put() {
        let cases: [(&str, [&str; 5]); 20] = [
            ("10 Stk TEA-100", ["TEA-100", "10", "Stk", "", ""]),
            ("10 x TEA-100", ["TEA-100", "10", "", "", ""]),
            ("10x TEA-100", ["TEA-100", "10", "", "", ""]),
            ("TEA-100 x 10", ["TEA-100", "10", "", "", ""]),
            ("TEA-100 x10", ["TEA-100", "10", "", "", ""]),
            ("TEA-100: 10 pcs", ["TEA-100", "10", "pcs", "", ""]),
            ("- 5 boxes of mug-200, please", ["mug-200", "5", "boxes", "", ""]),
            ("1) 10 x TEA-100", ["TEA-100", "10", "", "", ""]),
            ("10 TEA-100 @ 3.50", ["TEA-100", "10", "", "3.50", ""]),
            ("10 Stk. TEA-100 à 3,50 EUR = 35,00 EUR", ["TEA-100", "10", "Stk", "3,50 EUR", "35,00 EUR"]),
            ("TEA-100 Grüner Tee 10 Stk 3,50 35,00", ["TEA-100", "10", "Stk", "3,50", "35,00"]),
            ("TEA-100 Grüner Tee 250 g 10 Stk", ["TEA-100", "10", "Stk", "", ""]),
            ("TEA-100 Menge: 10", ["TEA-100", "10", "", "", ""]),
            ("1 200 Stk TEA-100", ["TEA-100", "1 200", "Stk", "", ""]),
            ("-5 TEA-100", ["TEA-100", "-5", "", "", ""]),
            ("10Stk TEA-100 3,50€", ["TEA-100", "10", "Stk", "3,50 €", ""]),
            ("10 barrels of TEA-100", ["TEA-100", "10", "barrels", "", ""]),
            ("TEA-100 10 barrels", ["TEA-100", "10", "barrels", "", ""]),
            ("TEA-100 x 10 please", ["TEA-100", "10", "", "", ""]),
            ("4.5 kg FLR-001", ["FLR-001", "4.5", "kg", "", ""]),
        ];
        for (text, expected) in cases {
            assert_eq!(read_one(text), Some(expected.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn an_unclear_quantity_is_left_out_rather_than_guessed() {
        assert_eq!(read_one("TEA-100 from lot 12 of 40").map(|line| line[1].clone()), Some(String::new()));
        assert_eq!(read_one("we liked TEA-100 a lot"), None);
        assert_eq!(read_one("10 boxes of tea"), None);
    }

    #[test]
    fn a_line_without_end_is_asked_about() {
        let endless = format!("10 x TEA-100 {}", "4 500 ".repeat(100_000));
        assert_eq!(read_one(&endless), Some(["TEA-100", "", "", "", ""].map(str::to_owned)));
    }

    #[test]
    fn several_articles_on_a_line_are_several_lines() {
        let at = LineRef { document: None, sheet: None, line: 1 };
        let lines = read("Please send 10 x TEA-100, 4 x MUG-200 and 2 boxes of CAN-300.", &at);
        let found: Vec<_> = lines
            .into_iter()
            .map(|line| {
                (line.sku.expect("an article").cell.shown(), line.quantity.expect("a quantity").cell.shown())
            })
            .collect();
        let expected = [("TEA-100", "10"), ("MUG-200", "4"), ("CAN-300", "2")];
        assert_eq!(found, expected.map(|(sku, quantity)| (sku.to_owned(), quantity.to_owned())));
    }
}
