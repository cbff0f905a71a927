//! Whom a certificate names, as text that rules and audit entries can be written with.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::peer::PeerIdentity;

/// Whom a certificate names. It must have been verified before: this only reads.
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Option<PeerIdentity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()?;
    let names =
        names.into_iter().flat_map(|names| &names.value.general_names).filter_map(alternative).collect();
    let ends = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    Some(PeerIdentity { subject: subject(certificate.subject()), names, ends })
}

/// As RFC 4514 writes it: the most special part first.
fn subject(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let part = |attributes: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        attributes.iter().map(attribute).collect::<Vec<_>>().join("+")
    };
    parts.into_iter().rev().map(part).collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let kind = oid2abbrev(kind, oid_registry()).map_or_else(|_| kind.to_id_string(), str::to_owned);
    match attribute.as_str() {
        Ok(value) => format!("{kind}={}", escaped(value)),
        Err(_) => {
            let hex: String = attribute.as_slice().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{kind}=#{hex}")
        }
    }
}

/// So that no value can pass for another part of the name.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', character]),
            ' ' if at == 0 || at == last => text.extend(['\\', ' ']),
            '#' if at == 0 => text.extend(['\\', '#']),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                control
                    .encode_utf8(&mut bytes)
                    .bytes()
                    .for_each(|byte| text.push_str(&format!("\\{byte:02x}")));
            }
            plain => text.push(plain),
        }
    }
    text
}

/// Other kinds of names are nobody's here.
fn alternative(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(format!("dns:{name}")),
        GeneralName::URI(uri) => Some(format!("uri:{uri}")),
        GeneralName::RFC822Name(address) => Some(format!("email:{address}")),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| format!("ip:{}", Ipv4Addr::from(bytes))),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| format!("ip:{}", Ipv6Addr::from(bytes))),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_names_its_subject_and_its_other_names() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["deploy.example".to_owned()]).expect("names");
        params.not_after = rcgen::date_time_ymd(2040, 1, 2);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Shop, \"North\"");
        params.distinguished_name.push(DnType::CommonName, " deploy+1 ");
        params.subject_alt_names.extend([
            SanType::URI("spiffe://shop/deploy".try_into().expect("text")),
            SanType::Rfc822Name("ops@example.org".try_into().expect("text")),
            SanType::IpAddress("192.0.2.7".parse().expect("an address")),
            SanType::IpAddress("2001:db8::7".parse().expect("an address")),
        ]);
        let certificate = params.self_signed(&key).expect("a certificate");
        let identity = identity(certificate.der()).expect("an identity");
        assert_eq!(identity.subject, r#"CN=\ deploy\+1\ ,O=Shop\, \"North\""#);
        let expected = [
            "dns:deploy.example",
            "uri:spiffe://shop/deploy",
            "email:ops@example.org",
            "ip:192.0.2.7",
            "ip:2001:db8::7",
        ];
        assert_eq!(identity.names, expected);
        assert_eq!(identity.ends, "2040-01-02T00:00:00Z".parse().expect("a moment"));
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        assert_eq!(identity(&CertificateDer::from(b"nothing".to_vec())), None);
    }
}
