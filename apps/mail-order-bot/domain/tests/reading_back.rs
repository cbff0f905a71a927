//! An order written down in any of the usual ways is read back as the same order; one that was tampered with is never
//! read as another one without being told so.

use mail_order_domain::{
    Content, DecimalMark, Document, Language, Letter, Obstacle, ObstacleCode, Product, Shop, Table, Verdict,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const CATALOGUE: &str = "sku;name;unit;minimum;multiple;maximum;price
TEA-100;Green tea;pack;1;1;5000;6.40 EUR
COF-110;Filter coffee;pack;6;6;6000;7.25 EUR
MUG-200;Mug;piece;12;6;9000;3.95 EUR
SYR-300;Syrup;bottle;6;6;2400;8.10 EUR
COF-900;Green coffee;kilogram;25;25;20000;4.85 EUR
MAC-700;Espresso machine;piece;1;1;20;3450.00 EUR
";
const CUSTOMERS: &str = "match;customer;name;language\n@cafe.example;C-1;Café;en\n";

fn shop() -> Shop {
    Shop::parse(CATALOGUE, CUSTOMERS).expect("good files")
}

/// Articles with quantities the shop takes.
type Wanted = Vec<(Product, u32)>;

fn wanted() -> impl Strategy<Value = Wanted> {
    let products: Vec<Product> = shop().catalogue.products().cloned().collect();
    let count = products.len();
    subsequence(products, 1..=count).prop_flat_map(|products| {
        products
            .into_iter()
            .map(|product| {
                let steps = product.minimum / product.multiple..=product.maximum / product.multiple;
                steps.prop_map(move |steps| (product.clone(), steps * product.multiple))
            })
            .collect::<Vec<_>>()
    })
}

/// How a writer of a language writes an order table.
struct Style {
    titles: [&'static str; 6],
    total: &'static str,
    mark: DecimalMark,
}

fn style(language: Language) -> Style {
    let (titles, total) = match language {
        Language::En => (["Item no.", "Description", "Qty", "Unit", "Unit price", "Line total"], "Total"),
        Language::De => {
            (["Art.-Nr.", "Bezeichnung", "Menge", "Einheit", "Einzelpreis", "Gesamtpreis"], "Summe")
        }
        Language::Fr => {
            (["Référence", "Désignation", "Quantité", "Unité", "Prix unitaire", "Montant"], "Total HT")
        }
        Language::Es => (["Código", "Descripción", "Cantidad", "Unidad", "Precio", "Importe"], "Total"),
        Language::It => (["Codice", "Descrizione", "Quantità", "U.M.", "Prezzo", "Importo"], "Totale"),
    };
    Style { titles, total, mark: language.decimal_mark() }
}

fn grouped(whole: i64, group: &str) -> String {
    let digits = whole.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push_str(group);
        }
        text.push(digit);
    }
    text
}

fn amount(minor: i64, mark: DecimalMark) -> String {
    match mark {
        DecimalMark::Comma => format!("{},{:02}", grouped(minor / 100, "."), minor % 100),
        DecimalMark::Point => format!("{}.{:02}", grouped(minor / 100, ","), minor % 100),
    }
}

fn count(quantity: u32, mark: DecimalMark) -> String {
    grouped(i64::from(quantity), if mark == DecimalMark::Comma { "." } else { "," })
}

/// The order as a table, with prices, line totals and the total.
fn table(wanted: &Wanted, language: Language) -> Vec<Vec<String>> {
    let style = style(language);
    let mut rows = vec![style.titles.map(str::to_owned).to_vec()];
    let mut sum = 0;
    for (product, quantity) in wanted {
        let line = product.price.minor * i64::from(*quantity);
        sum += line;
        rows.push(vec![
            product.sku.to_string(),
            product.name.clone(),
            count(*quantity, style.mark),
            product.unit.to_text(language).to_owned(),
            amount(product.price.minor, style.mark),
            amount(line, style.mark),
        ]);
    }
    let blank = String::new;
    rows.push(vec![style.total.to_owned(), blank(), blank(), blank(), blank(), amount(sum, style.mark)]);
    rows
}

