//! The admin API on a Unix socket: other users of the machine do not get through.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use runtime_tests::ground::Ground;
use tempfile::TempDir;

/// The user and the group that own nothing.
const NOBODY: &str = "65534";

/// `runtimectl` where everybody may run it.
struct Elsewhere {
    folder: TempDir,
}

impl Elsewhere {
    /// `Err` says why no program can be run as another user here.
    fn new() -> Result<Self, &'static str> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can run a program as somebody else");
        }
        if Command::new("setpriv").arg("--version").output().is_err() {
            return Err("setpriv of util-linux is not installed");
        }
        let folder = tempfile::tempdir().expect("a folder");
        open(folder.path(), 0o755);
        let here = Self { folder };
        fs::copy(env!("CARGO_BIN_EXE_runtimectl_under_test"), here.program()).expect("copied");
        open(&here.program(), 0o755);
        Ok(here)
    }

    fn program(&self) -> std::path::PathBuf {
        self.folder.path().join("runtimectl")
    }

    /// What an operator sees who is nobody on this machine.
    fn overview(&self, socket: &Path) -> Output {
        Command::new("setpriv")
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
            .arg(self.program())
            .args(["--endpoint", &format!("unix:{}", socket.display()), "overview"])
            .env_clear()
            .output()
            .expect("it runs")
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_of_the_machine_does_not_get_through_the_socket() {
    let elsewhere = match Elsewhere::new() {
        Ok(elsewhere) => elsewhere,
        Err(why) => return println!("skipped: {why}"),
    };
    // In a folder that is open to everybody: it is the socket itself that is closed.
    let socket = elsewhere.folder.path().join("admin.sock");
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    let mut process = ground.start_with(&["--set", &format!("admin.listen=unix:{}", socket.display())], &[]);
    process.client().await.info().await.expect("the user of the process gets through");
    assert_eq!(fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o600);

    let refused = elsewhere.overview(&socket);
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("ermission denied"), "{refused:?}");

    // Control: nothing but its mode keeps them out.
    open(&socket, 0o666);
    let let_in = elsewhere.overview(&socket);
    assert_eq!(let_in.status.code(), Some(0), "{let_in:?}");
    assert_eq!(process.stop().await, 0, "{}", ground.log());
}
