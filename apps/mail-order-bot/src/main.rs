//! The program: `run` serves, `demo` shows, `orders` looks, `config` checks.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mail_order_bot::config::BotConfig;
use mail_order_bot::demo::{demo, fresh_folder};
use mail_order_bot::extract::{CHILD_COMMAND, child_main};
use mail_order_bot::module::{APP, MailOrders};
use mail_order_bot::orders::{lines, lines_table, orders, orders_table};
use runtime::signals::Exit;
use runtime::stores::SqliteReader;
use runtime::{App, AppCommand, ConfigArgs, not_a_command};

/// Turns order mails into orders.
#[derive(Debug, Parser)]
#[command(name = APP, version)]
struct CommandLine {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    EveryApp(AppCommand),
    /// Runs the bundled mails through the real tree and shows what becomes of them.
    Demo {
        /// Folder for everything the demo writes; a fresh one when absent.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Looks at orders, while the bot runs or not.
    #[command(subcommand)]
    Orders(Orders),
}

#[derive(Debug, Subcommand)]
enum Orders {
    /// All orders.
    List,
    /// One order with its lines.
    Get {
        /// Its number.
        number: i64,
    },
}

fn main() -> ExitCode {
    // A child that reads one attachment: before anything else, so that it starts in no time and holds nothing.
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(CHILD_COMMAND) {
        return child_main(arguments);
    }
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return not_a_command(&error),
    };
    let app = App::<BotConfig>::configured(APP).module(MailOrders);
    match line.command {
        Verb::EveryApp(command) => app.run_command(&line.config, &command),
        Verb::Orders(command) => look(&app, &line.config, &command).into(),
        Verb::Demo { dir } => match dir.map_or_else(fresh_folder, Ok) {
            Ok(folder) => demo(&app, &line.config, &folder).into(),
            Err(error) => Exit::StartUp.because(&error).into(),
        },
    }
}

fn look(app: &App<BotConfig>, args: &ConfigArgs, command: &Orders) -> Exit {
    let loaded = match app.load(args) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let Some(control) = runtime::control_runtime() else { return Exit::StartUp };
    let path = loaded.value.store_path();
    let shown = control.block_on(async {
        let store = SqliteReader::open(&path)?;
        let query = async |sql, params| store.query_app(sql, params).await;
        match command {
            Orders::List => Ok(Some(orders_table(&orders(query, None).await?))),
            Orders::Get { number } => match orders(&query, Some(*number)).await?.pop() {
                None => Ok(None),
                Some(order) => {
                    let lines = lines(query, *number).await?;
                    Ok(Some(format!(
                        "{}\n{}",
                        orders_table(std::slice::from_ref(&order)),
                        lines_table(&lines, &order.currency)
                    )))
                }
            },
        }
    });
    match shown {
        Ok(Some(text)) => {
            print!("{text}");
            Exit::Clean
        }
        Ok(None) => {
            eprintln!("error: there is no such order");
            Exit::StartUp
        }
        Err::<_, runtime::prelude::TaskError>(error) => Exit::StartUp.because(&error),
    }
}
