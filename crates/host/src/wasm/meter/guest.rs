//! A guest module as it was uploaded, read and found to be within the rules.

use wasmparser::{
    CompositeInnerType, DataSectionReader, ElementSectionReader, ExportSectionReader, ExternalKind, FuncType,
    FunctionBody, GlobalSectionReader, ImportSectionReader, Imports, MemorySectionReader, Parser, Payload,
    TableSectionReader, TypeRef, TypeSectionReader, ValType, Validator, WasmFeatures,
};

use super::error::quoted;
use super::features::{FEATURES, describe};
use super::policy::{AllowedImport, Policy, RequiredExport};
use super::{Error, RESERVED_PREFIX};

/// One imported function.
pub(super) struct Import<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) type_index: u32,
    pub(super) allowed: AllowedImport,
}

/// A valid module, taken apart. Sections that are absent are `None`; custom sections are left out.
#[derive(Default)]
pub(super) struct Guest<'a> {
    pub(super) types: Vec<FuncType>,
    pub(super) type_section: Option<TypeSectionReader<'a>>,
    pub(super) imports: Vec<Import<'a>>,
    /// The type index of each function defined in the module.
    pub(super) functions: Vec<u32>,
    pub(super) tables: Option<TableSectionReader<'a>>,
    pub(super) memories: Option<MemorySectionReader<'a>>,
    pub(super) globals: Option<GlobalSectionReader<'a>>,
    pub(super) exports: Option<ExportSectionReader<'a>>,
    pub(super) start: Option<u32>,
    pub(super) elements: Option<ElementSectionReader<'a>>,
    pub(super) data_count: Option<u32>,
    pub(super) bodies: Vec<FunctionBody<'a>>,
    pub(super) data: Option<DataSectionReader<'a>>,
}

impl<'a> Guest<'a> {
    /// Validates the module and reads it, refusing whatever is above a limit of `policy` or not among `imports`.
    pub(super) fn read(module: &'a [u8], policy: &Policy, imports: &[AllowedImport]) -> Result<Self, Error> {
        if module.len() > policy.module_bytes_max {
            return Err(Error::ModuleTooLarge {
                bytes: module.len(),
                limit: policy.module_bytes_max,
            });
        }
        check_header(module)?;
        check_counts(module)?;
        validate(module)?;

        let mut guest = Guest::default();
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(module) {
            guest.section(payload?, policy, imports)?;
        }
        Ok(guest)
    }

