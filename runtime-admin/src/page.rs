//! Pages of lists: sizes within bounds, and tokens that mean something only here.

use tonic::Status;

use crate::status::invalid;

/// Items of a page when nothing is asked.
pub(crate) const DEFAULT_PAGE_SIZE: usize = 50;
/// Most items of a page.
pub(crate) const MAX_PAGE_SIZE: usize = 1_000;

/// The page size asked for, within bounds.
pub(crate) fn page_size(asked: u32) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(DEFAULT_PAGE_SIZE),
        Ok(size) if size <= MAX_PAGE_SIZE => Ok(size),
        _ => Err(invalid("page_size", format!("{asked} is more than {MAX_PAGE_SIZE}"))),
    }
}

/// A token for the place `cursor` in the list `list`. The list's name carries everything that selects its items, so that a
/// token of another list or of another filter is noticed.
pub(crate) fn page_token(list: &str, cursor: &str) -> String {
    let text = format!("{:016x}{cursor}", fingerprint(list));
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The place that a token means; `None` for the first page.
pub(crate) fn cursor(list: &str, token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    decode(list, token).map(Some).ok_or_else(|| invalid("page_token", "not a token of this list and filter"))
}

/// One page of a short list that is sorted by name, and the token of the next.
pub(crate) fn page_of<T>(
    list: &str,
    items: Vec<T>,
    name: impl Fn(&T) -> &str,
    asked: u32,
    token: &str,
) -> Result<(Vec<T>, String), Status> {
    let size = page_size(asked)?;
    let after = cursor(list, token)?;
    let mut page: Vec<T> =
        items.into_iter().filter(|item| after.as_deref().is_none_or(|after| name(item) > after)).collect();
    let more = page.len() > size;
    page.truncate(size);
    let next = page.last().filter(|_| more).map_or_else(String::new, |last| page_token(list, name(last)));
    Ok((page, next))
}

fn decode(list: &str, token: &str) -> Option<String> {
    if token.len() > 1_024 || !token.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = token
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect();
    let text = String::from_utf8(bytes?).ok()?;
    let cursor = text.strip_prefix(&format!("{:016x}", fingerprint(list)))?;
    (!cursor.is_empty()).then(|| cursor.to_owned())
}

/// FNV-1a, 64 bits: tells filters apart, hides nothing.
fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place_in_its_own_list_only() {
        let token = page_token("tasks state=dead", "0199");
        assert_eq!(cursor("tasks state=dead", &token).unwrap().as_deref(), Some("0199"));
        assert_eq!(cursor("tasks state=dead", "").unwrap(), None);
        for (list, token) in [
            ("tasks state=done", token.as_str()),
            ("tasks state=dead", "zz"),
            ("tasks state=dead", "abc"),
            ("x", "é"),
        ] {
            assert!(cursor(list, token).is_err(), "{list} {token}");
        }
    }

    #[test]
    fn pages_of_a_list_hold_every_item_once() {
        let all: Vec<String> = (0..7).map(|n| format!("q{n}")).collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = page_of("queues", all.clone(), |name| name, 3, &token).unwrap();
            seen.extend(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, all);
        assert!(page_of("queues", all, |name| name, 1_001, "").is_err());
    }
}