fn as_table(rows: &[Vec<String>]) -> Table {
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    Table::from_text(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn letter(document: Document) -> Letter {
    Letter {
        sender: "ann@cafe.example".into(),
        subject: "Order".into(),
        documents: vec![document],
        ..Letter::default()
    }
}

fn ordered(verdict: &Verdict) -> Option<Vec<(String, u32)>> {
    match verdict {
        Verdict::Order { order } => {
            Some(order.lines.iter().map(|line| (line.sku.to_string(), line.quantity)).collect())
        }
        _ => None,
    }
}

fn as_wanted(wanted: &Wanted) -> Vec<(String, u32)> {
    wanted.iter().map(|(product, quantity)| (product.sku.to_string(), *quantity)).collect()
}

proptest! {
    #[test]
    fn a_table_in_any_language_is_read_back(wanted in wanted(), language in select(Language::ALL.to_vec())) {
        let verdict = shop().judge(&letter(Document::table("order", as_table(&table(&wanted, language)))));
        prop_assert_eq!(ordered(&verdict), Some(as_wanted(&wanted)), "{:?}", verdict);
    }

    #[test]
    fn a_table_pasted_into_the_mail_is_read_back(
        wanted in wanted(),
        language in select(Language::ALL.to_vec()),
        separator in select(vec!["\t", ";", "|"]),
    ) {
        let rows: Vec<_> = table(&wanted, language).iter().map(|row| row.join(separator)).collect();
        let text = format!("Hello,\n\n{}\n\nRegards\n", rows.join("\n"));
        let verdict = shop().judge(&letter(Document::mail_text(&text)));
        prop_assert_eq!(ordered(&verdict), Some(as_wanted(&wanted)), "{:?}", verdict);
    }

    #[test]
    fn lines_of_text_are_read_back(wanted in wanted(), form in 0..6_usize) {
        let line = |(product, quantity): &(Product, u32)| {
            let (sku, unit) = (&product.sku, product.unit);
            let price = amount(product.price.minor, DecimalMark::Point);
            match form {
                0 => format!("{quantity} x {sku}"),
                1 => format!("- {quantity} {unit} {sku}"),
                2 => format!("{sku}: {quantity} {unit}"),
                3 => format!("{sku} x{quantity}"),
                4 => format!("{quantity} {unit} of {sku} @ {price}"),
                _ => format!("{sku} {} {quantity} {unit} EUR {price}", product.name),
            }
        };
        let lines: Vec<_> = wanted.iter().map(line).collect();
        let text = format!("Hello,\nplease send us\n\n{}\n\nThanks\n", lines.join("\n"));
        let verdict = shop().judge(&letter(Document::mail_text(&text)));
        prop_assert_eq!(ordered(&verdict), Some(as_wanted(&wanted)), "{:?}\n{}", verdict, text);
    }

    /// Prices and totals bind the quantities: no single cell of the table can be changed so that another order comes out.
    #[test]
    fn a_tampered_table_is_never_another_order(
        wanted in wanted(),
        language in select(Language::ALL.to_vec()),
        row in any::<prop::sample::Index>(),
        column in 0..6_usize,
        cell in "[0-9]{1,5}|[A-Z]{3}-[0-9]{3}|[a-zü.,;€ 0-9-]{0,8}",
    ) {
        let mut rows = table(&wanted, language);
        let row = row.index(rows.len());
        rows[row][column] = cell;
        let verdict = shop().judge(&letter(Document::table("order", as_table(&rows))));
        if let Some(ordered) = ordered(&verdict) {
            // A changed name, or a total or a unit that is left out, changes nothing of what is ordered.
            let same = ordered == as_wanted(&wanted);
            // The heading of the totals binds the totals; without it a quantity is bound by nothing but itself.
            prop_assert!(same, "row {row}, column {column}: {ordered:?} from {rows:?}");
        }
    }

    #[test]
    fn any_text_gets_a_verdict(text in "(\\PC{0,40}\n|[0-9]{1,4} (x|Stk|pcs)? ?[A-Z]{3}-[0-9]{3}.{0,12}\n){0,12}") {
        let letter = letter(Document::mail_text(&text));
        let shop = shop();
        let verdict = shop.judge(&letter);
        prop_assert!(Verdict::CODES.contains(&verdict.code()));
        prop_assert_eq!(shop.judge(&letter), verdict);
    }

    #[test]
    fn any_table_gets_a_verdict(rows in prop::collection::vec(
        prop::collection::vec("(SKU|Qty|Menge|Unit|Total|TEA-100|COF-110|[0-9.,]{0,6}|\\PC{0,8})", 0..6), 0..8,
    )) {
        let letter = letter(Document::table("t", as_table(&rows)));
        let verdict = shop().judge(&letter);
        let reply = shop().reply(&letter, &verdict);
        prop_assert_eq!(reply.is_some(), matches!(
            verdict,
            Verdict::Order { .. } | Verdict::InvalidLines { .. } | Verdict::Contradictory { .. }
        ));
    }
}

#[test]
fn the_first_question_that_fails_decides() {
    let order = Document::table("order.csv", Table::from_text(&[&["SKU", "Qty"], &["TEA-100", "4"]]));
    let broken = |code| Obstacle { attachment: "other.pdf".into(), code };
    let base = letter(order);
    let code = |letter: &Letter| shop().judge(letter).code();
    assert_eq!(code(&base), "order");
    assert_eq!(code(&Letter { automatic: true, ..base.clone() }), "not_an_order");
    assert_eq!(code(&Letter { sender: "x@y.example".into(), ..base.clone() }), "unknown_customer");
    let with = |code| Letter { obstacles: vec![broken(code)], ..base.clone() };
    assert_eq!(code(&with(ObstacleCode::Unreadable)), "unreadable_attachment", "it might say something else");
    assert_eq!(code(&with(ObstacleCode::TooLarge)), "refused_attachment");
    assert_eq!(
        code(&with(ObstacleCode::Unsupported)),
        "order",
        "letters and pictures beside an order are common"
    );
    let stranger = Letter { sender: "x@y.example".into(), ..with(ObstacleCode::Unreadable) };
    assert_eq!(shop().reply(&stranger, &shop().judge(&stranger)), None, "strangers are never written to");
}

#[test]
fn a_workbook_may_spread_an_order_over_its_sheets() {
    let sheet = |name: &str, rows: &[&[&str]]| {
        Content::Table(Table { sheet: Some(name.into()), ..Table::from_text(rows) })
    };
    let book = |second: &[&[&str]]| Document {
        name: Some("order.xlsx".into()),
        contents: vec![sheet("Tea", &[&["SKU", "Qty"], &["TEA-100", "4"]]), sheet("Mugs", second)],
    };
    let verdict = shop().judge(&letter(book(&[&["SKU", "Qty"], &["MUG-200", "12"]])));
    assert_eq!(ordered(&verdict), Some(vec![("TEA-100".into(), 4), ("MUG-200".into(), 12)]));
    let verdict = shop().judge(&letter(book(&[&["SKU", "Qty"], &["TEA-100", "5"]])));
    assert_eq!(verdict.code(), "contradictory", "{verdict:?}");
}
