//! `runtimectl principal …`, `runtimectl token …` and `runtimectl audit …`.

use jiff::{SignedDuration, Timestamp};
use runtime_core::name::PrincipalName;
use runtime_proto::v1;

use super::args::{AuditVerb, May, PrincipalVerb, TokenVerb};
use super::failure::Failure;
use super::operations::number;
use super::output::Output;
use super::table::{Cell, Column, Sheet, Table};
use super::words::{NONE, age, clean, moment, or_none, short_name, word};
use crate::client::AdminClient;
use crate::convert::{principal_name, token_name};

pub(super) async fn principals(
    verb: PrincipalVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        PrincipalVerb::List => {
            let principals = output.saw(client.principals().await?);
            let event_cursor = output.as_of.clone();
            let whole = v1::ListPrincipalsResponse { principals, event_cursor, ..Default::default() };
            let table = |now| table(&whole.principals, now);
            output.list(&whole, "principals", &whole.principals, |one| &one.name, table)?;
        }
        PrincipalVerb::Get { principal } => show(&find(&principal, client).await?, output)?,
        PrincipalVerb::Create { principal, service, may, .. } => {
            announce("create", &principal, output)?;
            let kind = if service { v1::PrincipalKind::Service } else { v1::PrincipalKind::Person };
            let wanted = v1::Principal {
                kind: kind.into(),
                grants: texts(&may),
                read_payloads: may.read_payloads,
                certificates: may.certificates,
                ..v1::Principal::default()
            };
            show(&client.create_principal(&principal, wanted).await?, output)?;
        }
        PrincipalVerb::Update { principal, may, no_read_payloads, disable, enable, change } => {
            announce("update", &principal, output)?;
            let mut wanted = find(&principal, client).await?;
            if let Some(read) = change.etag {
                wanted.etag = read;
            }
            if !may.grants.is_empty() {
                wanted.grants = texts(&may);
            }
            if !may.certificates.is_empty() {
                wanted.certificates = may.certificates;
            }
            wanted.read_payloads = (wanted.read_payloads || may.read_payloads) && !no_read_payloads;
            wanted.disabled = (wanted.disabled || disable) && !enable;
            show(&client.update_principal(wanted, &change.reason).await?, output)?;
        }
        PrincipalVerb::Delete { principal, change, confirm } => {
            let tokens = client.tokens(Some(&principal)).await?;
            announce("delete", &principal, output)?;
            let with = number(tokens.len() as u64, "token");
            output.sample(&token_table(&tokens, output.clock.now()))?;
            let question = format!("delete principal {principal} with {with} at {}? Its name:", output.place);
            let given = confirm.as_ref().map(PrincipalName::as_str);
            output.confirm_by_name(&question, principal.as_str(), given)?;
            client.delete_principal(&principal, &change.reason).await?;
        }
    }
    Ok(())
}

pub(super) async fn tokens(
    verb: TokenVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match verb {
        TokenVerb::List { principal } => {
            let tokens = output.saw(client.tokens(principal.as_ref()).await?);
            let event_cursor = output.as_of.clone();
            let whole = v1::ListTokensResponse { tokens, event_cursor, ..Default::default() };
            let table = |now| token_table(&whole.tokens, now);
            output.list(&whole, "tokens", &whole.tokens, |one| &one.name, table)?;
        }
        TokenVerb::Create { principal, name, expires_days, never_expires, .. } => {
            output.announce("create", &format!("token {name} of principal {principal}"))?;
            let days = SignedDuration::from_hours(24 * i64::from(expires_days.get()));
            let end = output.clock.now().checked_add(days).unwrap_or(Timestamp::MAX);
            let made = client.create_token(&principal, &name, (!never_expires).then_some(end)).await?;
            let text = clean(&made.text);
            // The text alone, so that it can go into a file: what it is was said on the other stream.
            output.one(&made, &text, |_, _| format!("{text}\n"))?;
        }
        TokenVerb::Revoke { id, change, yes } => {
            let name = token_name(&id);
            let known: Vec<_> =
                client.tokens(None).await?.into_iter().filter(|token| token.name == name).collect();
            output.announce("revoke", &format!("token {id}"))?;
            output.sample(&token_table(&known, output.clock.now()))?;
            let question = format!("revoke token {id} at {}?", output.place);
            output.confirm(&question, yes)?;
            let token = client.revoke_token(&id, &change.reason).await?;
            output.sheet(&token, &token.name, |now| token_sheet(&token, now))?;
        }
    }
    Ok(())
}

pub(super) async fn audit(
    verb: AuditVerb,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let AuditVerb::List { filter, limit } = verb;
    let entries = client.audit(&filter, limit.get()).await?;
    output.cut_at(limit.get(), entries.len())?;
    let whole = v1::ListAuditEntriesResponse { entries, next_page_token: String::new() };
    let table = |now| audit_table(&whole.entries, now);
    output.list(&whole, "entries", &whole.entries, |one| &one.name, table)?;
    Ok(())
}

