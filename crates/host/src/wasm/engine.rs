//! The engine that compiles and runs guests, one for the whole process, and how it is set up so that every node gets the
//! same result.
//!
//! What decides a result is in the guest's own code (see [`meter`](super::meter)) or fixed here: canonical NaN, no feature
//! whose outcome may differ between machines, and a target without whatever else this processor can do. The engine's own
//! limits stand behind those as a watchdog: when one of them strikes, it is a fault of this host and stops the node.

use std::sync::{Arc, OnceLock};

use machine::limits;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, Linker, OptLevel, PoolingAllocationConfig, RegallocAlgorithm,
    Strategy, WasmFeatures,
};

use super::guest::Guest;
use super::{TABLE_ELEMENTS_MAX, imports};

/// Native stack that a guest may use, bytes. A unit of the meter's depth is at most one byte of it, so the meter's limit
/// always strikes first; what is above that is for the engine's own entry and exit.
const GUEST_STACK_BYTES: usize = limits::DEPTH_MAX as usize + (2 << 20);

/// Native stack that must be left on a thread before it enters a guest, bytes: the guest's own, and enough below it for
/// host functions, which run at the guest's deepest point and reach into the store.
const STACK_BYTES_NEEDED: usize = GUEST_STACK_BYTES + (4 << 20);

/// Instances that may live at once in the process, in all nodes and threads together. Each reserves 4 GiB of address
/// space (not of memory), which saves the guest its bounds checks.
const INSTANCES_MAX: u32 = 1_024;

/// How many instances the process has room for, once that is decided.
static INSTANCES: OnceLock<u32> = OnceLock::new();

/// Lets the process have room for so many instances at once in place of 1,024, where it may not reserve 4 TiB of address
/// space: under valgrind. A node must not do it: one more instance than there is room for is a fault that stops it.
/// Call it before anything is prepared; later it does nothing.
pub fn reserve_instances(count: u32) {
    INSTANCES.get_or_init(|| count);
}

/// Bytes of an instance's memory that stay resident after it, where the kernel can say which pages were touched.
const RESIDENT_BYTES: usize = 2 << 20;
/// The same where it cannot, and all of them must be written anew.
const RESIDENT_BYTES_WITHOUT_SCAN: usize = 64 << 10;
/// Unused instance slots that keep their resident memory.
const WARM_SLOTS_MAX: u32 = 32;
/// Bytes of the engine's own record of one instance; it grows with the functions that are taken by pointer.
const INSTANCE_BYTES_MAX: usize = 8 << 20;

/// What a guest's code may use. The meter refuses more than this; here it is said to the engine too.
const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE);

/// The engine with the host functions bound to it.
#[derive(Clone)]
pub(super) struct Engine {
    /// The engine itself.
    pub(super) wasmtime: wasmtime::Engine,
    /// The host functions.
    pub(super) linker: Arc<Linker<Guest>>,
}

impl Engine {
    /// The engine of this process, made at the first call.
    ///
    /// # Errors
    /// This machine cannot run it; the text says what the engine missed.
    pub(super) fn shared() -> Result<Engine, String> {
        static SHARED: OnceLock<Result<Engine, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| Engine::new(GUEST_STACK_BYTES).map_err(|error| format!("{error:#}")))
            .clone()
    }

    /// An engine whose guests may use so many bytes of native stack.
    pub(super) fn new(guest_stack_bytes: usize) -> wasmtime::Result<Engine> {
        let wasmtime = wasmtime::Engine::new(&config(guest_stack_bytes)?)?;
        let mut linker = Linker::new(&wasmtime);
        imports::bind(&mut linker)?;
        Ok(Engine {
            wasmtime,
            linker: Arc::new(linker),
        })
    }
}

/// Runs `call` on this thread with enough native stack for a guest at its depth limit. The environment's workers have it;
/// on a thread with less, such as a test's, the call gets a stack of its own, at the cost of mapping it each time.
pub(crate) fn with_guest_stack<R>(call: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(STACK_BYTES_NEEDED, STACK_BYTES_NEEDED + (1 << 20), call)
}

fn config(guest_stack_bytes: usize) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .target(&target_lexicon::HOST.to_string())?
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_features(WasmFeatures::all().difference(FEATURES), false)
        .consume_fuel(false)
        .epoch_interruption(false)
        .max_wasm_stack(guest_stack_bytes)
        // Never used, but the engine compares the two.
        .async_stack_size(guest_stack_bytes)
        .memory_init_cow(true)
        // A module is made ready in good time, beside commands that are being applied: it takes one core, not all.
        .parallel_compilation(false)
        // No reply carries an engine's text, so nothing is recorded for one.
        .wasm_backtrace_max_frames(None)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    Ok(config)
}

fn pool() -> PoolingAllocationConfig {
    let resident = if PoolingAllocationConfig::is_pagemap_scan_available() {
        RESIDENT_BYTES
    } else {
        RESIDENT_BYTES_WITHOUT_SCAN
    };
    let instances = *INSTANCES.get_or_init(|| INSTANCES_MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances)
        .total_memories(instances)
        .total_tables(instances)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_memory_size(limits::MEMORY_PAGES_MAX as usize * PAGE_BYTES)
        .table_elements(TABLE_ELEMENTS_MAX as usize)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(RESIDENT_BYTES_WITHOUT_SCAN)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Bytes of a page of a guest's memory.
pub(super) const PAGE_BYTES: usize = 64 << 10;
