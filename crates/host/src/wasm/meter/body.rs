//! One function's body, with the meter written into it.

use wasm_encoder::reencode::Reencode;
use wasm_encoder::{BlockType, Encode, Function, Instruction, ValType};
use wasmparser::{FunctionBody, Operator};

use super::Error;
use super::cost::{self, Rate};
use super::emit::Layout;
use super::guest::{Guest, at_most};
use super::policy::Policy;

/// The locals of one function that an engine takes beside those of the meter.
const ENGINE_LOCALS_MAX: u32 = 50_000 - 3;
/// The bytes of one function's body that an engine takes.
const ENGINE_FUNCTION_BYTES_MAX: u64 = 7_654_321;

/// Writes the meter into the body of a function of type `type_index`.
pub(super) fn function(
    guest: &Guest,
    layout: Layout,
    policy: &Policy,
    type_index: u32,
    body: &FunctionBody,
) -> Result<Function, Error> {
    let params = guest.func_type(type_index)?.params().len() as u32;
    let mut declared = Vec::new();
    let mut locals: u64 = 0;
    for group in body.get_locals_reader()? {
        let (count, ty) = group?;
        locals += u64::from(count);
        declared.push((count, Layout::val_type(&mut layout.clone(), ty)?));
    }
    let limit = policy.locals_max.min(ENGINE_LOCALS_MAX);
    at_most("locals in one function", locals + u64::from(params), limit.into())?;
    let locals = locals as u32;
    declared.extend(Body::LOCALS);

    let mut metered = Body::new(guest, layout, params, locals);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        metered.operator(operators.read()?)?;
    }
    let mut function = Function::new(declared);
    function.raw(metered.finish());
    at_most(
        "bytes in one function once it is metered",
        function.byte_len() as u64,
        ENGINE_FUNCTION_BYTES_MAX,
    )?;
    Ok(function)
}

/// How a basic block is entered, and so what its charge looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// The function's first block: its charge is part of the prologue.
    Entry,
    /// A loop's first block: charged and checked.
    Loop,
    /// Any other block: charged.
    Plain,
}

struct Body<'g> {
    guest: &'g Guest<'g>,
    layout: Layout,
    /// The local that caches the remaining fuel.
    fuel: u32,
    /// The local with what remains of the depth below this frame.
    depth: u32,
    /// The local for a bulk instruction's operand.
    scratch: u32,
    /// Blocks that are finished, without the prologue.
    done: Vec<u8>,
    /// The instructions of the current block.
    block: Vec<u8>,
    head: Head,
    /// The fuel that the current block costs so far.
    cost: u64,
    /// The fuel that the first block costs, once it is finished.
    entry_cost: u64,
    /// Blocks, loops and ifs that are open.
    nesting: u32,
    /// In unreachable code: how many blocks were opened in it. Unreachable code is left out.
    unreachable: Option<u32>,
    /// Whether the global is known to hold what the local holds.
    flushed: bool,
    /// Values counted for the frame's depth cost.
    values: u64,
}

impl<'g> Body<'g> {
    /// The locals of the meter, in the order of their indexes: fuel, depth, scratch.
    const LOCALS: [(u32, ValType); 2] = [(1, ValType::I64), (2, ValType::I32)];

    fn new(guest: &'g Guest<'g>, layout: Layout, params: u32, locals: u32) -> Self {
        let first = params + locals;
        Self {
            guest,
            layout,
            fuel: first,
            depth: first + 1,
            scratch: first + 2,
            done: Vec::new(),
            block: Vec::new(),
            head: Head::Entry,
            cost: cost::entry(locals),
            entry_cost: 0,
            nesting: 0,
            unreachable: None,
            flushed: false,
            values: u64::from(first),
        }
    }

