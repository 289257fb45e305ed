//! The one binary of Seachange; see `seachange --help`.

mod allocator;

use std::num::NonZero;
use std::process::ExitCode;

use seachange::commands::{self, Wanted};
use seachange::exit::{Exit, exit_of};
use seachange::{output, style};

fn main() -> ExitCode {
    allocator::tune();
    let words: Vec<_> = std::env::args_os().collect();
    let wanted = Wanted::by(&words);
    style::choose(wanted.color);
    let arguments = match commands::parse(&words, wanted) {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&anyhow::Error::new(error).context("cannot start"), wanted.json);
            return Exit::Failed.into();
        }
    };
    let result = runtime.block_on(async { arguments.run(environment::real::environment()).await });
    // Workers may be in the middle of a read that never ends, such as that of standard input: nobody waits for them.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            let exit = exit_of(&error);
            if exit != Exit::Done {
                output::error(&error, wanted.json);
            }
            exit.into()
        }
    }
}

/// Tasks run on half of the processors. The applier, the log and readers have threads of their own, and a worker that is
/// woken only to look for work takes more from them than it spares.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads((processors / 2).max(1))
        .enable_all()
        .build()
}
