//! The naive twin: charges each instruction by itself, straight in the global, and checks every time.

use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection, GlobalType, Instruction,
    Module, SectionId, ValType,
};

use super::super::cost;
use super::super::features::FEATURES;
use super::super::guest::Guest;
use super::{BUDGET_GLOBAL, IMPORTS, policy};

/// The twin of a module that the meter accepts. It has no wrappers: its host charges for imports. It has no depth limit.
pub(super) fn twin(module: &[u8]) -> Vec<u8> {
    let guest = Guest::read(module, &policy(), IMPORTS).expect("the meter accepted it");
    let budget = guest.globals.as_ref().map_or(0, |section| section.count());
    let params = guest
        .functions
        .iter()
        .map(|&ty| guest.types[ty as usize].params().len() as u32)
        .collect();
    let mut out = Module::new();
    let mut parser = wasmparser::Parser::new(0);
    parser.set_features(FEATURES);
    Twin {
        budget,
        params,
        function: 0,
    }
    .parse_core_module(&mut out, parser, module)
    .expect("the meter accepted it");
    out.finish()
}

struct Twin {
    budget: u32,
    params: Vec<u32>,
    function: usize,
}

impl Twin {
    fn global(&self, section: &mut GlobalSection) {
        section.global(
            GlobalType {
                val_type: ValType::I64,
                mutable: true,
                shared: false,
            },
            &ConstExpr::i64_const(0),
        );
    }

    /// Takes the `i64` on the stack from the budget, and traps below zero.
    fn charge(&self, function: &mut Function, cost: &[Instruction]) {
        function.instruction(&Instruction::GlobalGet(self.budget));
        cost.iter().for_each(|instruction| {
            function.instruction(instruction);
        });
        let mut sink = function.instructions();
        sink.i64_sub().global_set(self.budget);
        sink.global_get(self.budget)
            .i64_const(0)
            .i64_lt_s()
            .if_(BlockType::Empty)
            .unreachable()
            .end();
    }
}

impl Reencode for Twin {
    type Error = Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_global_section(self, globals, section)?;
        self.global(globals);
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error> {
        // Guests have a memory and export it, so a missing global section would stand just here.
        if after == Some(SectionId::Memory) && before == Some(SectionId::Export) {
            let mut globals = GlobalSection::new();
            self.global(&mut globals);
            module.section(&globals);
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(BUDGET_GLOBAL, ExportKind::Global, self.budget);
        Ok(())
    }

    fn parse_custom_section(&mut self, _: &mut Module, _: wasmparser::CustomSectionReader<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: wasmparser::FunctionBody<'_>) -> Result<(), Error> {
        let mut locals = Vec::new();
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            locals.push((count, self.val_type(ty)?));
        }
        let declared: u32 = locals.iter().map(|(count, _)| count).sum();
        let scratch = self.params[self.function] + declared;
        self.function += 1;
        locals.push((1, ValType::I32));
        let mut function = Function::new(locals);
        self.charge(&mut function, &[Instruction::I64Const(cost::entry(declared) as i64)]);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            let fixed = cost::fixed(&operator).expect("known") as i64;
            if fixed > 0 {
                self.charge(&mut function, &[Instruction::I64Const(fixed)]);
            }
            if let Some(rate) = cost::rate(&operator) {
                function.instruction(&Instruction::LocalTee(scratch));
                let (amount, unit) = match rate {
                    cost::Rate::Bytes => (Instruction::I64DivU, 8),
                    cost::Rate::Pages => (Instruction::I64Mul, 8192),
                    cost::Rate::Elements => (Instruction::I64Mul, 8),
                };
                let operand = [
                    Instruction::LocalGet(scratch),
                    Instruction::I64ExtendI32U,
                    Instruction::I64Const(unit),
                    amount,
                ];
                self.charge(&mut function, &operand);
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}
