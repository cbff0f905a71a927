//! AuditService.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::audit::AuditKind;
use runtime_core::control::CommandError;
use runtime_core::store::{AuditFilter, AuditLog};
use runtime_proto::v1;
use runtime_proto::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::filter::{Comparison, FilterError, bound, comparisons, once, set};
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
        let filter = parse(filter).map_err(|error| invalid("filter", error.to_string()))?;
        let size = page_size(*asked)?;
        let before: Option<u64> =
            cursor(&list, token)?.map(|place| convert::parsed("page_token", &place)).transpose()?;
        let found = self.0.audit_entries(filter, before, size + 1).await;
        let mut found = found.map_err(|error| refusal(&CommandError::from(error), &Resource::system()))?;
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more);
        Ok(Response::new(v1::ListAuditEntriesResponse {
            entries: found.iter().map(convert::audit_entry).collect(),
            next_page_token: last
                .map(|entry| page_token(&list, &entry.position.to_string()))
                .unwrap_or_default(),
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Kind,
    Principal,
    Method,
    Resource,
    RequestId,
    Outcome,
    At,
}

impl Field {
    const ALL: [(&'static str, Self); 7] = [
        ("kind", Self::Kind),
        ("principal", Self::Principal),
        ("method", Self::Method),
        ("resource", Self::Resource),
        ("request_id", Self::RequestId),
        ("outcome", Self::Outcome),
        ("at", Self::At),
    ];
}

fn parse(text: &str) -> Result<AuditFilter, FilterError> {
    let mut filter = AuditFilter::default();
    comparisons(
        text,
        &Field::ALL,
        |field| field == Field::At,
        |field, comparison, value| {
            match (field, comparison) {
                (Field::Kind, Comparison::Equal) => {
                    let kinds = [AuditKind::Mutation, AuditKind::Denial];
                    let kind = kinds.into_iter().find(|kind| kind.as_str() == value);
                    once(&mut filter.kind, "kind", kind.ok_or("the kinds are mutation and denial")?)
                }
                (Field::Principal, Comparison::Equal) => set(
                    &mut filter.principal,
                    "principal",
                    value.strip_prefix("principals/").unwrap_or(value),
                ),
                (Field::RequestId, Comparison::Equal) => set(&mut filter.request_id, "request_id", value),
                (Field::Outcome, Comparison::Equal) => {
                    once(&mut filter.canonical, "outcome", value.to_ascii_uppercase())
                }
                // What is equal begins so, and nothing else of the kind does.
                (Field::Method, _) => once(&mut filter.method_prefix, "method", value.to_owned()),
                (Field::Resource, Comparison::Prefix) => {
                    once(&mut filter.resource_prefix, "resource", value.to_owned())
                }
                (Field::At, _) => {
                    let at: Timestamp = value.parse().map_err(|error: jiff::Error| error.to_string())?;
                    bound(&mut filter.since, &mut filter.until, "at", comparison, at)
                }
                (Field::Resource, _) => Err("a resource is compared by ':'".into()),
                (Field::Kind | Field::Principal | Field::RequestId | Field::Outcome, _) => {
                    Err("is compared by '='".into())
                }
            }
        },
    )?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_says_which_entries() {
        let filter = parse(
            "kind=denial AND principal=alice AND method:QueueService/ AND resource:queues/ AND request_id=a-1 \
             AND outcome=not_found AND at>=2030-01-31T08:00:00Z",
        )
        .unwrap();
        assert_eq!(filter.kind, Some(AuditKind::Denial));
        assert_eq!(filter.principal.unwrap().as_str(), "alice");
        assert_eq!(filter.method_prefix.as_deref(), Some("QueueService/"));
        assert_eq!(filter.resource_prefix.as_deref(), Some("queues/"));
        assert_eq!(filter.request_id.unwrap().as_str(), "a-1");
        assert_eq!(filter.canonical.as_deref(), Some("NOT_FOUND"));
        assert_eq!(filter.since, Some("2030-01-31T08:00:00Z".parse().unwrap()));
        assert_eq!(parse("").unwrap(), AuditFilter::default());
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
            ("resource=queues/mail", "column 10: \"queues/mail\": a resource is compared by ':'"),
            ("principal=alice AND principal=bob", "column 31: \"bob\": principal is compared twice"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