    fn section(&mut self, payload: Payload<'a>, policy: &Policy, imports: &[AllowedImport]) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(section) => self.read_types(section, policy)?,
            Payload::ImportSection(section) => {
                at_most("imports", section.count().into(), policy.imports_max.into())?;
                self.read_imports(section, imports)?;
            }
            Payload::FunctionSection(section) => {
                at_most("functions", section.count().into(), policy.functions_max.into())?;
                self.functions = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::TableSection(section) => {
                check_tables(&section, policy)?;
                self.tables = Some(section);
            }
            Payload::MemorySection(section) => {
                check_memories(&section, policy)?;
                self.memories = Some(section);
            }
            Payload::GlobalSection(section) => {
                at_most("globals", section.count().into(), policy.globals_max.into())?;
                self.globals = Some(section);
            }
            Payload::ExportSection(section) => {
                at_most("exports", section.count().into(), policy.exports_max.into())?;
                self.exports = Some(section);
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => self.elements = Some(section),
            Payload::DataCountSection { count, .. } => self.data_count = Some(count),
            Payload::CodeSectionEntry(body) => {
                at_most(
                    "bytes in one function",
                    body.as_bytes().len() as u64,
                    policy.function_bytes_max as u64,
                )?;
                self.bodies.push(body);
            }
            Payload::DataSection(section) => self.data = Some(section),
            // Names, debug information and other custom sections are dropped; the rest of a payload's kinds carry nothing
            // or cannot occur in a module that was found valid.
            _ => {}
        }
        Ok(())
    }

    fn read_types(&mut self, section: TypeSectionReader<'a>, policy: &Policy) -> Result<(), Error> {
        for group in section.clone() {
            for sub_type in group?.into_types() {
                let CompositeInnerType::Func(func) = sub_type.composite_type.inner else {
                    return Err(Error::Defect {
                        reason: "a type that is no function's got through validation".into(),
                    });
                };
                at_most(
                    "parameters in one type",
                    func.params().len() as u64,
                    policy.arity_max as u64,
                )?;
                at_most(
                    "results in one type",
                    func.results().len() as u64,
                    policy.arity_max as u64,
                )?;
                self.types.push(func);
            }
        }
        self.type_section = Some(section);
        Ok(())
    }

    fn read_imports(&mut self, section: ImportSectionReader<'a>, allowed: &[AllowedImport]) -> Result<(), Error> {
        for group in section {
            let Imports::Single(_, import) = group? else {
                return Err(Error::Defect {
                    reason: "a compact import got through validation".into(),
                });
            };
            let import = self.allowed_import(import, allowed)?;
            self.imports.push(import);
        }
        Ok(())
    }

    fn allowed_import(&self, import: wasmparser::Import<'a>, allowed: &[AllowedImport]) -> Result<Import<'a>, Error> {
        let wasmparser::Import { module, name, ty } = import;
        let TypeRef::Func(type_index) = ty else {
            return Err(Error::ImportNotFunction {
                module: quoted(module),
                name: quoted(name),
                kind: kind_of(ty),
            });
        };
        let Some(&allowed) = allowed.iter().find(|it| it.module == module && it.name == name) else {
            return Err(Error::ImportNotAllowed {
                module: quoted(module),
                name: quoted(name),
            });
        };
        let found = self.func_type(type_index)?;
        if !same(found, allowed.params, allowed.results) {
            return Err(Error::ImportType {
                module: quoted(module),
                name: quoted(name),
                expected: signature(allowed.params, allowed.results),
                found: signature(found.params(), found.results()),
            });
        }
        Ok(Import {
            module,
            name,
            type_index,
            allowed,
        })
    }

    /// Refuses a module that lacks a required export, has one with another type, or takes a name of the meter's.
    pub(super) fn check_exports(&self, required: &[RequiredExport]) -> Result<(), Error> {
        let exports: Vec<wasmparser::Export> = match &self.exports {
            Some(section) => section.clone().into_iter().collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        if let Some(export) = exports.iter().find(|export| export.name.starts_with(RESERVED_PREFIX)) {
            return Err(Error::ReservedExport {
                name: quoted(export.name),
            });
        }
        if !exports
            .iter()
            .any(|export| export.name == "memory" && export.kind == ExternalKind::Memory)
        {
            return Err(Error::MemoryNotExported);
        }
        required
            .iter()
            .try_for_each(|required| self.check_export(required, &exports))
    }

    fn check_export(&self, required: &RequiredExport, exports: &[wasmparser::Export]) -> Result<(), Error> {
        let name = required.name;
        let expected = || signature(required.params, required.results);
        let Some(export) = exports.iter().find(|export| export.name == name) else {
            return Err(Error::ExportMissing {
                name,
                expected: expected(),
            });
        };
        if export.kind != ExternalKind::Func {
            return Err(Error::ExportType {
                name,
                expected: expected(),
                found: format!("a {:?}", export.kind).to_lowercase(),
            });
        }
        let found = self.func_type(self.function_type_index(export.index)?)?;
        if !same(found, required.params, required.results) {
            return Err(Error::ExportType {
                name,
                expected: expected(),
                found: signature(found.params(), found.results()),
            });
        }
        Ok(())
    }

    /// The type index of a function, imported or defined.
    pub(super) fn function_type_index(&self, function: u32) -> Result<u32, Error> {
        let index = function as usize;
        match index.checked_sub(self.imports.len()) {
            None => Some(self.imports[index].type_index),
            Some(defined) => self.functions.get(defined).copied(),
        }
        .ok_or_else(|| Error::Defect {
            reason: format!("function {function} is named and does not exist"),
        })
    }

    /// The function type at an index.
    pub(super) fn func_type(&self, type_index: u32) -> Result<&FuncType, Error> {
        self.types.get(type_index as usize).ok_or_else(|| Error::Defect {
            reason: format!("type {type_index} is named and does not exist"),
        })
    }
}

/// Validates what the meter wrote. A failure is a defect of the meter, caught here instead of at the next node.
pub(super) fn validate_output(module: &[u8]) -> Result<(), Error> {
    match Validator::new_with_features(FEATURES).validate_all(module) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Defect {
            reason: quoted(&error.to_string()),
        }),
    }
}

fn check_header(module: &[u8]) -> Result<(), Error> {
    match module.get(..8) {
        Some(b"\0asm\x01\0\0\0") => Ok(()),
        Some([b'\0', b'a', b's', b'm', _, 0, 1, 0]) => Err(Error::Component),
        _ => Err(Error::NotWasm),
    }
}

/// Refuses a section that says it has more things than bytes. The validator makes room for as many as are said, up to a
/// million, before it looks at the first.
fn check_counts(module: &[u8]) -> Result<(), Error> {
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(module) {
        // What cannot even be parsed is the validator's to name.
        let Ok(payload) = payload else { return Ok(()) };
        let (count, range) = match payload {
            Payload::TypeSection(section) => (section.count(), section.range()),
            Payload::ImportSection(section) => (section.count(), section.range()),
            Payload::FunctionSection(section) => (section.count(), section.range()),
            Payload::TableSection(section) => (section.count(), section.range()),
            Payload::MemorySection(section) => (section.count(), section.range()),
            Payload::TagSection(section) => (section.count(), section.range()),
            Payload::GlobalSection(section) => (section.count(), section.range()),
            Payload::ExportSection(section) => (section.count(), section.range()),
            Payload::ElementSection(section) => (section.count(), section.range()),
            Payload::DataSection(section) => (section.count(), section.range()),
            // For nothing else is room made ahead.
            _ => continue,
        };
        if count as usize > range.len() {
            return Err(Error::Invalid {
                offset: range.start,
                reason: format!("a section of {} bytes says that it has {count} things", range.len()),
            });
        }
    }
    Ok(())
}

fn validate(module: &[u8]) -> Result<(), Error> {
    let Err(error) = Validator::new_with_features(FEATURES).validate_all(module) else {
        return Ok(());
    };
    // The parser does not name these two features when it misses them.
    let unnamed = [WasmFeatures::MULTI_MEMORY, WasmFeatures::REFERENCE_TYPES];
    let missing = error.missing_wasm_feature().or_else(|| {
        let enough = |feature| {
            Validator::new_with_features(FEATURES.union(feature))
                .validate_all(module)
                .is_ok()
        };
        unnamed.into_iter().find(|&feature| enough(feature))
    });
    let Some(missing) = missing else {
        return Err(error.into());
    };
    let (feature, advice) = describe(missing);
    Err(Error::FeatureNotAllowed {
        feature,
        offset: error.offset(),
        reason: quoted(error.message()),
        advice,
    })
}

fn check_tables(section: &TableSectionReader, policy: &Policy) -> Result<(), Error> {
    for table in section.clone() {
        let elements = table?.ty.initial;
        if elements > policy.table_elements_max.into() {
            return Err(Error::TableTooLarge {
                elements,
                limit: policy.table_elements_max,
            });
        }
    }
    Ok(())
}

fn check_memories(section: &MemorySectionReader, policy: &Policy) -> Result<(), Error> {
    for memory in section.clone() {
        let pages = memory?.initial;
        if pages > policy.memory_pages_max.into() {
            return Err(Error::MemoryTooLarge {
                pages,
                limit: policy.memory_pages_max,
            });
        }
    }
    Ok(())
}

pub(super) fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), Error> {
    if found > limit {
        return Err(Error::TooMany { what, found, limit });
    }
    Ok(())
}

fn same(found: &FuncType, params: &[ValType], results: &[ValType]) -> bool {
    found.params() == params && found.results() == results
}

fn signature(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ValType::to_string).collect::<Vec<_>>().join(", ");
    quoted(&format!("({}) -> ({})", list(params), list(results)))
}

fn kind_of(ty: TypeRef) -> &'static str {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => "function",
        TypeRef::Table(_) => "table",
        TypeRef::Memory(_) => "memory",
        TypeRef::Global(_) => "global",
        TypeRef::Tag(_) => "tag",
    }
}
