//! AuditService.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_core::audit::AuditKind;
use runtime_core::control::CommandError;
use runtime_core::store::{AuditFilter, AuditLog, AuditTest, TextTest};
use runtime_proto::v1;
use runtime_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::filter::{Field, Value, parse};
use crate::page::{cursor, page_size, page_token};
use crate::status::{Resource, invalid, refusal};

/// Who did what, and who was refused.
pub(crate) struct Audit(pub(crate) Arc<dyn AuditLog>);

#[async_trait]
impl AuditService for Audit {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let v1::ListAuditEntriesRequest { filter, page_size: asked, page_token: token } = request.get_ref();
        let list = format!("audit {filter}");
        let expr = parse::<AuditField>(filter).map_err(|error| invalid("filter", error.to_string()))?;
        let filter = AuditFilter { expr };
        let size = page_size(*asked)?;
        let before: Option<u64> =
            cursor(&list, token)?.map(|place| convert::parsed("page_token", &place)).transpose()?;
        let page = self.0.audit_entries(filter, before, size).await;
        let page = page.map_err(|error| refusal(&CommandError::from(error), &Resource::system()))?;
        let next = page.next.map(|position| page_token(&list, &position.to_string()));
        Ok(Response::new(v1::ListAuditEntriesResponse {
            entries: page.entries.iter().map(convert::audit_entry).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuditField {
    Kind,
    Principal,
    Method,
    Resource,
    RequestId,
    Outcome,
    At,
}

impl Field for AuditField {
    type Test = AuditTest;

    const ALL: &'static [(&'static str, Self)] = &[
        ("kind", Self::Kind),
        ("principal", Self::Principal),
        ("method", Self::Method),
        ("resource", Self::Resource),
        ("request_id", Self::RequestId),
        ("outcome", Self::Outcome),
        ("at", Self::At),
    ];

    fn is_time(self) -> bool {
        self == Self::At
    }

    fn test(self, value: Value<'_>) -> Result<AuditTest, String> {
        Ok(match (self, value) {
            (_, Value::Time(time)) => AuditTest::At(time),
            (Self::Kind, Value::Is(text)) => {
                let kind =
                    [AuditKind::Mutation, AuditKind::Denial].into_iter().find(|kind| kind.as_str() == text);
                AuditTest::Kind(kind.ok_or("the kinds are mutation and denial")?)
            }
            (Self::Principal, Value::Is(text)) => {
                AuditTest::Principal(parsed(text.strip_prefix("principals/").unwrap_or(text))?)
            }
            (Self::RequestId, Value::Is(text)) => AuditTest::RequestId(parsed(text)?),
            (Self::Outcome, Value::Is(text)) => AuditTest::Canonical(text.to_ascii_uppercase()),
            (Self::Method, Value::Is(text)) => AuditTest::Method(TextTest::Is(text.to_owned())),
            (Self::Method, Value::Begins(prefix)) => AuditTest::Method(TextTest::Begins(prefix.to_owned())),
            (Self::Resource, Value::Is(text)) => AuditTest::Resource(TextTest::Is(text.to_owned())),
            (Self::Resource, Value::Begins(prefix)) => {
                AuditTest::Resource(TextTest::Begins(prefix.to_owned()))
            }
            (Self::Kind | Self::Principal | Self::RequestId | Self::Outcome, Value::Begins(_)) => {
                return Err("is compared by '='".into());
            }
            (Self::At, _) => return Err("a time is no text".into()),
        })
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use runtime_core::store::{Expr, TimeTest};

    use super::*;

    #[test]
    fn a_filter_says_which_entries() {
        let expr = |text: &str| parse::<AuditField>(text).expect(text).expect("something is said");
        let text = |text: &str| TextTest::Begins(text.to_owned());
        assert_eq!(
            expr("kind=denial AND principal=principals/alice AND method:QueueService/ AND request_id=a-1"),
            Expr::All(vec![
                Expr::Is(AuditTest::Kind(AuditKind::Denial)),
                Expr::Is(AuditTest::Principal("alice".parse().unwrap())),
                Expr::Is(AuditTest::Method(text("QueueService/"))),
                Expr::Is(AuditTest::RequestId("a-1".parse().unwrap())),
            ])
        );
        assert_eq!(
            expr("resource:queues/ OR NOT outcome=not_found OR at>=2030-01-31T08:00:00Z"),
            Expr::Any(vec![
                Expr::Is(AuditTest::Resource(text("queues/"))),
                !Expr::Is(AuditTest::Canonical("NOT_FOUND".into())),
                Expr::Is(AuditTest::At(TimeTest::Since("2030-01-31T08:00:00Z".parse().unwrap()))),
            ])
        );
        assert_eq!(parse::<AuditField>("").unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_names_its_column() {
        for (text, said) in [
            (
                "who=alice",
                "column 1: expected a field (kind, principal, method, resource, request_id, outcome, at)",
            ),
            ("kind=theft", "column 6: \"theft\": the kinds are mutation and denial"),
            ("kind:den", "column 6: \"den\": is compared by '='"),
            ("at=2030-01-31T08:00:00Z", "column 3: expected '<', '<=', '>' or '>='"),
            ("principal=alice OR principal=bob smith", "column 34: expected AND or OR, found \"smith\""),
        ] {
            let error = parse::<AuditField>(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
