//! Whether anybody could still come in who may do anything: so that nobody shuts out everybody, himself included.

use jiff::Timestamp;

use super::{Principal, Target, Token};
use crate::access::Role;

/// Whether one of these principals is an admin of everything and can come in, by a token that is good or by a certificate. One that several of
/// them claim lets none of them in.
pub fn has_way_in(principals: &[Principal], tokens: &[Token], now: Timestamp) -> bool {
    let has_token = |principal: &Principal| {
        tokens.iter().any(|token| token.principal == principal.name && token.is_good(now).is_ok())
    };
    let claims = |certificate: &String| {
        principals.iter().filter(|principal| principal.certificates.contains(certificate)).count()
    };
    let has_certificate =
        |principal: &Principal| principal.certificates.iter().any(|certificate| claims(certificate) == 1);
    principals
        .iter()
        .filter(|principal| principal.may(Role::Admin, &Target::Whole))
        .any(|principal| has_certificate(principal) || has_token(principal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Grant, PrincipalKind, TokenText};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    #[test]
    fn a_way_in_is_an_admin_of_everything_with_a_token_or_a_certificate() {
        let root = Principal::almighty("root".parse().unwrap(), PrincipalKind::Person, at(0));
        let text = TokenText::of_chance([1; TokenText::CHANCE]);
        let token = Token {
            id: text.id().clone(),
            principal: root.name.clone(),
            name: "first".parse().unwrap(),
            hash: text.hash(),
            created_at: at(0),
            expires_at: Some(at(10)),
            revoked_at: None,
        };
        let grant = |text: &str| vec![text.parse::<Grant>().unwrap()];
        let with_certificate = Principal { certificates: vec!["CN=root".into()], ..root.clone() };
        let other = Token { principal: "other".parse().unwrap(), ..token.clone() };
        let revoked = Token { revoked_at: Some(at(1)), ..token.clone() };
        for (principal, tokens, expected) in [
            (root.clone(), vec![token.clone()], true),
            (with_certificate.clone(), vec![], true),
            (root.clone(), vec![], false),
            (root.clone(), vec![revoked], false),
            (root.clone(), vec![other], false),
            (Principal { disabled: true, ..with_certificate.clone() }, vec![token.clone()], false),
            (Principal { grants: grant("operator"), ..root.clone() }, vec![token.clone()], false),
            (Principal { grants: grant("admin:apps/shop"), ..root.clone() }, vec![token.clone()], false),
        ] {
            let expected_of = format!("{principal:?} {tokens:?}");
            assert_eq!(has_way_in(&[principal], &tokens, at(5)), expected, "{expected_of}");
        }
        let claims = Principal { name: "guest".parse().unwrap(), disabled: true, ..with_certificate.clone() };
        assert!(!has_way_in(&[with_certificate.clone(), claims], &[], at(0)), "it lets neither of them in");
        assert!(has_way_in(&[with_certificate, root.clone()], &[], at(0)));
        assert!(!has_way_in(&[root], &[token], at(10)), "its time is over");
        assert!(!has_way_in(&[], &[], at(0)));
    }
}
