//! A dialogue with a mail server: one command at a time, each answer read to its end, every silence bounded.
//!
//! The library reads and writes IMAP; which answer belongs to what, and what a refusal, a good-bye or an end of the stream
//! means, is decided here: some of the library's own calls take a cut-off answer for a short one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::time::Duration;

use async_imap::Session;
use async_imap::error::Error as ImapError;
use async_imap::imap_proto::{
    AttributeValue, Capability, MailboxDatum, RequestId, Response, ResponseCode, Status,
};
use runtime::core::error::TaskError;
use tokio::time::{Instant, timeout};

use super::login::{AnyWire, log_in};
use super::{FolderName, ImapConfig, TlsMode, uid_set};
use crate::sources::unavailable;

/// Slowest line over which a mail can be fetched, in bytes per second. A larger mail may take longer.
const SLOWEST: u64 = 32 * 1024;

/// A connection that is logged in.
pub(super) struct Connection {
    session: Session<AnyWire>,
    /// For messages: the server and its port.
    server: String,
    patience: Duration,
    capabilities: HashSet<String>,
    /// UIDVALIDITY of the folder that is open.
    validity: Option<u32>,
    /// Whether the server spoke of mails since the last search.
    news: bool,
}

/// How a command ended.
#[must_use]
pub(super) enum Answer {
    Done,
    /// Understood and refused, with the server's words.
    Refused(String),
}

impl Connection {
    /// Connects, protects the connection and logs in.
    pub(super) async fn open(config: &ImapConfig) -> Result<Self, TaskError> {
        let default_port = if config.tls == TlsMode::Implicit { 993 } else { 143 };
        let port = config.port.map_or(default_port, |port| port.get());
        let server = format!("{}:{port}", config.host);
        let patience = Duration::from_secs(config.timeout_secs.get());
        let session = timeout(patience, log_in(config, port)).await;
        let session = session
            .unwrap_or_else(|_| Err(in_words(&silence(patience).into())))
            .map_err(|problem| unavailable(format!("{server}: {problem}")))?;
        let capabilities = HashSet::new();
        let mut connection = Self { session, server, patience, capabilities, validity: None, news: false };
        connection.ask_capabilities().await?;
        Ok(connection)
    }

