//! The new module: the guest's sections renumbered, with the meter's globals, exports and wrappers appended.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, MemorySection, Module,
    TableSection, TypeSection, ValType,
};

use super::guest::{Guest, Import};
use super::policy::Policy;
use super::{BUDGET_GLOBAL, DEPTH_GLOBAL, Error, START_EXPORT, body};

/// Where things lie in the new module. Imports and defined functions keep their indexes, wrappers come after them, and
/// whatever named an import now names its wrapper.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// How many functions are imported; their indexes come first.
    imports: u32,
    /// The index of the first import's wrapper.
    wrappers: u32,
    /// The index of [`BUDGET_GLOBAL`].
    pub(super) budget: u32,
    /// The index of [`DEPTH_GLOBAL`].
    pub(super) depth: u32,
}

impl Layout {
    fn of(guest: &Guest) -> Self {
        let imports = guest.imports.len() as u32;
        let globals = guest.globals.as_ref().map_or(0, |section| section.count());
        Self {
            imports,
            wrappers: imports + guest.functions.len() as u32,
            budget: globals,
            depth: globals + 1,
        }
    }

    /// Whether the guest's function is an import.
    pub(super) fn is_import(&self, function: u32) -> bool {
        function < self.imports
    }
}

impl Reencode for Layout {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(if self.is_import(function) {
            self.wrappers + function
        } else {
            function
        })
    }
}

/// Writes the instrumented module.
pub(super) fn module(guest: &Guest, policy: &Policy) -> Result<Vec<u8>, Error> {
    let mut layout = Layout::of(guest);
    let mut module = Module::new();
    if let Some(section) = &guest.type_section {
        let mut types = TypeSection::new();
        utils::parse_type_section(&mut layout, &mut types, section.clone())?;
        module.section(&types);
    }
    if !guest.imports.is_empty() {
        module.section(&imports(guest));
    }
    module.section(&functions(guest));
    if guest.tables.is_some() {
        module.section(&tables(guest, policy, &mut layout)?);
    }
    if guest.memories.is_some() {
        module.section(&memories(guest, policy, &mut layout)?);
    }
    module.section(&globals(guest, &mut layout)?);
    module.section(&exports(guest, &mut layout)?);
    if let Some(section) = &guest.elements {
        let mut elements = ElementSection::new();
        utils::parse_element_section(&mut layout, &mut elements, section.clone())?;
        module.section(&elements);
    }
    if let Some(count) = guest.data_count {
        module.section(&DataCountSection { count });
    }
    module.section(&code(guest, policy, &layout)?);
    if let Some(section) = &guest.data {
        let mut data = DataSection::new();
        utils::parse_data_section(&mut layout, &mut data, section.clone())?;
        module.section(&data);
    }
    Ok(module.finish())
}

fn imports(guest: &Guest) -> ImportSection {
    let mut section = ImportSection::new();
    for import in &guest.imports {
        section.import(import.module, import.name, EntityType::Function(import.type_index));
    }
    section
}

fn functions(guest: &Guest) -> FunctionSection {
    let mut section = FunctionSection::new();
    let wrappers = guest.imports.iter().map(|import| import.type_index);
    for type_index in guest.functions.iter().copied().chain(wrappers) {
        section.function(type_index);
    }
    section
}

fn tables(guest: &Guest, policy: &Policy, layout: &mut Layout) -> Result<TableSection, Error> {
    let mut section = TableSection::new();
    let limit = u64::from(policy.table_elements_max);
    for table in guest.tables.iter().flat_map(|section| section.clone()) {
        let mut table = table?;
        table.ty.maximum = Some(table.ty.maximum.map_or(limit, |maximum| maximum.min(limit)));
        utils::parse_table(layout, &mut section, table)?;
    }
    Ok(section)
}

fn memories(guest: &Guest, policy: &Policy, layout: &mut Layout) -> Result<MemorySection, Error> {
    let mut section = MemorySection::new();
    let limit = u64::from(policy.memory_pages_max);
    for memory in guest.memories.iter().flat_map(|section| section.clone()) {
        let mut memory = layout.memory_type(memory?)?;
        memory.maximum = Some(memory.maximum.map_or(limit, |maximum| maximum.min(limit)));
        section.memory(memory);
    }
    Ok(section)
}

fn globals(guest: &Guest, layout: &mut Layout) -> Result<GlobalSection, Error> {
    let mut section = GlobalSection::new();
    if let Some(globals) = &guest.globals {
        utils::parse_global_section(layout, &mut section, globals.clone())?;
    }
    let mutable = |val_type| GlobalType {
        val_type,
        mutable: true,
        shared: false,
    };
    section.global(mutable(ValType::I64), &ConstExpr::i64_const(0));
    section.global(mutable(ValType::I32), &ConstExpr::i32_const(0));
    Ok(section)
}

fn exports(guest: &Guest, layout: &mut Layout) -> Result<ExportSection, Error> {
    let mut section = ExportSection::new();
    if let Some(exports) = &guest.exports {
        utils::parse_export_section(layout, &mut section, exports.clone())?;
    }
    section.export(BUDGET_GLOBAL, ExportKind::Global, layout.budget);
    section.export(DEPTH_GLOBAL, ExportKind::Global, layout.depth);
    if let Some(start) = guest.start {
        section.export(START_EXPORT, ExportKind::Func, layout.function_index(start)?);
    }
    Ok(section)
}

fn code(guest: &Guest, policy: &Policy, layout: &Layout) -> Result<CodeSection, Error> {
    let mut section = CodeSection::new();
    for (&type_index, body) in guest.functions.iter().zip(&guest.bodies) {
        section.function(&body::function(guest, layout.clone(), policy, type_index, body)?);
    }
    for (index, import) in guest.imports.iter().enumerate() {
        section.function(&wrapper(layout, import, index as u32));
    }
    Ok(section)
}

/// A function of the import's type that charges for the call, checks, and calls it.
fn wrapper(layout: &Layout, import: &Import, index: u32) -> Function {
    let params = import.allowed.params.len() as u32;
    let fuel = params;
    let mut function = Function::new([(1, ValType::I64)]);
    let mut sink = function.instructions();
    sink.global_get(layout.budget)
        .i64_const(import.allowed.base_cost as i64)
        .i64_sub();
    if import.allowed.byte_cost > 0 {
        for &param in import.allowed.byte_params {
            sink.local_get(param as u32).i64_extend_i32_u();
            sink.i64_const(import.allowed.byte_cost as i64).i64_mul().i64_sub();
        }
    }
    sink.local_tee(fuel).global_set(layout.budget);
    sink.local_get(fuel)
        .i64_const(0)
        .i64_lt_s()
        .if_(BlockType::Empty)
        .unreachable()
        .end();
    for param in 0..params {
        sink.local_get(param);
    }
    sink.call(index).end();
    function
}
