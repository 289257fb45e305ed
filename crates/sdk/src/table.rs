use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Host, Refusal, Scan, json};

/// One table of the application, with documents of type `T`. A key is up to 1 KiB of any bytes; text is easiest to find
/// from outside. Rows are kept in order of their keys' bytes.
pub struct Table<'c, T> {
    pub(crate) host: &'c mut dyn Host,
    pub(crate) scratch: &'c mut Vec<u8>,
    pub(crate) name: &'c str,
    pub(crate) documents: PhantomData<fn() -> T>,
}

impl<T> Table<'_, T> {
    /// Removes the document under `key`; nothing happens when there is none.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.host.delete(self.name, key.as_ref());
    }

    /// Whether there is a document under `key`.
    pub fn contains(&mut self, key: impl AsRef<[u8]>) -> bool {
        self.host.get(self.name, key.as_ref(), self.scratch)
    }
}

impl<T: DeserializeOwned> Table<'_, T> {
    /// The document under `key`.
    ///
    /// # Errors
    /// What lies there is not a `T`.
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<T>, Refusal> {
        let key = key.as_ref();
        if !self.host.get(self.name, key, self.scratch) {
            return Ok(None);
        }
        decode_row(self.name, key, self.scratch).map(Some)
    }

    /// Rows in order of key; all of them, unless the scan is told otherwise.
    pub fn scan(&mut self) -> Scan<'_, T> {
        Scan::new(&mut *self.host, self.name)
    }
}

impl<T: Serialize> Table<'_, T> {
    /// Writes the document under `key`, over the one that may be there.
    ///
    /// # Errors
    /// The document cannot be written as JSON.
    pub fn put(&mut self, key: impl AsRef<[u8]>, document: &T) -> Result<(), Refusal> {
        json::encode(document, self.scratch)?;
        self.host.put(self.name, key.as_ref(), self.scratch);
        Ok(())
    }
}

pub(crate) fn decode_row<T: DeserializeOwned>(table: &str, key: &[u8], document: &[u8]) -> Result<T, Refusal> {
    json::decode(document, || {
        format!("the document under {} in table {table}", String::from_utf8_lossy(key))
    })
}
