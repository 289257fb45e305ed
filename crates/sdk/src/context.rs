use std::marker::PhantomData;

use serde::Serialize;

use crate::{Host, Refusal, Table, json};

/// What an application sees of the world during one call: its tables, its streams, the entry's time, index and chance.
pub struct Context<'h> {
    host: &'h mut dyn Host,
    /// One buffer for every document and event that is read or written, so that a command allocates little.
    scratch: Vec<u8>,
}

impl<'h> Context<'h> {
    /// A context over a host. Applications are handed one; those who run applications make it.
    pub fn new(host: &'h mut dyn Host) -> Self {
        Context::with_scratch(host, Vec::new())
    }

    pub(crate) fn with_scratch(host: &'h mut dyn Host, scratch: Vec<u8>) -> Self {
        Context { host, scratch }
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_scratch(self) -> Vec<u8> {
        self.scratch
    }

    /// The table of that name, with documents of type `T`.
    pub fn table<'c, T>(&'c mut self, name: &'c str) -> Table<'c, T> {
        Table {
            host: &mut *self.host,
            scratch: &mut self.scratch,
            name,
            documents: PhantomData,
        }
    }

    /// Appends an event to a stream, as JSON. The events of one key keep their order wherever they are carried.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn emit<T: Serialize + ?Sized>(
        &mut self,
        stream: &str,
        key: impl AsRef<[u8]>,
        event: &T,
    ) -> Result<(), Refusal> {
        json::encode(event, &mut self.scratch)?;
        self.host.emit(stream, Some(key.as_ref()), &self.scratch);
        Ok(())
    }

    /// Appends an event without a key to a stream, as JSON.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn emit_unkeyed<T: Serialize + ?Sized>(&mut self, stream: &str, event: &T) -> Result<(), Refusal> {
        json::encode(event, &mut self.scratch)?;
        self.host.emit(stream, None, &self.scratch);
        Ok(())
    }

    /// See [`Host::time`].
    pub fn time_ms(&mut self) -> u64 {
        self.host.time()
    }

    /// See [`Host::index`].
    pub fn index(&mut self) -> u64 {
        self.host.index()
    }

    /// See [`Host::random`].
    pub fn random(&mut self) -> u64 {
        self.host.random()
    }

    /// The host itself, for tables and streams of opaque bytes.
    pub fn host(&mut self) -> &mut dyn Host {
        &mut *self.host
    }
}
