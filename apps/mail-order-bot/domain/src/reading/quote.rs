//! What the sender of a mail wrote, as against what was quoted. A reply repeats an older mail, perhaps our own
//! confirmation: its lines were ordered before. A forwarded mail is the very thing that is sent.

/// The text with everything that is only quoted left blank, so that lines keep their numbers.
pub(crate) fn own_words(text: &str, subject: &str) -> String {
    let forwarded = is_forward(subject);
    let lines: Vec<&str> = text.lines().collect();
    let mut own = String::with_capacity(text.len());
    for (at, line) in lines.iter().enumerate() {
        if line.trim_end() == "--" || !forwarded && opens_quote(&lines[at..]) {
            break;
        }
        match line.trim_start().strip_prefix('>') {
            Some(quoted) if forwarded => own.push_str(quoted.trim_start_matches(['>', ' '])),
            Some(_) => {}
            None => own.push_str(line),
        }
        own.push('\n');
    }
    own
}

fn is_forward(subject: &str) -> bool {
    has_prefix(subject, &["fwd", "fw", "wg", "tr", "rv", "i"])
}

/// Whether the subject is an older mail's, which somebody answers.
pub(crate) fn is_reply(subject: &str) -> bool {
    has_prefix(subject, &["re", "aw", "antw", "rép", "r", "rif"])
}

fn has_prefix(subject: &str, prefixes: &[&str]) -> bool {
    let prefix = subject.split_once(':').map(|(prefix, _)| prefix.trim().to_lowercase());
    prefix.is_some_and(|prefix| prefixes.contains(&prefix.as_str()))
}

/// `-----Original Message-----`, or the block of headers that some programs put above the older mail.
fn opens_quote(lines: &[&str]) -> bool {
    let Some((first, below)) = lines.split_first() else { return false };
    let first = first.trim();
    let title = first.trim_matches(['-', ' ']).to_lowercase();
    let titled = matches!(
        title.as_str(),
        "original message"
            | "ursprüngliche nachricht"
            | "message d'origine"
            | "message original"
            | "mensaje original"
            | "messaggio originale"
    );
    let starts = |line: &str, heads: &[&str]| heads.iter().any(|head| line.trim_start().starts_with(head));
    let from = starts(first, &["From:", "Von:", "De:", "De :", "Da:"]);
    let sent = below.iter().take(3).any(|line| {
        starts(
            line,
            &["Sent:", "Gesendet:", "Envoyé", "Enviado", "Inviato", "Date:", "Datum:", "Fecha:", "Data:"],
        )
    });
    first.starts_with("--") && titled || from && sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_only_what_is_new_in_it() {
        let text = "Thank you!\n> 10 x TEA-100\n\nFrom: shop@example\nSent: Monday\n10 x TEA-100\n";
        assert_eq!(own_words(text, "Re: Order"), "Thank you!\n\n\n");
        let text = "Danke\n-----Ursprüngliche Nachricht-----\n10 x TEA-100";
        assert_eq!(own_words(text, "AW: Bestellung"), "Danke\n");
    }

    #[test]
    fn a_forwarded_mail_is_what_was_sent() {
        let text = "see below\nVon: Ann\nGesendet: Montag\n> 10 x TEA-100";
        assert_eq!(
            own_words(text, "WG: Bestellung"),
            "see below\nVon: Ann\nGesendet: Montag\n10 x TEA-100\n"
        );
    }

    #[test]
    fn a_signature_is_no_part_of_the_letter() {
        assert_eq!(own_words("10 x TEA-100\n-- \nAnn, TEA-100 fan 1", "Order"), "10 x TEA-100\n");
    }
}
