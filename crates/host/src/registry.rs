use std::collections::BTreeMap;
use std::sync::Arc;

use machine::{Code, Digest, Manifest, MeterNumber, Version};
use parking_lot::RwLock;

use crate::wasm::{self, Module, meter};
use crate::{Host, NativeApplication, PrepareError};

/// The code that a node can run: modules by digest and meter, and applications that are linked in. Cloning shares it.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    native: BTreeMap<String, BTreeMap<Version, NativeApplication>>,
    modules: RwLock<BTreeMap<(Digest, MeterNumber), Arc<Module>>>,
}

/// Code that is ready to run.
pub(crate) enum Ready {
    /// A compiled module.
    Wasm(Arc<Module>),
    /// Linked in.
    Native(NativeApplication),
}

impl Registry {
    /// A registry with the applications that are linked into this binary, and no modules. Of two under the same name and
    /// version the later one counts.
    #[must_use]
    pub fn new(native: Vec<NativeApplication>) -> Registry {
        let mut by_name: BTreeMap<String, BTreeMap<Version, NativeApplication>> = BTreeMap::new();
        for application in native {
            let versions = by_name.entry(application.name().to_owned()).or_default();
            versions.insert(application.version(), application);
        }
        Registry {
            shared: Arc::new(Shared {
                native: by_name,
                modules: RwLock::default(),
            }),
        }
    }

    /// Makes a version ready to run on this node and gives the digest that every node must come to: that of the module
    /// with the meter in it, or of native code's name and version. Doing it again costs little.
    ///
    /// It blocks for as long as compiling takes (some 30 ms for a small module, seconds for a large one): call it on a
    /// worker. Several threads may. `module` holds the module's bytes, if this node has them.
    ///
    /// # Errors
    /// See [`PrepareError`].
    pub fn prepare(&self, manifest: &Manifest, code: &Code, module: Option<&[u8]>) -> Result<Digest, PrepareError> {
        match code {
            Code::Native => match self.native(manifest) {
                Some(application) => Ok(application.digest()),
                None => Err(PrepareError::NativeNotLinked {
                    application: manifest.application.clone(),
                    version: manifest.version,
                }),
            },
            Code::Wasm { module: digest, meter } => self.prepare_module(*digest, *meter, module),
        }
    }

    /// Whether the version can run now.
    #[must_use]
    pub fn is_ready(&self, code: &Code, manifest: &Manifest) -> bool {
        self.find(manifest, code).is_some()
    }

    /// Refuses what [`Registry::prepare`] would refuse for the module's own sake, short of compiling and trying it: for
    /// an early answer to whoever sends a module.
    ///
    /// # Errors
    /// See [`PrepareError`].
    pub fn check(&self, module: &[u8]) -> Result<(), PrepareError> {
        wasm::instrument(module)?;
        Ok(())
    }

    /// All that [`Registry::prepare`] does for a module, compiling and trying it, with nothing kept of it. It blocks as long.
    ///
    /// # Errors
    /// See [`PrepareError`].
    pub fn try_module(&self, module: &[u8]) -> Result<(), PrepareError> {
        Module::prepare(module)?;
        Ok(())
    }

    /// Lets go of a module that no kept version needs. Calls that run go on.
    pub fn forget(&self, code: &Code) {
        match code {
            Code::Wasm { module, meter } => drop(self.shared.modules.write().remove(&(*module, *meter))),
            Code::Native => {}
        }
    }

    /// The meter that new changes are to name.
    #[must_use]
    pub fn meter(&self) -> MeterNumber {
        MeterNumber(meter::METER)
    }

    /// The applications that are linked in, in order of name and version.
    pub fn linked(&self) -> impl Iterator<Item = &NativeApplication> {
        self.shared.native.values().flat_map(BTreeMap::values)
    }

    /// What makes calls, for one thread that applies or reads.
    #[must_use]
    pub fn host(&self) -> Host {
        Host::new(self.clone())
    }

    pub(crate) fn find(&self, manifest: &Manifest, code: &Code) -> Option<Ready> {
        match code {
            Code::Wasm { module, meter } => self.module(*module, *meter).map(Ready::Wasm),
            Code::Native => self.native(manifest).cloned().map(Ready::Native),
        }
    }

    fn module(&self, module: Digest, meter: MeterNumber) -> Option<Arc<Module>> {
        self.shared.modules.read().get(&(module, meter)).cloned()
    }

    fn native(&self, manifest: &Manifest) -> Option<&NativeApplication> {
        self.shared.native.get(&manifest.application)?.get(&manifest.version)
    }

    fn prepare_module(
        &self,
        expected: Digest,
        meter: MeterNumber,
        module: Option<&[u8]>,
    ) -> Result<Digest, PrepareError> {
        if let Some(ready) = self.module(expected, meter) {
            return Ok(ready.instrumented());
        }
        if meter != self.meter() {
            return Err(PrepareError::UnknownMeter { asked: meter });
        }
        let Some(bytes) = module else {
            return Err(PrepareError::ModuleMissing { module: expected });
        };
        let found = Digest::of(bytes);
        if found != expected {
            return Err(PrepareError::DigestMismatch { expected, found });
        }
        let key = (expected, meter);
        let ready = wasm::compile_once(key, || Module::prepare(bytes))?;
        let instrumented = ready.instrumented();
        tracing::debug!(module = %expected, %instrumented, "a module is ready to run");
        self.shared.modules.write().insert(key, ready);
        Ok(instrumented)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let modules: Vec<_> = self.shared.modules.read().keys().copied().collect();
        formatter
            .debug_struct("Registry")
            .field("native", &self.linked().collect::<Vec<_>>())
            .field("modules", &modules)
            .finish()
    }
}
