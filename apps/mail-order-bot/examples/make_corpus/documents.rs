//! Workbooks and PDF files, good ones. XLSX comes from a writer of its own and from bare hands, since programs differ in
//! what they write.

use std::io::{Cursor, Write};

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Formula, Workbook};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A cell of a sheet.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Text(&'static str),
    Number(f64),
    /// A formula with the value its program last computed.
    Formula(&'static str, &'static str),
    Nothing,
}

pub(crate) use Value::{Formula as F, Nothing as E, Number as N, Text as T};

/// A workbook of named sheets.
pub(crate) fn xlsx(sheets: &[(&str, &[&[Value]])]) -> Vec<u8> {
    let mut book = Workbook::new();
    let created = ExcelDateTime::from_ymd(2026, 3, 1).expect("a date");
    book.set_properties(&DocProperties::new().set_creation_datetime(&created));
    for (name, rows) in sheets {
        let sheet = book.add_worksheet();
        sheet.set_name(*name).expect("a sheet name");
        for (row, cells) in (0..).zip(*rows) {
            for (column, value) in (0..).zip(*cells) {
                match value {
                    Value::Text(text) => sheet.write_string(row, column, *text).map(|_| ()),
                    Value::Number(number) => sheet.write_number(row, column, *number).map(|_| ()),
                    Value::Formula(formula, result) => sheet
                        .write_formula(row, column, Formula::new(*formula).set_result(*result))
                        .map(|_| ()),
                    Value::Nothing => Ok(()),
                }
                .expect("a cell inside the sheet");
            }
        }
    }
    book.save_to_buffer().expect("a workbook in memory")
}

/// A zip archive of text files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default());
    for (name, content) in files {
        archive.start_file(*name, options).expect("an entry");
        archive.write_all(content).expect("its content");
    }
    archive.finish().expect("an archive in memory").into_inner()
}

/// The least that is an XLSX file, around the XML of its one sheet.
pub(crate) fn bare_xlsx(sheet: &[u8]) -> Vec<u8> {
    archive(&[
        (
            "[Content_Types].xml",
            br#"<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>"#,
        ),
        (
            "_rels/.rels",
            br#"<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
        ),
        (
            "xl/workbook.xml",
            br#"<?xml version="1.0" encoding="UTF-8"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Foglio1" sheetId="1" r:id="rId1"/></sheets></workbook>"#,
        ),
        (
            "xl/_rels/workbook.xml.rels",
            br#"<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
        ),
        ("xl/worksheets/sheet1.xml", sheet),
    ])
}

/// A sheet whose texts stand in its cells, as export tools write it.
pub(crate) fn inline_sheet(rows: &[&[Value]]) -> Vec<u8> {
    let mut xml = String::from(
        r#"<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>"#,
    );
    for (row, cells) in (1..).zip(rows) {
        xml.push_str(&format!(r#"<row r="{row}">"#));
        for (column, value) in ('A'..='Z').zip(*cells) {
            match value {
                Value::Text(text) => {
                    xml.push_str(&format!(r#"<c r="{column}{row}" t="inlineStr"><is><t>{text}</t></is></c>"#))
                }
                Value::Number(number) => {
                    xml.push_str(&format!(r#"<c r="{column}{row}"><v>{number}</v></c>"#))
                }
                Value::Formula(formula, result) => {
                    xml.push_str(&format!(r#"<c r="{column}{row}"><f>{formula}</f><v>{result}</v></c>"#));
                }
                Value::Nothing => {}
            }
        }
        xml.push_str("</row>");
    }
    xml.push_str("</sheetData></worksheet>");
    xml.into_bytes()
}

/// An OpenDocument spreadsheet of one sheet, padded with the repeated blank cells and rows that its programs write.
pub(crate) fn ods(rows: &[&[Value]]) -> Vec<u8> {
    let mut table = String::new();
    for cells in rows {
        table.push_str("<table:table-row>");
        for value in *cells {
            match value {
                Value::Text(text) => table.push_str(&format!(
                    r#"<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>"#
                )),
                Value::Number(number) => table.push_str(&format!(
                    r#"<table:table-cell office:value-type="float" office:value="{number}"><text:p>{number}</text:p></table:table-cell>"#
                )),
                Value::Formula(formula, result) => table.push_str(&format!(
                    r#"<table:table-cell table:formula="of:={formula}" office:value-type="float" office:value="{result}"><text:p>{result}</text:p></table:table-cell>"#
                )),
                Value::Nothing => table.push_str("<table:table-cell/>"),
            }
        }
        table.push_str(r#"<table:table-cell table:number-columns-repeated="16370"/></table:table-row>"#);
    }
    let content = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.3"><office:body><office:spreadsheet><table:table table:name="Hoja1">{table}<table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="16384"/></table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"#
    );
    archive(&[
        ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
        (
            "META-INF/manifest.xml",
            br#"<?xml version="1.0" encoding="UTF-8"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.3"><manifest:file-entry manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/><manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>"#,
        ),
        ("content.xml", content.as_bytes()),
    ])
}

/// A PDF file from its objects, numbered from one; the first is the catalogue. `trailer` adds entries to the trailer.
pub(crate) fn pdf_of(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in (1..).zip(objects) {
        offsets.push(file.len());
        file.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let start = file.len();
    let count = objects.len() + 1;
    file.extend_from_slice(format!("xref\n0 {count}\n0000000000 65535 f \n").as_bytes());
    for offset in offsets {
        file.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    let end = format!("trailer\n<< /Size {count} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n");
    file.extend_from_slice(end.as_bytes());
    file
}

/// A stream object.
pub(crate) fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
    object.extend_from_slice(content);
    object.extend_from_slice(b"\nendstream");
    object
}

/// A one-page PDF; each text stands at a place of its own, in points from the left and from the bottom.
pub(crate) fn pdf(texts: &[(u32, u32, &str)], trailer: &str) -> Vec<u8> {
    let mut content = b"BT /F1 11 Tf\n".to_vec();
    for (x, y, text) in texts {
        content.extend_from_slice(format!("1 0 0 1 {x} {y} Tm (").as_bytes());
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(text);
        for byte in bytes.iter() {
            if b"()\\".contains(byte) {
                content.push(b'\\');
            }
            content.push(*byte);
        }
        content.extend_from_slice(b") Tj\n");
    }
    content.extend_from_slice(b"ET");
    pdf_of(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_vec(),
            stream("", &content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
        ],
        trailer,
    )
}

/// Lines of text down a page.
pub(crate) fn pdf_lines(lines: &[&str]) -> Vec<u8> {
    let placed: Vec<_> = (0..).zip(lines).map(|(at, line)| (60, 780 - 18 * at, *line)).collect();
    pdf(&placed, "")
}
