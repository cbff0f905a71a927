//! The configuration of an instance, as Dovecot 2.3 reads it.

use std::net::SocketAddr;
use std::path::Path;

pub(super) const PASSWORD: &str = "secret";

/// Debian's `nobody` and `nogroup`.
pub(super) const NOBODY: u32 = 65534;

/// Where an instance listens.
pub(super) struct Addrs {
    pub(super) imap: SocketAddr,
    pub(super) imaps: SocketAddr,
    pub(super) lmtp: SocketAddr,
}

/// Who runs the instance.
pub(super) enum Account {
    /// The server separates its parts by system users; mail belongs to [`NOBODY`].
    Root,
    /// Everything belongs to one ordinary user, which rules out changing the root folder of a process.
    User { user: String, group: String },
}

pub(super) fn text(root: &Path, addrs: &Addrs, account: &Account) -> String {
    let root = root.display();
    let (imap, imaps, lmtp) = (addrs.imap.port(), addrs.imaps.port(), addrs.lmtp.port());
    let (uid, gid, services) = match account {
        Account::Root => (NOBODY.to_string(), NOBODY.to_string(), String::new()),
        Account::User { user, group } => (user.clone(), group.clone(), unprivileged(user, group)),
    };
    format!(
        "\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log/dovecot.log
info_log_path = {root}/log/info.log
instance_name = {root}
protocols = imap lmtp
listen = 127.0.0.1
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
mail_home = {root}/mail/%n
mail_location = maildir:~/Maildir
disable_plaintext_auth = no
auth_mechanisms = plain login
ssl = yes
ssl_cert = <{root}/tls/cert.pem
ssl_key = <{root}/tls/key.pem
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/mail/%n allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
namespace inbox {{
  inbox = yes
  mailbox Processed {{
    auto = create
  }}
  mailbox Failed {{
    auto = create
  }}
}}
{services}"
    )
}

fn unprivileged(user: &str, group: &str) -> String {
    let mut text = format!(
        "default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n"
    );
    for service in ["anvil", "imap-login", "stats"] {
        text.push_str(&format!("service {service} {{\n  chroot =\n}}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs() -> Addrs {
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Addrs { imap: port(1), imaps: port(2), lmtp: port(3) }
    }

    #[test]
    fn root_separates_users_and_anybody_else_does_not() {
        let root = text(Path::new("/d"), &addrs(), &Account::Root);
        assert!(root.contains("mail_uid = 65534\n") && !root.contains("chroot"), "{root}");

        let account = Account::User { user: "ann".into(), group: "staff".into() };
        let user = text(Path::new("/d"), &addrs(), &account);
        assert!(user.contains("args = uid=ann gid=staff home=/d/mail/%n"), "{user}");
        assert!(user.contains("service anvil {\n  chroot =\n}\n"), "{user}");
    }
}
