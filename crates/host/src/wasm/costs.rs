//! What the host offers to a guest (interface `app_1`) and what it costs in fuel.
//!
//! The table is part of meter number 1: the base costs and the bytes of lengths known beforehand are written into the
//! guest's code by the meter, what is known only afterwards ([`Charge`]) is taken from its budget by the host. To change a
//! number is to make a new meter. One unit stands for about a nanosecond; a read that misses every cache costs more than
//! its base, so [`machine::limits::FUEL_MAX`] bounds a command to some 100,000 reads.
//!
//! | function | base | a byte | afterwards |
//! |---|---|---|---|
//! | `get` | 2,000 | 1 of table and key | 1 for each byte of the document, also when it did not fit |
//! | `put` | 1,000 | 2 of table, key and document | |
//! | `delete` | 1,000 | 2 of table and key | |
//! | `scan` | 4,000 | 1 of table and start | 1 for each byte of the end, 500 for each row read and 1 for each of its bytes, also when it did not fit |
//! | `emit` | 500 | 2 of stream and value | 2 for each byte of the key |
//! | `time`, `index`, `random` | 20 | | |

use wasmparser::ValType::{self, I32, I64};

use super::meter::{AllowedImport, RequiredExport};

/// The namespace of the interface's first version.
pub(super) const NAMESPACE: &str = "app_1";

/// What `abi_version` gives for the interface's first version.
pub(super) const ABI_VERSION: i32 = 1;

/// Fuel for a row that a scan read, besides its bytes.
const SCANNED_ROW: u64 = 500;
/// Fuel for a byte that a guest reads.
const READ_BYTE: u64 = 1;
/// Fuel for a byte that a guest writes.
const WRITTEN_BYTE: u64 = 2;

/// Every host function of the interface.
pub(super) const IMPORTS: &[AllowedImport] = &[
    import("get", &[I32; 6], &[I64], 2_000, READ_BYTE, &[1, 3]),
    import("put", &[I32; 6], &[], 1_000, WRITTEN_BYTE, &[1, 3, 5]),
    import("delete", &[I32; 4], &[], 1_000, WRITTEN_BYTE, &[1, 3]),
    // The lengths of `end` and of an event's key may be -1 for "none", so the meter cannot charge for them.
    import("scan", &[I32; 10], &[I64], 4_000, READ_BYTE, &[1, 3]),
    import("emit", &[I32; 6], &[], 500, WRITTEN_BYTE, &[1, 5]),
    import("time", &[], &[I64], 20, 0, &[]),
    import("index", &[], &[I64], 20, 0, &[]),
    import("random", &[], &[I64], 20, 0, &[]),
];

/// Every function that a guest must export, besides its memory.
pub(super) const EXPORTS: &[RequiredExport] = &[
    export("abi_version", &[], &[I32]),
    export("buffer", &[I32], &[I32]),
    export("apply", &[I32, I32], &[I64]),
    export("query", &[I32, I32], &[I64]),
    export("migrate", &[I32, I32], &[I64]),
];

/// Fuel that a host call cost beyond what the meter charged for it beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Charge(pub(super) u64);

impl Charge {
    /// Nothing more.
    pub(super) const NONE: Charge = Charge(0);

    /// For bytes that were read.
    pub(super) fn read(bytes: usize) -> Charge {
        Charge(READ_BYTE.saturating_mul(bytes as u64))
    }

    /// For bytes to be written.
    pub(super) fn written(bytes: usize) -> Charge {
        Charge(WRITTEN_BYTE.saturating_mul(bytes as u64))
    }

    /// For rows of so many bytes together, found by a scan.
    pub(super) fn scanned(rows: usize, bytes: usize) -> Charge {
        let rows = SCANNED_ROW.saturating_mul(rows as u64);
        Charge(rows.saturating_add(Charge::read(bytes).0))
    }

    /// Both.
    pub(super) fn and(self, other: Charge) -> Charge {
        Charge(self.0.saturating_add(other.0))
    }
}

const fn import(
    name: &'static str,
    params: &'static [ValType],
    results: &'static [ValType],
    base_cost: u64,
    byte_cost: u64,
    byte_params: &'static [usize],
) -> AllowedImport {
    AllowedImport {
        module: NAMESPACE,
        name,
        params,
        results,
        base_cost,
        byte_cost,
        byte_params,
    }
}

const fn export(name: &'static str, params: &'static [ValType], results: &'static [ValType]) -> RequiredExport {
    RequiredExport { name, params, results }
}
