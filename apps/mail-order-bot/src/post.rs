//! How replies leave: into a Maildir, or to a mail server.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use runtime::prelude::{DependencyName, EffectFailed, SetupError, TaskError};
use secrecy::ExposeSecret;

use crate::config::{RepliesConfig, SmtpTls, TransportConfig};
use crate::handlers::replies::Reply;
use crate::sources::Maildir;

/// How long one step of a talk with a mail server may take.
const SMTP_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends replies.
pub struct PostOffice {
    from: Mailbox,
    transport: Transport,
}

enum Transport {
    Spool(PathBuf),
    Smtp(Box<Smtp>),
}

struct Smtp {
    /// What errors call the server when it cannot be talked to.
    name: DependencyName,
    host: String,
    port: u16,
    tls: SmtpTls,
    credentials: Option<Credentials>,
}

impl PostOffice {
    /// Opens the post office that the configuration describes.
    ///
    /// # Errors
    /// An address that is none, a secret that cannot be read, a server without TLS that is not on this machine.
    pub fn open(config: &RepliesConfig) -> Result<Self, SetupError> {
        let refused =
            |what: &str, error: &dyn std::fmt::Display| SetupError::Module(format!("{what}: {error}"));
        let from = config.from.parse().map_err(|error| refused("app.replies.from", &error))?;
        let transport = match &config.transport {
            TransportConfig::Spool { path } => Transport::Spool(path.clone()),
            TransportConfig::Smtp { host, port, tls, user, password } => {
                let loopback =
                    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                if *tls == SmtpTls::NoneLoopbackOnly && !loopback {
                    let text = format!("{host} is not on this machine, so the connection needs TLS");
                    return Err(SetupError::Module(format!("app.replies.transport.tls: {text}")));
                }
                let credentials = match (user, password) {
                    (Some(user), Some(password)) => {
                        let secret = password
                            .resolve()
                            .map_err(|error| refused("app.replies.transport.password", &error))?;
                        Some(Credentials::new(user.clone(), secret.expose_secret().to_owned()))
                    }
                    _ => None,
                };
                Transport::Smtp(Box::new(Smtp {
                    name: DependencyName::new("smtp")?,
                    host: host.clone(),
                    port: port.get(),
                    tls: *tls,
                    credentials,
                }))
            }
        };
        Ok(Self { from, transport })
    }

    /// The part of the shop's address after the `@`.
    pub fn domain(&self) -> &str {
        self.from.email.domain()
    }

    /// The server that replies leave through, when there is one: while it is down, they wait.
    pub fn dependency(&self) -> Option<DependencyName> {
        match &self.transport {
            Transport::Spool(_) => None,
            Transport::Smtp(smtp) => Some(smtp.name.clone()),
        }
    }

    /// Sends one reply under this Message-ID.
    ///
    /// # Errors
    /// [`EffectFailed::NotHappened`] when it certainly did not leave, [`EffectFailed::Unknown`] when nobody can tell.
    pub async fn send(&self, reply: &Reply, message_id: &str) -> Result<(), EffectFailed> {
        let to: Address =
            reply.to.parse().map_err(|error| never(format!("{:?} is no address: {error}", reply.to)))?;
        let message = self.write(reply, to, message_id).map_err(|error| never(error.to_string()))?;
        match &self.transport {
            Transport::Spool(path) => {
                let (path, bytes) = (path.clone(), message.formatted());
                // A mail that is not renamed into `new` does not exist: a failure is certain.
                let delivered =
                    tokio::task::spawn_blocking(move || Maildir::create(path)?.deliver(&bytes)).await;
                match delivered {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(EffectFailed::NotHappened(TaskError::retryable(error.to_string()))),
                    Err(error) => Err(EffectFailed::Unknown(TaskError::retryable(error.to_string()))),
                }
            }
            Transport::Smtp(smtp) => smtp.send(&message).await,
        }
    }

    fn write(&self, reply: &Reply, to: Address, message_id: &str) -> Result<Message, lettre::error::Error> {
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(reply.subject.clone())
            .message_id(Some(format!("<{message_id}>")))
            // RFC 3834: whoever answers automatically says so, and is not answered automatically.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-replied".to_owned(),
            ));
        if let Some(answered) = &reply.in_reply_to {
            message = message.in_reply_to(format!("<{answered}>")).references(format!("<{answered}>"));
        }
        message.singlepart(
            SinglePart::builder()
                .header(ContentType::TEXT_PLAIN)
                .header(ContentTransferEncoding::QuotedPrintable)
                .body(reply.body.clone()),
        )
    }
}

impl Smtp {
    async fn send(&self, message: &Message) -> Result<(), EffectFailed> {
        // A server that cannot be talked to is down for every mail; what it says of one mail concerns that one.
        let mut connection = self
            .connect()
            .await
            .map_err(|error| EffectFailed::NotHappened(passing(&error).of_dependency(self.name.clone())))?;
        // From here on the server may have the mail although we did not hear so.
        let sent = connection.send(message.envelope(), &message.formatted()).await;
        connection.abort().await;
        match sent {
            Ok(_) => Ok(()),
            // The server itself says that it does not take it.
            Err(error) if error.is_permanent() => Err(never(error.to_string())),
            Err(error) if error.is_transient() => Err(EffectFailed::NotHappened(passing(&error))),
            Err(error) => Err(EffectFailed::Unknown(passing(&error))),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let parameters = || TlsParameters::new(self.host.clone());
        let hello = ClientId::default();
        let implicit = if self.tls == SmtpTls::Implicit { Some(parameters()?) } else { None };
        let address = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(SMTP_TIMEOUT), &hello, implicit, None).await?;
        if self.tls == SmtpTls::Starttls {
            connection.starttls(parameters()?, &hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(connection)
    }
}

fn never(text: String) -> EffectFailed {
    EffectFailed::NotHappened(TaskError::permanent(text))
}

fn passing(error: &lettre::transport::smtp::Error) -> TaskError {
    TaskError::retryable(error.to_string())
}
