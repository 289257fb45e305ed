use machine::{Code, Contract, Manifest};

/// A version that is tried on what was, and was perhaps never in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As the log would have it.
    pub manifest: Manifest,
    /// What it promises beside that.
    pub contract: Contract,
    /// How the log would name its code.
    pub code: Code,
    /// The module's bytes, where it is one.
    pub module: Option<Vec<u8>>,
}

impl Candidate {
    /// A version that is linked in, and promises nothing beside its manifest.
    #[must_use]
    pub fn native(manifest: Manifest) -> Candidate {
        Candidate {
            manifest,
            contract: Contract::default(),
            code: Code::Native,
            module: None,
        }
    }
}
