use machine::{Digest, MeterNumber, Version};

use crate::wasm::meter;

pub use meter::Error as ModuleError;

/// Why a version cannot be made ready to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The module's bytes are not those that were announced.
    #[error(
        "the module's bytes have digest {found} and the change names {expected}: they were damaged or mixed up on the way; \
         send the module again"
    )]
    DigestMismatch {
        /// The digest that the code names.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The module's bytes were not given.
    #[error("the bytes of module {module} are not on this node: send the module, then try again")]
    ModuleMissing {
        /// The digest that the code names.
        module: Digest,
    },
    /// The module may not run here: what every node finds in the same way.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The module is to be given a meter that this binary does not have.
    #[error(
        "the change asks for meter {asked} and this binary has meter {}: run a binary on this node that has it",
        meter::METER
    )]
    UnknownMeter {
        /// The meter's number.
        asked: MeterNumber,
    },
    /// The module speaks another version of the interface.
    #[error("the module's abi_version gives {found} and this binary knows {known}: build it with the matching sdk")]
    AbiVersion {
        /// What it gives.
        found: i32,
        /// What this binary knows.
        known: i32,
    },
    /// The module failed when it was tried.
    #[error("the module was tried and failed: {0}; correct it and send it as a new module")]
    SelfTest(String),
    /// The engine does not compile the module.
    #[error("the module could not be compiled: {0}; build it with another compiler or setting, or report it")]
    Compile(String),
    /// The version's code is to be linked in, and is not.
    #[error(
        "version {version} of {application} is not linked into this node's binary: run a binary that has it, or install \
         the version as a module"
    )]
    NativeNotLinked {
        /// The application's name.
        application: String,
        /// The version.
        version: Version,
    },
    /// This machine cannot run modules at all.
    #[error("this machine cannot run modules: {0}")]
    Engine(String),
}

impl PrepareError {
    /// A stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            PrepareError::DigestMismatch { .. } => "module_digest_mismatch",
            PrepareError::ModuleMissing { .. } => "module_missing",
            PrepareError::Module(error) => module_code(error),
            PrepareError::UnknownMeter { .. } => "meter_unknown",
            PrepareError::AbiVersion { .. } => "module_abi_version",
            PrepareError::SelfTest(_) => "module_self_test_failed",
            PrepareError::Compile(_) => "module_compile_failed",
            PrepareError::NativeNotLinked { .. } => "native_not_linked",
            PrepareError::Engine(_) => "engine_unavailable",
        }
    }

    /// Whether it is this node that lacks something, so that trying again later, or with another binary, may help. If
    /// not, the module itself is at fault, on every node.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            PrepareError::ModuleMissing { .. }
            | PrepareError::UnknownMeter { .. }
            | PrepareError::NativeNotLinked { .. }
            | PrepareError::Engine(_) => true,
            PrepareError::DigestMismatch { .. }
            | PrepareError::Module(_)
            | PrepareError::AbiVersion { .. }
            | PrepareError::SelfTest(_)
            | PrepareError::Compile(_) => false,
        }
    }
}

fn module_code(error: &ModuleError) -> &'static str {
    match error {
        ModuleError::NotWasm => "module_not_wasm",
        ModuleError::Component => "module_is_component",
        ModuleError::Invalid { .. } => "module_invalid",
        ModuleError::FeatureNotAllowed { .. } => "module_feature_not_allowed",
        ModuleError::ModuleTooLarge { .. } => "module_too_large",
        ModuleError::TooMany { .. } => "module_has_too_many",
        ModuleError::ImportNotAllowed { .. } => "module_import_not_allowed",
        ModuleError::ImportNotFunction { .. } => "module_import_not_function",
        ModuleError::ImportType { .. } => "module_import_type",
        ModuleError::ExportMissing { .. } => "module_export_missing",
        ModuleError::ExportType { .. } => "module_export_type",
        ModuleError::MemoryNotExported => "module_memory_not_exported",
        ModuleError::ReservedExport { .. } => "module_export_reserved",
        ModuleError::MemoryTooLarge { .. } => "module_memory_too_large",
        ModuleError::TableTooLarge { .. } => "module_table_too_large",
        ModuleError::Defect { .. } => "module_not_metered",
    }
}
