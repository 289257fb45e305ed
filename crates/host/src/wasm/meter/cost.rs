//! What an instruction costs in fuel, and what a value costs in depth.
//!
//! One unit of fuel stands for about a nanosecond or less. The table is part of the meter's number: changing any value
//! means a new meter.

use wasmparser::Operator;

/// Fuel for entering a function, besides its locals.
pub(super) const ENTRY: u64 = 2;
/// Declared locals that cost one unit of fuel at entry, rounded down: the engine has to zero them.
pub(super) const LOCALS_PER_UNIT: u64 = 4;

/// Fuel for an instruction that the fixed target turns into one or a few machine instructions.
const PLAIN: u64 = 1;
/// Fuel for a branch through a table, a direct call, or an instruction that becomes a call into the engine's library.
const SLOW: u64 = 4;
/// Fuel for a division, a remainder, a square root or an indirect call.
const SLOWER: u64 = 8;
/// Fuel for a bulk instruction or `memory.grow`, besides its operand.
const BULK: u64 = 16;

/// Depth units of any frame: return address, frame pointer, saved registers, and the meter's own locals.
pub const FRAME_BASE_UNITS: u64 = 256;
/// Depth units of each value of a frame. The values counted are the parameters and locals, one for each reachable
/// instruction (it can leave at most one value that needs a slot), and the parameters and results of each call and block.
/// An optimiser that gives every one of them its own eight-byte slot still stays within the sum.
pub const FRAME_VALUE_UNITS: u64 = 8;

/// The depth cost of a frame of so many values. A frame too large for an `i32` can never be entered, which is sound.
pub(super) fn frame(values: u64) -> i32 {
    let units = values
        .saturating_mul(FRAME_VALUE_UNITS)
        .saturating_add(FRAME_BASE_UNITS);
    i32::try_from(units).unwrap_or(i32::MAX)
}

/// The fuel charged at entry of a function with so many declared locals.
pub(super) fn entry(locals: u32) -> u64 {
    ENTRY + u64::from(locals) / LOCALS_PER_UNIT
}

/// How an instruction's work grows with the `u32` on top of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// One unit for each full eight bytes.
    Bytes,
    /// 8,192 units a page of 64 KiB: the same rate.
    Pages,
    /// Eight units for each element of a table.
    Elements,
}

impl Rate {
    /// How far the operand is shifted left (if positive) or right to become units of fuel.
    pub(super) fn shift_left(self) -> i64 {
        match self {
            Rate::Bytes => -3,
            Rate::Pages => 13,
            Rate::Elements => 3,
        }
    }
}

/// How the instruction is charged for its operand, if at all.
pub(super) fn rate(operator: &Operator) -> Option<Rate> {
    match operator {
        Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => Some(Rate::Bytes),
        Operator::MemoryGrow { .. } => Some(Rate::Pages),
        Operator::TableInit { .. } | Operator::TableCopy { .. } => Some(Rate::Elements),
        _ => None,
    }
}

/// The instruction's fixed cost in fuel, or `None` if the meter does not know it (validation then missed something).
///
/// Marks of structure are free: they are no work, and no loop goes round without a branch.
pub(super) fn fixed(operator: &Operator) -> Option<u64> {
    use Operator::*;
    if !is_known(operator) {
        return None;
    }
    Some(match operator {
        Block { .. } | Loop { .. } | Else | End => 0,
        BrTable { .. } | Call { .. } => SLOW,
        // Without SSE4.1, which the fixed target does not assume, these are calls or long sequences.
        F32Ceil | F32Floor | F32Trunc | F32Nearest | F64Ceil | F64Floor | F64Trunc | F64Nearest => SLOW,
        I32Popcnt | I64Popcnt => SLOW,
        I32DivS | I32DivU | I32RemS | I32RemU | I64DivS | I64DivU | I64RemS | I64RemU => SLOWER,
        F32Div | F64Div | F32Sqrt | F64Sqrt | CallIndirect { .. } => SLOWER,
        MemoryGrow { .. } | MemoryFill { .. } | MemoryCopy { .. } | MemoryInit { .. } => BULK,
        TableInit { .. } | TableCopy { .. } | DataDrop { .. } | ElemDrop { .. } => BULK,
        _ => PLAIN,
    })
}

/// Generates `is_known` from wasmparser's list of instructions, so that only named proposals ever get through, also
/// after an update of wasmparser.
macro_rules! define_is_known {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        fn is_known(operator: &Operator) -> bool {
            match operator {
                $( Operator::$op { .. } => define_is_known!(is $proposal), )*
                _ => false,
            }
        }
    };
    (is mvp) => { true };
    (is sign_extension) => { true };
    (is saturating_float_to_int) => { true };
    (is bulk_memory) => { true };
    (is $other:ident) => { false };
}
wasmparser::for_each_operator!(define_is_known);