    /// Whether the server has a capability, in upper case.
    pub(super) fn knows(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    /// Whether there may be mails that no search has shown.
    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    /// Opens a folder and returns its UIDVALIDITY.
    pub(super) async fn select(&mut self, folder: &FolderName) -> Result<u32, TaskError> {
        let mut validity = None;
        let select = format!("SELECT {}", quoted(folder));
        let answer = self.command(&select, 0, |response| {
            if let Response::Data { outcome, .. } = response
                && let Some(ResponseCode::UidValidity(value)) = outcome.code
            {
                validity = Some(value);
            }
        });
        if let Answer::Refused(why) = answer.await? {
            return Err(self.fault(format!("folder {folder} cannot be opened: {why}")));
        }
        self.validity = validity;
        validity.ok_or_else(|| self.fault(format!("folder {folder} has no UIDVALIDITY")))
    }

    /// UIDs from `first` on of mails that are not about to be deleted, ascending.
    pub(super) async fn search_from(&mut self, first: u32) -> Result<Vec<u32>, TaskError> {
        // Servers take note of new mails at the end of a command, so that the search alone might miss them.
        self.done("NOOP").await?;
        self.news = false;
        let mut uids = Vec::new();
        let search = format!("UID SEARCH UID {first}:* UNDELETED");
        let answer = self.command(&search, 0, |response| {
            if let Response::MailboxData(MailboxDatum::Search(some)) = response {
                // The star stands for the last mail, also where that comes before `first`.
                uids.extend(some.iter().copied().filter(|&uid| uid >= first));
            }
        });
        if let Answer::Refused(why) = answer.await? {
            return Err(self.fault(format!("the search for mails was refused: {why}")));
        }
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// The sizes of those of these mails that are there, in bytes.
    pub(super) async fn sizes(&mut self, uids: &[u32]) -> Result<HashMap<u32, u64>, TaskError> {
        let mut sizes = HashMap::new();
        let fetch = format!("UID FETCH {} (UID RFC822.SIZE)", uid_set(uids));
        let answer = self.command(&fetch, 0, |response| {
            let Response::Fetch(_, attributes) = response else { return };
            let uid = attributes.iter().find_map(uid_of);
            let size = attributes.iter().find_map(|attribute| match attribute {
                AttributeValue::Rfc822Size(size) => Some(u64::from(*size)),
                _ => None,
            });
            sizes.extend(uid.zip(size));
        });
        match answer.await? {
            Answer::Done => Ok(sizes),
            Answer::Refused(why) => Err(self.fault(format!("the sizes of mails were refused: {why}"))),
        }
    }

    /// The bytes of those of these mails that are there, or the words with which the server refused.
    pub(super) async fn bodies(
        &mut self,
        sizes: &BTreeMap<u32, u64>,
    ) -> Result<Result<Vec<(u32, Vec<u8>)>, String>, TaskError> {
        let mut bodies = Vec::with_capacity(sizes.len());
        if sizes.is_empty() {
            return Ok(Ok(bodies));
        }
        let largest = sizes.values().copied().max().unwrap_or_default();
        let fetch = format!("UID FETCH {} (UID BODY.PEEK[])", uid_set(sizes.keys()));
        let answer = self.command(&fetch, largest, |response| {
            let Response::Fetch(_, attributes) = response else { return };
            let uid = attributes.iter().find_map(uid_of);
            let body = attributes.iter().find_map(|attribute| match attribute {
                AttributeValue::BodySection { section: None, data: Some(data), .. } => Some(data),
                _ => None,
            });
            bodies.extend(uid.zip(body).map(|(uid, body)| (uid, body.to_vec())));
        });
        Ok(match answer.await? {
            Answer::Done => Ok(bodies),
            Answer::Refused(why) => Err(why),
        })
    }

    /// Marks mails as read and moves them to a folder, which is made when it is missing. Mails that are gone are passed over.
    pub(super) async fn move_away(&mut self, uids: &[u32], folder: &FolderName) -> Result<(), TaskError> {
        let set = uid_set(uids);
        self.done(&format!("UID STORE {set} +FLAGS.SILENT (\\Seen)")).await?;
        let verb = if self.knows("MOVE") { "MOVE" } else { "COPY" };
        let transfer = format!("UID {verb} {set} {}", quoted(folder));
        if let Answer::Refused(_) = self.command(&transfer, 0, |_| {}).await? {
            for verb in ["CREATE", "SUBSCRIBE"] {
                // When it cannot be made, the second try says why.
                let _ = self.command(&format!("{verb} {}", quoted(folder)), 0, |_| {}).await?;
            }
            self.done(&transfer).await?;
        }
        if verb == "COPY" {
            self.done(&format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)")).await?;
            // Without UIDPLUS they stay, to be deleted by whoever empties the folder: EXPUNGE would take others' along.
            if self.knows("UIDPLUS") {
                self.done(&format!("UID EXPUNGE {set}")).await?;
            }
        }
        Ok(())
    }

    /// Lets the server say what is new, until it does, or the time has come, or `called` is ready.
    pub(super) async fn idle(
        &mut self,
        until: Instant,
        called: impl Future<Output = ()> + Send,
    ) -> Result<(), TaskError> {
        let idle = self.send("IDLE").await?;
        loop {
            let response = within(self.patience, self.session.read_response()).await;
            let response = self.received(response)?;
            match response.parsed() {
                Response::Continue(_) => break,
                Response::Done { tag, outcome, .. } if tag == &idle => {
                    return Err(
                        self.fault(format!("IDLE was refused: {}", words(outcome.information.as_deref())))
                    );
                }
                other => self.note(other)?,
            }
        }
        let until = tokio::time::sleep_until(until);
        tokio::pin!(until, called);
        while !self.news {
            let response = tokio::select! {
                response = self.session.read_response() => self.received(response)?,
                () = &mut until => break,
                () = &mut called => break,
            };
            match response.parsed() {
                Response::Done { tag, .. } if tag == &idle => return Ok(()),
                other => self.note(other)?,
            }
        }
        let sent = within(self.patience, self.session.run_command_untagged("DONE")).await;
        sent.map_err(|error| self.broken(&error))?;
        loop {
            let response = within(self.patience, self.session.read_response()).await;
            let response = self.received(response)?;
            match response.parsed() {
                Response::Done { tag, .. } if tag == &idle => return Ok(()),
                other => self.note(other)?,
            }
        }
    }

    async fn ask_capabilities(&mut self) -> Result<(), TaskError> {
        let mut capabilities = HashSet::new();
        let answer = self.command("CAPABILITY", 0, |response| {
            if let Response::Capabilities(some) = response {
                capabilities.extend(some.iter().filter_map(|capability| match capability {
                    Capability::Atom(name) => Some(name.to_ascii_uppercase()),
                    _ => None,
                }));
            }
        });
        let _ = answer.await?;
        self.capabilities = capabilities;
        Ok(())
    }

    /// Runs a command that has no reason to be refused.
    async fn done(&mut self, command: &str) -> Result<(), TaskError> {
        match self.command(command, 0, |_| {}).await? {
            Answer::Done => Ok(()),
            Answer::Refused(why) => Err(self.fault(format!("{} was refused: {why}", verb(command)))),
        }
    }

    /// Sends a command and shows all that comes until its end. `largest` is what a single response may hold, in bytes.
    async fn command(
        &mut self,
        command: &str,
        largest: u64,
        mut show: impl FnMut(&Response<'_>) + Send,
    ) -> Result<Answer, TaskError> {
        let id = self.send(command).await?;
        let patience = self.patience + Duration::from_secs(largest / SLOWEST);
        loop {
            let response = within(patience, self.session.read_response()).await;
            let response = self.received(response)?;
            match response.parsed() {
                Response::Done { tag, status, outcome } if tag == &id => {
                    let said = words(outcome.information.as_deref());
                    return match status {
                        Status::Ok => Ok(Answer::Done),
                        Status::No => Ok(Answer::Refused(said)),
                        _ => Err(self.fault(format!("{} was not understood: {said}", verb(command)))),
                    };
                }
                other => {
                    self.note(other)?;
                    show(other);
                }
            }
        }
    }

    async fn send(&mut self, command: &str) -> Result<RequestId, TaskError> {
        let sent = within(self.patience, self.session.run_command(command)).await;
        sent.map_err(|error| self.broken(&error))
    }

    fn received<R>(&self, response: io::Result<Option<R>>) -> Result<R, TaskError> {
        match response {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(self.fault("the server closed the connection")),
            Err(error) => Err(self.broken(&error.into())),
        }
    }

    /// Takes note of what the server says unasked.
    fn note(&mut self, response: &Response<'_>) -> Result<(), TaskError> {
        match response {
            Response::MailboxData(MailboxDatum::Exists(_)) => self.news = true,
            Response::Data { status: Status::Bye, outcome } => {
                let said = words(outcome.information.as_deref());
                return Err(self.fault(format!("the server said good-bye: {said}")));
            }
            Response::Data { outcome, .. } => {
                if let (Some(ResponseCode::UidValidity(now)), Some(before)) = (&outcome.code, self.validity)
                    && *now != before
                {
                    return Err(self.fault("the folder got another UIDVALIDITY"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fault(&self, what: impl AsRef<str>) -> TaskError {
        unavailable(format!("{}: {}", self.server, what.as_ref()))
    }

    fn broken(&self, error: &ImapError) -> TaskError {
        self.fault(in_words(error))
    }
}

/// Ends a wait for a server that does not answer. What is left of the dialogue is of no use after that.
async fn within<T, E: From<io::Error>>(
    patience: Duration,
    dialogue: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(patience, dialogue).await.unwrap_or_else(|_| Err(silence(patience).into()))
}

fn silence(patience: Duration) -> io::Error {
    let said = format!("it did not answer within {} s", patience.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, said)
}

fn uid_of(attribute: &AttributeValue<'_>) -> Option<u32> {
    match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    }
}

fn quoted(folder: &FolderName) -> String {
    format!("\"{}\"", folder.0.replace('\\', r"\\").replace('"', "\\\""))
}

/// The words of a command that may be repeated to people: without what it is about.
fn verb(command: &str) -> &str {
    let words = if command.starts_with("UID ") { 2 } else { 1 };
    command.match_indices(' ').nth(words - 1).map_or(command, |(end, _)| &command[..end])
}

/// What the server said, fit for one line.
pub(super) fn words(information: Option<&str>) -> String {
    let said = information.unwrap_or("it gave no reason");
    said.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// An error without what was read or written: that may be a mail or a password.
pub(super) fn in_words(error: &ImapError) -> String {
    match error {
        ImapError::Io(error) if error.kind() == io::ErrorKind::Other => "it sent what is not IMAP".into(),
        ImapError::Io(error) => error.to_string(),
        ImapError::No(said) => {
            let info = said.split_once("info: Some(\"").and_then(|(_, info)| info.strip_suffix("\")"));
            words(info.or(Some(said)))
        }
        ImapError::Bad(_) => "it does not understand".into(),
        ImapError::ConnectionLost => "the server closed the connection".into(),
        ImapError::Validate(_) => "a line break cannot be sent".into(),
        _ => "it sent something unexpected".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_command_and_not_what_it_is_about() {
        assert_eq!(verb("UID STORE 1,2 +FLAGS (\\Seen)"), "UID STORE");
        assert_eq!(verb("SELECT \"INBOX\""), "SELECT");
        assert_eq!(verb("NOOP"), "NOOP");
    }

    #[test]
    fn an_error_never_repeats_what_was_read() {
        let parse = ImapError::Io(io::Error::other("during parsing of \"From: ann\""));
        assert_eq!(in_words(&parse), "it sent what is not IMAP");
        let refused =
            ImapError::No("code: None, info: Some(\"[AUTHENTICATIONFAILED] Authentication failed.\")".into());
        assert_eq!(in_words(&refused), "[AUTHENTICATIONFAILED] Authentication failed.");
        assert_eq!(in_words(&ImapError::Bad("LOGIN ann hunter2".into())), "it does not understand");
    }

    #[test]
    fn a_folder_name_is_quoted() {
        let name = FolderName::try_from(r#"a "b" \c"#.to_owned()).unwrap();
        assert_eq!(quoted(&name), r#""a \"b\" \\c""#);
    }
}
