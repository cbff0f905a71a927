//! The way to a session: connect, protect the connection, prove who we are.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;

use async_imap::imap_proto::{Response, Status};
use async_imap::{Client, Session};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::{in_words, words};
use super::{ImapConfig, TlsMode, tls};

/// What bytes go over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Debug + Unpin + Send {}

impl<W: AsyncRead + AsyncWrite + Debug + Unpin + Send> Wire for W {}

/// Any of them.
pub(super) type AnyWire = Box<dyn Wire>;

/// Connects and logs in; says in words what went wrong.
pub(super) async fn log_in(config: &ImapConfig, port: u16) -> Result<Session<AnyWire>, String> {
    let (password, connector) = secrets(config).await?;
    let tcp = TcpStream::connect((config.host.as_str(), port))
        .await
        .map_err(|error| format!("cannot be reached: {error}"))?;
    // A command is written in pieces, which must not wait for each other's acknowledgement.
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let no_tls = |error: io::Error| format!("no trusted TLS: {error}");
    let client = match (config.tls, connector) {
        (TlsMode::NoneLoopbackOnly, _) => {
            let address = tcp.peer_addr().map_err(|error| error.to_string())?.ip();
            if !is_loopback(address) {
                return Err(format!("{address} is not on this machine, so a connection needs TLS"));
            }
            greeted(Client::new(Box::new(tcp) as AnyWire)).await?
        }
        (TlsMode::Implicit, Some(connector)) => {
            let wire = tls::begin(&connector, &config.host, tcp).await.map_err(no_tls)?;
            greeted(Client::new(Box::new(wire) as AnyWire)).await?
        }
        (TlsMode::Starttls, Some(connector)) => {
            let mut client = greeted(Client::new(Box::new(tcp) as AnyWire)).await?;
            let agreed = client.run_command_and_check_ok("STARTTLS", None).await;
            agreed.map_err(|error| format!("STARTTLS was refused: {}", in_words(&error)))?;
            // What came in clear text behind the agreement is dropped here, unread.
            let wire = tls::begin(&connector, &config.host, client.into_inner()).await.map_err(no_tls)?;
            Client::new(Box::new(wire) as AnyWire)
        }
        (_, None) => return Err("no trusted TLS".into()),
    };
    let login = client.login(&config.user, password.expose_secret()).await;
    login.map_err(|(error, _)| format!("login of {} failed: {}", config.user, in_words(&error)))
}

/// Reads the password and whom to trust; both are files, read anew for every connection.
async fn secrets(config: &ImapConfig) -> Result<(SecretString, Option<TlsConnector>), String> {
    let (password, ca_file, tls) = (config.password.clone(), config.ca_file.clone(), config.tls);
    let read = tokio::task::spawn_blocking(move || {
        let password = password.resolve().map_err(|error| format!("the password is missing: {error}"))?;
        let connector = match tls {
            TlsMode::NoneLoopbackOnly => None,
            TlsMode::Implicit | TlsMode::Starttls => Some(tls::connector(ca_file.as_deref())?),
        };
        Ok((password, connector))
    });
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Reads the greeting.
async fn greeted(mut client: Client<AnyWire>) -> Result<Client<AnyWire>, String> {
    let greeting = client.read_response().await.map_err(|error| in_words(&error.into()))?;
    match greeting.as_ref().map(|greeting| greeting.parsed()) {
        Some(Response::Data { status: Status::Ok, .. }) => Ok(client),
        Some(Response::Data { outcome, .. }) => {
            Err(format!("the server greets with a refusal: {}", words(outcome.information.as_deref())))
        }
        Some(_) => Err("the greeting is not that of a mail server".into()),
        None => Err("the server closed the connection".into()),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_told_from_others() {
        for (address, local) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::2", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), local, "{address}");
        }
    }
}
