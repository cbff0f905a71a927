//! What is told of principals and tokens: what they may do, and never what they are known by.

use runtime_core::access::{Principal, Token};
use runtime_core::journal::{Changed, Changes, Value};

/// What a principal may do now, and what is another than before.
pub(super) fn principal(before: Option<&Principal>, after: &Principal) -> Changes {
    let grants = |principal: &Principal| {
        let grants: Vec<String> = principal.grants.iter().map(ToString::to_string).collect();
        Value::text(grants.join(", "))
    };
    let yes = |is: bool| Value::Word(if is { "yes" } else { "no" });
    let said = |principal: &Principal| {
        [
            ("grants", grants(principal)),
            ("read_payloads", yes(principal.read_payloads)),
            ("certificates", Value::number(principal.certificates.len())),
            ("disabled", yes(principal.disabled)),
        ]
    };
    let mut before = before.map(said).into_iter().flatten();
    Changes::of(said(after).into_iter().filter_map(|(field, is)| {
        let was = before.next().map_or(Value::Nothing, |(_, was)| was);
        (was != is).then(|| Changed::new(field, was, is))
    }))
}

/// Whose token it is, what for, and until when.
pub(super) fn token(token: &Token) -> Changes {
    let fields = [
        Changed::is("principal", Value::text(token.principal.to_string())),
        Changed::is("label", Value::text(token.name.to_string())),
    ];
    let ends = token.expires_at.map(|end| Changed::is("expires_at", Value::text(end.to_string())));
    Changes::of(fields.into_iter().chain(ends))
}
