//! What runs the programs of manifests: a module of ours, built from jaq and kept under `apps/transform`, installed and called
//! like any application ([`machine::transform`]).
//!
//! So a program has fuel, depth and memory as an application has them, and two nodes come to the same bytes, be it a document, a
//! refusal or a trap. Natively the same library would take the process with it on deep recursion, and knows no end of its own.

use std::sync::LazyLock;

use machine::{Code, Digest, Manifest, MeterNumber, TRANSFORM, Version};

use crate::meter;

/// The module, as it is kept.
pub const MODULE: &[u8] = include_bytes!("../../../apps/transform/transform.wasm");

/// The manifest of the module.
#[must_use]
pub fn manifest() -> Manifest {
    Manifest {
        application: TRANSFORM.into(),
        version: Version(1),
        about: "Runs a program in jq on a document".into(),
        commands: Vec::new(),
        queries: vec![TRANSFORM.into()],
        tables: Vec::new(),
        streams: Vec::new(),
    }
}

/// The module as code, with the meter that new changes are to name.
#[must_use]
pub fn code() -> Code {
    static DIGEST: LazyLock<Digest> = LazyLock::new(|| Digest::of(MODULE));
    Code::Wasm {
        module: *DIGEST,
        meter: MeterNumber(meter::METER),
    }
}

#[cfg(test)]
mod tests;
