//! Words brought to one spelling, so that `Stück`, `STUECK` and `stuck` can be looked up alike.

/// Lower case, accents and punctuation gone, single blanks between words.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for character in text.chars().flat_map(char::to_lowercase) {
        match plain(character) {
            Some(plain) => folded.push_str(plain),
            None if character.is_alphanumeric() => folded.push(character),
            None if folded.ends_with(' ') || folded.is_empty() => {}
            None => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

fn plain(character: char) -> Option<&'static str> {
    Some(match character {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => "a",
        'è' | 'é' | 'ê' | 'ë' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => "o",
        'ù' | 'ú' | 'û' | 'ü' => "u",
        'ñ' => "n",
        'ç' => "c",
        'ß' => "ss",
        'œ' => "oe",
        'æ' => "ae",
        // Combining marks stay behind when a letter was written as two characters.
        '\u{300}' | '\u{301}' | '\u{302}' | '\u{303}' | '\u{308}' | '\u{327}' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn spelling_is_levelled() {
        assert_eq!(fold("  Stückpreis (EUR) "), "stuckpreis eur");
        assert_eq!(fold("Art.-Nr."), "art nr");
        assert_eq!(fold("Quantité"), "quantite");
        assert_eq!(fold("Quantite\u{301}"), "quantite");
        assert_eq!(fold("U.M."), "u m");
        assert_eq!(fold("…"), "");
    }
}
