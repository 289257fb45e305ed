//! The WebAssembly features that guests may use, and what to tell those that use others.

use wasmparser::WasmFeatures;

/// What a guest may use: what compilers emit by default, and nothing whose result or cost could differ.
///
/// Of reference types only the long form of a table's index, which LLVM writes in every `call_indirect`.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG);

/// Features that are refused, by name, with the way to build without them.
const ADVICE: &[(WasmFeatures, &str, &str)] = &[
    (WasmFeatures::SIMD, "SIMD", "build without the target feature simd128"),
    (
        WasmFeatures::RELAXED_SIMD,
        "relaxed SIMD",
        "build without the target feature relaxed-simd",
    ),
    (
        WasmFeatures::THREADS,
        "threads",
        "build without the target feature atomics, and with one unshared memory",
    ),
    (
        WasmFeatures::MEMORY64,
        "64-bit memory",
        "build for wasm32 instead of wasm64",
    ),
    (
        WasmFeatures::MULTI_MEMORY,
        "more than one memory",
        "build without the target feature multimemory",
    ),
    (
        WasmFeatures::TAIL_CALL,
        "tail calls",
        "build without the target feature tail-call",
    ),
    (
        WasmFeatures::EXCEPTIONS,
        "exceptions",
        "build without the target feature exception-handling (Rust: panic = \"abort\")",
    ),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "exceptions",
        "build without the target feature exception-handling (Rust: panic = \"abort\")",
    ),
    (
        WasmFeatures::GC,
        "garbage-collected types",
        "choose a compiler that keeps its objects in linear memory",
    ),
    (
        WasmFeatures::GC_TYPES,
        "garbage-collected types",
        "choose a compiler that keeps its objects in linear memory",
    ),
    (
        WasmFeatures::REFERENCE_TYPES,
        "reference types",
        "build without table instructions and externref values (no wasm-bindgen)",
    ),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "typed function references",
        "build without the target feature for them",
    ),
    (
        WasmFeatures::EXTENDED_CONST,
        "extended constant expressions",
        "build without the target feature extended-const",
    ),
    (
        WasmFeatures::WIDE_ARITHMETIC,
        "wide arithmetic",
        "build without the target feature wide-arithmetic",
    ),
];

/// A feature's name, and how to build without it.
pub(super) fn describe(feature: WasmFeatures) -> (&'static str, &'static str) {
    let known = ADVICE.iter().find(|(known, ..)| feature.intersects(*known));
    known.map_or(
        (
            "a proposal beyond the allowed ones",
            "build for the compiler's default features",
        ),
        |&(_, name, advice)| (name, advice),
    )
}
