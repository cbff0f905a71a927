//! Documents made to hurt their reader. They are data for tests of the child process; nothing in them is a trick of
//! this program's own making, each is a file that its format allows.

use crate::documents::{archive, bare_xlsx, pdf_of, stream};

/// Every hostile document, by file name.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("recursion.pdf", recursive_pdf()),
        ("endless.pdf", branching_pdf(40, "")),
        (
            "flood.pdf",
            branching_pdf(14, "BT /F1 9 Tf 1 0 0 1 10 10 Tm (a line of an order that never ends) Tj ET "),
        ),
        ("corners.xlsx", corners()),
        ("wide.xlsx", corner_sheet("A1", 4096, "ALL4096")),
        ("bomb.xlsx", bomb()),
        ("lying-bomb.xlsx", lying_bomb()),
        ("nested.pdf", nested_pdf()),
    ]
}

fn page(content: &[u8], forms: Vec<Vec<u8>>) -> Vec<u8> {
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> /XObject << /Fm 6 0 R >> >> >>".to_vec(),
        stream("", content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
    ];
    objects.extend(forms);
    pdf_of(&objects, "")
}

/// A drawing that draws itself: its reader recurses until its stack ends.
pub(crate) fn recursive_pdf() -> Vec<u8> {
    let form = stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /Fm 6 0 R >> >>",
        b"/Fm Do",
    );
    page(b"/Fm Do", vec![form])
}

/// Drawings that each draw the next one twice: `depth` of them are two to the power of `depth` drawings, and as many
/// times `last`.
fn branching_pdf(depth: usize, last: &str) -> Vec<u8> {
    let forms = (0..depth).map(|at| {
        let next = 7 + at;
        let (resources, content) = match at + 1 == depth {
            true => ("/Font << /F1 5 0 R >>".to_owned(), last.to_owned()),
            false => (format!("/XObject << /Fm {next} 0 R >>"), "/Fm Do /Fm Do".to_owned()),
        };
        stream(
            &format!("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << {resources} >>"),
            content.as_bytes(),
        )
    });
    page(b"/Fm Do", forms.collect())
}

/// Arrays in arrays in arrays.
fn nested_pdf() -> Vec<u8> {
    let deep = [vec![b'['; 20_000], vec![b']'; 20_000]].concat();
    pdf_of(&[b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(), deep], "")
}

/// Two cells in opposite corners: a sheet of seventeen thousand million cells.
pub(crate) fn corners() -> Vec<u8> {
    corner_sheet("A1", 1_048_576, "XFD1048576")
}

/// A sheet of two cells, which its reader holds with all cells between them.
fn corner_sheet(first: &str, last_row: u32, last: &str) -> Vec<u8> {
    let sheet = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="{first}"><v>1</v></c></row><row r="{last_row}"><c r="{last}"><v>1</v></c></row></sheetData></worksheet>"#
    );
    bare_xlsx(sheet.as_bytes())
}

/// A sheet of sixty-four million blanks, which deflate to almost nothing.
pub(crate) fn bomb() -> Vec<u8> {
    let mut sheet = br#"<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>"#.to_vec();
    sheet.resize(64 * 1024 * 1024, b' ');
    sheet.extend_from_slice(b"</sheetData></worksheet>");
    bare_xlsx(&sheet)
}

/// The same, with a directory that says every entry holds a thousand bytes.
fn lying_bomb() -> Vec<u8> {
    let mut file = archive(&[
        ("xl/workbook.xml", b"<workbook/>"),
        ("xl/worksheets/sheet1.xml", &vec![b' '; 64 * 1024 * 1024]),
    ]);
    let size = (64_u32 * 1024 * 1024).to_le_bytes();
    let said = 1_000_u32.to_le_bytes();
    let places: Vec<usize> =
        file.windows(4).enumerate().filter(|(_, w)| *w == size).map(|(at, _)| at).collect();
    for at in places {
        file[at..at + 4].copy_from_slice(&said);
    }
    file
}