    fn operator(&mut self, operator: Operator) -> Result<(), Error> {
        let reached = self.unreachable.is_none();
        if !reached && self.skips(&operator) {
            return Ok(());
        }
        let unknown = || Error::Defect {
            reason: format!("the meter has no price for {operator:?}"),
        };
        self.cost += cost::fixed(&operator).ok_or_else(unknown)?;
        self.values += self.values_of(&operator)?;
        match operator {
            Operator::Block { .. } => {
                self.nesting += 1;
                self.copy(operator)
            }
            Operator::Loop { .. } => {
                self.nesting += 1;
                self.copy_and_seal(operator, Head::Loop)
            }
            Operator::If { .. } => {
                self.nesting += 1;
                self.copy_and_seal(operator, Head::Plain)
            }
            Operator::Else => self.copy_and_seal(operator, Head::Plain),
            Operator::End => self.end(operator, reached),
            Operator::BrIf { .. } => self.branch(operator),
            Operator::Br { .. } | Operator::BrTable { .. } | Operator::Return | Operator::Unreachable => {
                self.branch(operator)?;
                self.unreachable = Some(0);
                Ok(())
            }
            Operator::Call { function_index } => {
                let deepens = !self.layout.is_import(function_index);
                self.call(operator, deepens)
            }
            Operator::CallIndirect { .. } => self.call(operator, true),
            _ => {
                if let Some(rate) = cost::rate(&operator) {
                    self.charge_operand(rate);
                }
                self.copy(operator)
            }
        }
    }