async fn find(principal: &PrincipalName, client: &AdminClient) -> Result<v1::Principal, Failure> {
    let name = principal_name(principal);
    let known = client.principals().await?.into_iter().find(|known| known.name == name);
    known.ok_or_else(|| Failure::NoPrincipal(principal.to_string()))
}

fn texts(may: &May) -> Vec<String> {
    may.grants.iter().map(ToString::to_string).collect()
}

fn announce(verb: &str, principal: &PrincipalName, output: &mut Output<'_>) -> Result<(), Failure> {
    output.announce(verb, &format!("principal {principal}"))
}

fn show(principal: &v1::Principal, output: &mut Output<'_>) -> Result<(), Failure> {
    Ok(output.sheet(principal, &principal.name, |now| sheet(principal, now))?)
}

fn table(principals: &[v1::Principal], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").gives(),
        Column::text("KIND"),
        Column::text("GRANTS").gives(),
        Column::text("PAYLOADS").wide(),
        Column::text("CERTIFICATES").wide(),
        Column::text("STATE"),
        Column::figure("AGE"),
    ]);
    for one in principals {
        table.row([
            short_name(&one.name).into(),
            word(one.kind().as_str_name(), "PRINCIPAL_KIND_").into(),
            or_none(&one.grants.join(", ")).into(),
            yes_or_no(one.read_payloads).into(),
            or_none(&one.certificates.join(", ")).into(),
            state(one),
            age(one.created_at.as_ref(), now).into(),
        ]);
    }
    table
}

fn sheet(one: &v1::Principal, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.line("Name", short_name(&one.name));
    sheet.line("Kind", word(one.kind().as_str_name(), "PRINCIPAL_KIND_"));
    sheet.line("State", state(one));
    sheet.line("Grants", or_none(&one.grants.join(", ")));
    sheet.line("Reads payloads", yes_or_no(one.read_payloads));
    sheet.line("Certificates", or_none(&one.certificates.join(", ")));
    sheet.line("Created", moment(one.created_at.as_ref(), now));
    sheet
}

fn state(one: &v1::Principal) -> Cell {
    if one.disabled { Cell::warn("disabled") } else { Cell::good("enabled") }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn token_table(tokens: &[v1::Token], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME"),
        Column::text("PRINCIPAL").gives(),
        Column::text("LABEL").gives(),
        Column::text("STATE"),
        Column::figure("AGE"),
    ]);
    for one in tokens {
        table.row([
            short_name(&one.name).into(),
            short_name(&one.principal).into(),
            or_none(&one.label).into(),
            token_state(one, now),
            age(one.created_at.as_ref(), now).into(),
        ]);
    }
    table
}

fn token_sheet(one: &v1::Token, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.line("Name", short_name(&one.name));
    sheet.line("Principal", short_name(&one.principal));
    sheet.line("Label", or_none(&one.label));
    sheet.line("State", token_state(one, now));
    sheet.line("Created", moment(one.created_at.as_ref(), now));
    sheet.line("Expires", moment(one.expires_at.as_ref(), now));
    sheet.line("Revoked", moment(one.revoked_at.as_ref(), now));
    sheet
}

fn token_state(one: &v1::Token, now: Timestamp) -> Cell {
    match (&one.revoked_at, &one.expires_at) {
        (Some(_), _) => Cell::faint("revoked"),
        (None, Some(end)) if end.seconds <= now.as_second() => Cell::faint("expired"),
        _ => Cell::good("good"),
    }
}

fn audit_table(entries: &[v1::AuditEntry], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("NAME").wide(),
        Column::text("PRINCIPAL"),
        Column::text("METHOD"),
        Column::text("RESOURCE").gives(),
        Column::text("OUTCOME").gives(),
        Column::text("TOKEN").wide(),
        Column::text("PEER").wide(),
        Column::text("REQUEST").wide(),
        Column::text("TRACE").wide(),
        Column::text("REASON").wide(),
        Column::figure("AGE"),
    ]);
    for one in entries {
        table.row([
            or_none(&one.name).into(),
            or_none(short_name(&one.principal)).into(),
            or_none(one.method.rsplit('/').next().unwrap_or_default()).into(),
            or_none(&one.resource).into(),
            outcome(one),
            or_none(short_name(&one.token)).into(),
            or_none(&one.peer).into(),
            or_none(&one.request_id).into(),
            or_none(&one.trace_id).into(),
            or_none(&one.reason).into(),
            age(one.at.as_ref(), now).into(),
        ]);
    }
    table
}

fn outcome(one: &v1::AuditEntry) -> Cell {
    match (one.kind(), one.outcome.as_str()) {
        (_, "") => Cell::warn(NONE),
        (v1::AuditKind::Denial, outcome) => Cell::bad(outcome.to_lowercase()),
        (_, "OK") => Cell::good("ok"),
        (_, outcome) => Cell::warn(outcome.to_lowercase()),
    }
}
