//! From a program's text to what runs.
//!
//! A program sees its document and nothing else, and gives the same on every node: there is no function that reads a clock, a
//! time zone, the environment, other inputs or chance, none that writes anywhere, and no module is loaded. Those that are not
//! there are found here, before anything runs.

use jaq_core::compile::Undefined;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Filter, data};
use jaq_json::Val;
use sdk::Refusal;

use crate::place::{Place, shown};
use crate::{definitions, functions};

/// What programs run on: values, and nothing beside them.
pub(crate) type Data = data::JustLut<Val>;

/// Names that jq has and a transform has not, since nodes would disagree or something would leave the node; the text says so.
const BANNED: &[&str] = &[
    "$ENV",
    "debug",
    "env",
    "get_search_list",
    "gmtime",
    "halt",
    "halt_error",
    "input",
    "input_filename",
    "input_line_number",
    "inputs",
    "localtime",
    "mktime",
    "now",
    "rand",
    "random",
    "stderr",
    "strflocaltime",
    "strftime",
    "strptime",
];

/// Compiles a program.
///
/// # Errors
/// It is none: with the first thing that is wrong, and where.
pub(crate) fn compile(program: &str) -> Result<Filter<Data>, Refusal> {
    let arena = Arena::default();
    let file = File {
        code: program,
        path: (),
    };
    let loader = Loader::new(definitions::used_by(program));
    let modules = loader
        .load(&arena, file)
        .map_err(|errors| unreadable(errors, program))?;
    // A file of data would be asked for here.
    load::import(&modules, |_| Err(String::new())).map_err(|errors| unreadable(errors, program))?;
    let compiler = Compiler::default().with_funs(functions::all());
    compiler.compile(modules).map_err(|errors| {
        let error = errors.into_iter().flat_map(|(_, errors)| errors).next();
        error.map_or_else(
            || refusal("it does not compile"),
            |(name, kind)| undefined(name, &kind, program),
        )
    })
}

/// The program cannot be read; the first thing that is wrong with it.
fn unreadable(errors: load::Errors<&str, ()>, program: &str) -> Refusal {
    let Some((_, error)) = errors.into_iter().next() else {
        return refusal("it does not parse");
    };
    let wrong = match error {
        load::Error::Io(files) => files.first().map(|(path, _)| {
            let place = Place::of(path, program);
            format!(
                "{place}: it loads {}, and a transform loads nothing: put it into the program itself",
                shown(path)
            )
        }),
        load::Error::Lex(errors) => errors
            .first()
            .map(|(expected, found)| unexpected(expected.as_str(), found, program)),
        load::Error::Parse(errors) => errors
            .first()
            .map(|(expected, found)| unexpected(expected.as_str(), found, program)),
    };
    refusal(&wrong.unwrap_or_else(|| "it does not parse".to_owned()))
}

fn unexpected(expected: &str, found: &str, program: &str) -> String {
    let expected = match expected {
        // What jaq calls it where all has been read that can be.
        "nothing" => "the end of the program or an operator",
        expected => expected,
    };
    format!(
        "{}: {expected} is expected before {}",
        Place::of(found, program),
        shown(found)
    )
}

/// The program names what is not there.
fn undefined(name: &str, kind: &Undefined, program: &str) -> Refusal {
    let place = Place::of(name, program);
    let what = match kind {
        Undefined::Filter(arity) => format!("{name}/{arity}"),
        _ => format!("{} {name}", kind.as_str()),
    };
    let why = if BANNED.contains(&name) {
        "a transform has not, since it must give the same on every node and reach nothing but its document"
    } else {
        "is not there: correct the name or the number of arguments, or define it in the program"
    };
    refusal(&format!("{place}: it uses {what}, which {why}"))
}

fn refusal(wrong: &str) -> Refusal {
    Refusal::coded("bad_program", format!("the program cannot be compiled: {wrong}"))
}