    /// In unreachable code: whether this instruction still belongs to it.
    fn skips(&mut self, operator: &Operator) -> bool {
        let opened = self.unreachable.unwrap_or(0);
        self.unreachable = match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => Some(opened + 1),
            Operator::End if opened > 0 => Some(opened - 1),
            Operator::Else if opened == 0 => None,
            Operator::End => None,
            _ => Some(opened),
        };
        self.unreachable.is_some()
    }

    fn end(&mut self, operator: Operator, reached: bool) -> Result<(), Error> {
        let leaves = self.nesting == 0;
        if leaves && reached {
            self.flush();
        }
        self.nesting = self.nesting.saturating_sub(1);
        self.copy_and_seal(operator, Head::Plain)
    }

    fn branch(&mut self, operator: Operator) -> Result<(), Error> {
        if self.leaves(&operator)? {
            self.flush();
        }
        self.copy_and_seal(operator, Head::Plain)
    }

    /// Whether a branch may leave the function.
    fn leaves(&self, operator: &Operator) -> Result<bool, Error> {
        Ok(match operator {
            Operator::Return => true,
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => *relative_depth == self.nesting,
            Operator::BrTable { targets } => {
                let mut leaves = targets.default() == self.nesting;
                for target in targets.targets() {
                    leaves |= target? == self.nesting;
                }
                leaves
            }
            _ => false,
        })
    }

    fn call(&mut self, operator: Operator, deepens: bool) -> Result<(), Error> {
        self.flush();
        if deepens {
            self.put(&[
                Instruction::LocalGet(self.depth),
                Instruction::GlobalSet(self.layout.depth),
            ]);
        }
        self.copy(operator)?;
        self.put(&[
            Instruction::GlobalGet(self.layout.budget),
            Instruction::LocalSet(self.fuel),
        ]);
        Ok(())
    }

    /// Charges for the length on top of the stack, and checks, before the instruction runs.
    fn charge_operand(&mut self, rate: Rate) {
        let shift = rate.shift_left();
        let scale = if shift < 0 {
            Instruction::I64ShrU
        } else {
            Instruction::I64Shl
        };
        self.put(&[
            Instruction::LocalTee(self.scratch),
            Instruction::LocalGet(self.fuel),
            Instruction::LocalGet(self.scratch),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(shift.abs()),
            scale,
            Instruction::I64Sub,
            Instruction::LocalTee(self.fuel),
        ]);
        let check = self.out_of_fuel_check();
        self.put(&check);
        self.flushed = false;
    }

    /// Makes the global hold what the local holds.
    fn flush(&mut self) {
        if !self.flushed {
            self.put(&[
                Instruction::LocalGet(self.fuel),
                Instruction::GlobalSet(self.layout.budget),
            ]);
            self.flushed = true;
        }
    }

    /// Traps if the fuel on top of the stack, which is also in the local, is negative.
    fn out_of_fuel_check(&self) -> [Instruction<'static>; 7] {
        [
            Instruction::I64Const(0),
            Instruction::I64LtS,
            Instruction::If(BlockType::Empty),
            Instruction::LocalGet(self.fuel),
            Instruction::GlobalSet(self.layout.budget),
            Instruction::Unreachable,
            Instruction::End,
        ]
    }

    fn copy(&mut self, operator: Operator) -> Result<(), Error> {
        let instruction = self.layout.instruction(operator)?;
        self.put(&[instruction]);
        Ok(())
    }

    fn copy_and_seal(&mut self, operator: Operator, next: Head) -> Result<(), Error> {
        self.copy(operator)?;
        self.seal(next);
        Ok(())
    }

    fn put(&mut self, instructions: &[Instruction]) {
        instructions
            .iter()
            .for_each(|instruction| instruction.encode(&mut self.block));
    }

    /// Ends the current block: its charge is now known and goes before its instructions.
    fn seal(&mut self, next: Head) {
        let charge = Instruction::I64Const(self.cost as i64);
        let get = Instruction::LocalGet(self.fuel);
        let mut out = |instructions: &[Instruction]| instructions.iter().for_each(|it| it.encode(&mut self.done));
        match self.head {
            Head::Entry => self.entry_cost = self.cost,
            Head::Loop => out(&[get, charge, Instruction::I64Sub, Instruction::LocalTee(self.fuel)]),
            Head::Plain if self.cost > 0 => out(&[get, charge, Instruction::I64Sub, Instruction::LocalSet(self.fuel)]),
            Head::Plain => {}
        }
        if self.head == Head::Loop {
            let check = self.out_of_fuel_check();
            check.iter().for_each(|it| it.encode(&mut self.done));
        }
        self.done.append(&mut self.block);
        self.head = next;
        self.cost = 0;
        self.flushed = false;
    }

    /// The values that the instruction can add to the frame.
    fn values_of(&self, operator: &Operator) -> Result<u64, Error> {
        let type_index = match operator {
            Operator::Call { function_index } => self.guest.function_type_index(*function_index)?,
            Operator::CallIndirect { type_index, .. } => *type_index,
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => match blockty {
                wasmparser::BlockType::Empty => return Ok(1),
                wasmparser::BlockType::Type(_) => return Ok(2),
                wasmparser::BlockType::FuncType(type_index) => *type_index,
            },
            _ => return Ok(1),
        };
        let ty = self.guest.func_type(type_index)?;
        Ok(1 + (ty.params().len() + ty.results().len()) as u64)
    }

    /// The whole body: the prologue, which needs the sum of the frame, and the blocks.
    fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.done.len() + 64);
        let depth_check = [
            Instruction::GlobalGet(self.layout.depth),
            Instruction::I32Const(cost::frame(self.values)),
            Instruction::I32Sub,
            Instruction::LocalTee(self.depth),
            Instruction::I32Const(0),
            Instruction::I32LtS,
            Instruction::If(BlockType::Empty),
            Instruction::LocalGet(self.depth),
            Instruction::GlobalSet(self.layout.depth),
            Instruction::Unreachable,
            Instruction::End,
        ];
        let charge = [
            Instruction::GlobalGet(self.layout.budget),
            Instruction::I64Const(self.entry_cost as i64),
            Instruction::I64Sub,
            Instruction::LocalTee(self.fuel),
        ];
        let parts = [&depth_check[..], &charge[..], &self.out_of_fuel_check()[..]];
        parts
            .concat()
            .iter()
            .for_each(|instruction| instruction.encode(&mut out));
        out.extend(self.done);
        out
    }
}
