//! The program. Its hidden sub-command `extract-child` reads one attachment for its parent and ends.

use std::process::ExitCode;

use mail_order_bot::extract::{CHILD_COMMAND, child_main};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(CHILD_COMMAND) {
        return child_main(arguments);
    }
    eprintln!("usage: mail-order-bot {CHILD_COMMAND}");
    ExitCode::from(2)
}
