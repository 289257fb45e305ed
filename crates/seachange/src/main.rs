//! The one binary of Seachange; see `seachange --help`.

use std::process::ExitCode;

use clap::Parser;
use seachange::commands::Arguments;
use seachange::exit::{Exit, exit_of};
use seachange::output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::progress(format!("seachange: cannot start: {error}"));
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
                output::progress(format!("seachange: {error:#}"));
            }
            exit.into()
        }
    }
}
