//! What a guest may be: its limits, the imports it may use and the exports it must have.

use wasmparser::ValType;

/// Limits of one guest module. All are checked before anything is rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Bytes of the module as it was uploaded, debug information included.
    pub module_bytes_max: usize,
    /// Bytes of one function's body. The meter makes a body at most some sixteen times as large (a chain of `memory.grow`;
    /// compilers' output less than double), and engines refuse more than 7.6 MB.
    pub function_bytes_max: usize,
    /// Functions imported; each gets a wrapper.
    pub imports_max: u32,
    /// Things exported.
    pub exports_max: u32,
    /// Functions defined in the module, imports not counted.
    pub functions_max: u32,
    /// Locals of one function, parameters included. Engines refuse more than 50,000, three of which are the meter's.
    pub locals_max: u32,
    /// Parameters, and results, of one function or block type.
    pub arity_max: usize,
    /// Globals defined in the module.
    pub globals_max: u32,
    /// Pages of 64 KiB that the memory may have; also written into the module as the memory's maximum.
    pub memory_pages_max: u32,
    /// Elements that the table may have; also written into the module as the table's maximum.
    pub table_elements_max: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            module_bytes_max: 8 << 20,
            function_bytes_max: 384 << 10,
            imports_max: 1_000,
            exports_max: 10_000,
            functions_max: 50_000,
            locals_max: 10_000,
            arity_max: 128,
            globals_max: 1_000,
            memory_pages_max: 1_024,
            table_elements_max: 65_536,
        }
    }
}

/// A host function that a guest may import, with what a call of it costs.
///
/// A call costs `base_cost`, and `byte_cost` for each byte counted by the parameters in `byte_params` (read as unsigned
/// 32-bit lengths), charged before the host function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedImport {
    /// The import's namespace, e.g. `app_1`.
    pub module: &'static str,
    /// The function's name in that namespace.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [ValType],
    /// Its results.
    pub results: &'static [ValType],
    /// Fuel for one call, at most [`AllowedImport::BASE_COST_MAX`].
    pub base_cost: u64,
    /// Fuel for one byte, at most [`AllowedImport::BYTE_COST_MAX`].
    pub byte_cost: u64,
    /// Indexes of the `i32` parameters that are lengths in bytes, at most [`AllowedImport::BYTE_PARAMS_MAX`] of them.
    pub byte_params: &'static [usize],
}

impl AllowedImport {
    /// The largest base cost. With the other two limits it keeps one call's charge far from the ends of an `i64`.
    pub const BASE_COST_MAX: u64 = 1 << 40;
    /// The largest cost of a byte.
    pub const BYTE_COST_MAX: u64 = 1 << 20;
    /// The most length parameters.
    pub const BYTE_PARAMS_MAX: usize = 16;

    /// Asserts what the host's own table of imports must keep to; a guest cannot influence any of it.
    pub(super) fn assert_sound(&self) {
        let Self { module, name, .. } = self;
        assert!(
            self.base_cost <= Self::BASE_COST_MAX,
            "base cost of import {module}.{name}"
        );
        assert!(
            self.byte_cost <= Self::BYTE_COST_MAX,
            "byte cost of import {module}.{name}"
        );
        assert!(
            self.byte_params.len() <= Self::BYTE_PARAMS_MAX,
            "length parameters of import {module}.{name}"
        );
        for &index in self.byte_params {
            assert_eq!(
                self.params.get(index),
                Some(&ValType::I32),
                "length parameter {index} of import {module}.{name}"
            );
        }
    }
}

/// A function that a guest must export, besides its memory under the name `memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredExport {
    /// The name it is exported under.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [ValType],
    /// Its results.
    pub results: &'static [ValType],
}
