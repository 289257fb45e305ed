use std::collections::BTreeMap;
use std::sync::Arc;

use machine::{Applications, Call, CallError, CallOutcome, Code, Context, Manifest};

use crate::registry::Ready;
use crate::wasm::{Function, Instance, Module, with_guest_stack};
use crate::{NativeApplication, Registry};

/// Makes calls into applications, for one thread. It holds the instances that live for the current entry or read; those
/// are gone after [`end_entry`](Applications::end_entry) and, each by itself, after a trap.
pub struct Host {
    registry: Registry,
    /// By application; in the entry in which a version takes over there are two codes of the same application.
    live: BTreeMap<String, Vec<Live>>,
    fuel_spent: u64,
    fuel_spent_in_all: u64,
}

/// Code that was called in the current entry.
struct Live {
    code: Code,
    runs: Runs,
}

enum Runs {
    Native(NativeApplication),
    Wasm(Box<Instances>),
}

/// The instances of one module. Queries and conversions have instances of their own: what they leave behind in their
/// memory must not reach the instance of the commands, since not every node runs the same queries and conversions.
struct Instances {
    module: Arc<Module>,
    // Boxed, since each call takes its instance out and puts it back.
    apply: Option<Box<Instance>>,
    query: Option<Box<Instance>>,
    migrate: Option<Box<Instance>>,
}

impl Host {
    pub(crate) fn new(registry: Registry) -> Host {
        Host {
            registry,
            live: BTreeMap::new(),
            fuel_spent: 0,
            fuel_spent_in_all: 0,
        }
    }

    /// Fuel that the last call spent, the same on every node: all of it if it trapped, none for native code.
    #[must_use]
    pub fn fuel_spent(&self) -> u64 {
        self.fuel_spent
    }

    /// Fuel that all calls spent so far, for showing.
    #[must_use]
    pub fn fuel_spent_in_all(&self) -> u64 {
        self.fuel_spent_in_all
    }

    fn live(&mut self, manifest: &Manifest, code: &Code) -> Result<&mut Live, CallError> {
        if !self.live.contains_key(&manifest.application) {
            self.live.insert(manifest.application.clone(), Vec::new());
        }
        let Some(codes) = self.live.get_mut(&manifest.application) else {
            return Err(CallError::Engine("a map lost what was just put into it".into()));
        };
        let at = match codes.iter().position(|live| live.is(manifest, code)) {
            Some(at) => at,
            None => {
                let runs = match self
                    .registry
                    .find(manifest, code)
                    .ok_or_else(|| not_ready(manifest, code))?
                {
                    Ready::Native(application) => Runs::Native(application),
                    Ready::Wasm(module) => Runs::Wasm(Box::new(Instances::of(module))),
                };
                codes.push(Live {
                    code: code.clone(),
                    runs,
                });
                codes.len() - 1
            }
        };
        Ok(&mut codes[at])
    }
}

impl Applications for Host {
    fn call(
        &mut self,
        manifest: &Manifest,
        code: &Code,
        call: Call<'_>,
        context: &mut dyn Context,
    ) -> Result<CallOutcome, CallError> {
        self.fuel_spent = 0;
        match &mut self.live(manifest, code)?.runs {
            Runs::Native(application) => Ok(application.call(&call, context)),
            Runs::Wasm(instances) => {
                let (outcome, fuel_spent) = with_guest_stack(|| instances.call(&call, context))?;
                self.fuel_spent = fuel_spent;
                self.fuel_spent_in_all = self.fuel_spent_in_all.saturating_add(fuel_spent);
                Ok(outcome)
            }
        }
    }

    fn ready(&mut self, manifest: &Manifest, code: &Code) -> Result<(), CallError> {
        if self.registry.is_ready(code, manifest) {
            Ok(())
        } else {
            Err(not_ready(manifest, code))
        }
    }

    fn end_entry(&mut self) {
        self.live.clear();
    }
}

impl Live {
    fn is(&self, manifest: &Manifest, code: &Code) -> bool {
        self.code == *code
            && match &self.runs {
                Runs::Native(application) => application.version() == manifest.version,
                Runs::Wasm(_) => true,
            }
    }
}

impl Instances {
    fn of(module: Arc<Module>) -> Instances {
        Instances {
            module,
            apply: None,
            query: None,
            migrate: None,
        }
    }

    /// Makes a call in the instance for its kind, and gives the fuel that it spent too.
    fn call(&mut self, call: &Call<'_>, context: &mut dyn Context) -> Result<(CallOutcome, u64), CallError> {
        let kept = match Function::of(call) {
            Function::Apply => &mut self.apply,
            Function::Query => &mut self.query,
            Function::Migrate => &mut self.migrate,
        };
        let mut instance = match kept.take() {
            Some(instance) => instance,
            None => Box::new(Instance::fresh(&self.module)?),
        };
        let outcome = instance.call(call, context)?;
        let fuel_spent = instance.fuel_spent();
        match outcome {
            CallOutcome::Done(_) | CallOutcome::Refused(_) => *kept = Some(instance),
            // What a trap left in its memory is anybody's guess: the next call begins anew.
            CallOutcome::Trapped(_) => {}
        }
        Ok((outcome, fuel_spent))
    }
}

fn not_ready(manifest: &Manifest, code: &Code) -> CallError {
    let Manifest {
        application, version, ..
    } = manifest;
    CallError::NotReady(match code {
        Code::Wasm { module, .. } => format!(
            "version {version} of {application} (module {}) is not ready to run on this node: its module has not arrived, \
             is being compiled, or could not be made ready",
            module.short()
        ),
        Code::Native => format!(
            "version {version} of {application} is not linked into this node's binary: run a binary that has it"
        ),
    })
}
