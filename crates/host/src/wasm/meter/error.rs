//! Why a module was refused.

/// Why a module was refused; one variant for each kind of refusal.
///
/// The texts are for people. They quote the parser, whose words change between versions, so a replicated reply carries
/// [`Error::code`] instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes do not begin as a WebAssembly module does.
    #[error(
        "these bytes are not a WebAssembly module (they do not begin with \\0asm and version 1): send the .wasm file of a core module as the compiler wrote it"
    )]
    NotWasm,
    /// A component instead of a core module.
    #[error(
        "this is a WebAssembly component, and applications are core modules: build for wasm32-unknown-unknown and leave out the step that makes a component"
    )]
    Component,
    /// The module breaks a rule of WebAssembly itself.
    #[error(
        "the module is not valid WebAssembly (at byte {offset}: {reason}): it was damaged on the way or its compiler is at fault; build it again"
    )]
    Invalid {
        /// Where, in bytes from the start of the module.
        offset: usize,
        /// The parser's words.
        reason: String,
    },
    /// The module uses a feature that replicas are not sure to agree on or the meter does not know.
    #[error(
        "the module uses {feature}, which applications may not use because every replica must get the same result at a known cost (at byte {offset}: {reason}): {advice}"
    )]
    FeatureNotAllowed {
        /// The feature's name.
        feature: &'static str,
        /// Where, in bytes from the start of the module.
        offset: usize,
        /// The parser's words.
        reason: String,
        /// What to change in the build.
        advice: &'static str,
    },
    /// The module as a whole is too large.
    #[error(
        "the module has {bytes} bytes and the limit is {limit}: strip debug information, build for size, or split the application"
    )]
    ModuleTooLarge {
        /// Its size.
        bytes: usize,
        /// The policy's limit.
        limit: usize,
    },
    /// The module has too many or too large parts of some kind.
    #[error(
        "the module has {found} {what} and the limit is {limit}, which keeps compiling it quick on every node: split the code up, or build for size"
    )]
    TooMany {
        /// What was counted, as in "locals in one function".
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The policy's limit.
        limit: u64,
    },
    /// An import that no host function answers to.
    #[error(
        "the module imports {module}.{name}, which the host does not offer: import only the functions of the application interface (a wasi or env import usually comes from a library that expects an operating system)"
    )]
    ImportNotAllowed {
        /// The import's namespace.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An import that is a memory, a table, a global or a tag.
    #[error(
        "the module imports {module}.{name} as a {kind}, and only functions may be imported: define it in the module and export it"
    )]
    ImportNotFunction {
        /// The import's namespace.
        module: String,
        /// The import's name.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// An allowed import, declared with another type.
    #[error(
        "the module imports {module}.{name} with type {found} and the host offers it with type {expected}: use the declarations of the interface version you import"
    )]
    ImportType {
        /// The import's namespace.
        module: String,
        /// The import's name.
        name: String,
        /// The host's type.
        expected: String,
        /// The module's type.
        found: String,
    },
    /// A function that must be exported is not.
    #[error(
        "the module does not export the function {name} of type {expected}, which the host calls: export it under exactly this name"
    )]
    ExportMissing {
        /// The export's name.
        name: &'static str,
        /// The type it should have.
        expected: String,
    },
    /// A required export is there with another type, or is no function.
    #[error("the module exports {name} as {found} and the host calls it as {expected}: change its declaration")]
    ExportType {
        /// The export's name.
        name: &'static str,
        /// The type it should have.
        expected: String,
        /// The type it has.
        found: String,
    },
    /// No memory is exported under the name `memory`.
    #[error(
        "the module does not export its memory under the name memory, through which the host passes data: export it (compilers do so unless told otherwise)"
    )]
    MemoryNotExported,
    /// An export takes a name of the meter's.
    #[error("the module exports {name}, and names that begin with seachange: belong to the host: rename the export")]
    ReservedExport {
        /// The export's name.
        name: String,
    },
    /// The memory's minimum is above the limit.
    #[error(
        "the module asks for a memory of at least {pages} pages of 64 KiB and the limit is {limit}: lower its initial memory or its static data"
    )]
    MemoryTooLarge {
        /// The module's minimum.
        pages: u64,
        /// The policy's limit.
        limit: u32,
    },
    /// The table's minimum is above the limit.
    #[error(
        "the module asks for a table of at least {elements} elements and the limit is {limit}: take fewer functions by pointer, or split the application"
    )]
    TableTooLarge {
        /// The module's minimum.
        elements: u64,
        /// The policy's limit.
        limit: u32,
    },
    /// The rewritten module would be invalid. No guest should be able to cause it.
    #[error(
        "the meter could not rewrite the module ({reason}): this is a defect of the host; report it with the module, and keep running the version before"
    )]
    Defect {
        /// What went wrong.
        reason: String,
    },
}

impl Error {
    /// The refusal's number in replicated replies; never reused.
    pub fn code(&self) -> u16 {
        match self {
            Error::NotWasm => 1,
            Error::Component => 2,
            Error::Invalid { .. } => 3,
            Error::FeatureNotAllowed { .. } => 4,
            Error::ModuleTooLarge { .. } => 5,
            Error::TooMany { .. } => 6,
            Error::ImportNotAllowed { .. } => 7,
            Error::ImportNotFunction { .. } => 8,
            Error::ImportType { .. } => 9,
            Error::ExportMissing { .. } => 10,
            Error::ExportType { .. } => 11,
            Error::MemoryNotExported => 12,
            Error::ReservedExport { .. } => 13,
            Error::MemoryTooLarge { .. } => 14,
            Error::TableTooLarge { .. } => 15,
            Error::Defect { .. } => 16,
        }
    }
}

impl From<wasmparser::Error> for Error {
    fn from(error: wasmparser::Error) -> Self {
        Error::Invalid {
            offset: error.offset(),
            reason: quoted(error.message()),
        }
    }
}

impl From<wasm_encoder::reencode::Error> for Error {
    fn from(error: wasm_encoder::reencode::Error) -> Self {
        match error {
            wasm_encoder::reencode::Error::ParseError(error) => error.into(),
            other => Error::Defect {
                reason: other.to_string(),
            },
        }
    }
}

/// A text from the guest, cut to what a log line bears.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    match text.char_indices().nth(CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
