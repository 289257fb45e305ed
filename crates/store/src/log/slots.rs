//! A small value in a file of two slots, written in turn: a torn write leaves the value before.
//!
//! A slot has 512 bytes: magic and format (12), zero (4), cluster (8), node (8), count of writes (8), the value (64),
//! zeros, and at 508 the CRC-32C of everything before.

use std::io;
use std::path::Path;

use environment::{Disk, File};
use machine::{ClusterId, NodeId};

use super::record::{eight, four};
use super::{Error, Identity};
use crate::format::{self, Format};

const SLOT_BYTES: usize = 512;
const VALUE_AT: usize = 40;
const CHECKSUM_AT: usize = SLOT_BYTES - 4;

/// The value of a slot.
pub(super) type Value = [u8; 64];

/// The open file.
pub(super) struct Slots {
    file: Box<dyn File>,
    format: Format,
    identity: Identity,
    count: u64,
}

/// What was in the file.
pub(super) struct Opened {
    pub slots: Slots,
    /// The newest value; none in a file that is new.
    pub value: Option<Value>,
    /// Whether one slot could not be read.
    pub torn: bool,
}

impl Slots {
    /// Opens the file, creating it if need be.
    pub(super) fn open(
        disk: &(dyn Disk + 'static),
        path: &Path,
        format: Format,
        identity: Identity,
    ) -> Result<Opened, Error> {
        let fresh = !disk.exists(path).map_err(Error::disk(path))?;
        if fresh {
            // Both slots are valid from the start, so that one always is.
            let mut bytes = slot(&format, identity, 0, &[0; 64]).to_vec();
            bytes.extend_from_slice(&slot(&format, identity, 1, &[0; 64]));
            disk.write_whole(path, &bytes).map_err(Error::disk(path))?;
        }
        let file = disk.open(path).map_err(Error::disk(path))?;
        let mut bytes = vec![0; SLOT_BYTES * 2];
        let read = file.read_at(&mut bytes, 0).map_err(Error::disk(path))?;
        bytes.truncate(read);
        // What is read now is relied on from now on; it may have come from the system's cache.
        file.sync_data().map_err(Error::disk(path))?;
        let mut newest = None;
        let mut wrong = None;
        for bytes in bytes.chunks(SLOT_BYTES) {
            match decode(bytes, &format, identity, path) {
                Ok((count, value)) if newest.is_none_or(|(other, _)| count > other) => newest = Some((count, value)),
                Ok(_) => {}
                Err(Fault::Torn(error)) => wrong = Some(error),
                Err(Fault::Other(error)) => return Err(error.into()),
            }
        }
        let Some((count, value)) = newest else {
            return Err(wrong.unwrap_or_else(|| format.unreadable(path, "it is empty")).into());
        };
        let slots = Slots {
            file,
            format,
            identity,
            count,
        };
        // Counts 0 and 1 are those that the file was created with.
        let value = (count > 1).then_some(value);
        Ok(Opened {
            slots,
            value,
            torn: wrong.is_some() || read < SLOT_BYTES * 2,
        })
    }

    /// Writes a value over the older slot.
    pub(super) fn save(&mut self, value: &Value, sync: bool) -> io::Result<()> {
        let count = self.count + 1;
        let bytes = slot(&self.format, self.identity, count, value);
        self.file.write_all_at(&bytes, (count % 2) * SLOT_BYTES as u64)?;
        if sync {
            self.file.sync_data()?;
        }
        self.count = count;
        Ok(())
    }
}

/// Removes the file, which holds nothing that matters.
pub(super) fn discard(disk: &(dyn Disk + 'static), path: &Path) -> Result<(), Error> {
    disk.remove_file(path).map_err(Error::disk(path))
}

fn slot(format: &Format, identity: Identity, count: u64, value: &Value) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..12].copy_from_slice(&format.prefix());
    bytes[16..24].copy_from_slice(&identity.cluster.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&identity.node.0.to_le_bytes());
    bytes[32..40].copy_from_slice(&count.to_le_bytes());
    bytes[VALUE_AT..VALUE_AT + 64].copy_from_slice(value);
    let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
    bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Why a slot gives no value.
enum Fault {
    /// It may be torn: the other slot counts.
    Torn(format::Error),
    /// It is whole, and not for us.
    Other(format::Error),
}

fn decode(bytes: &[u8], format: &Format, identity: Identity, file: &Path) -> Result<(u64, Value), Fault> {
    if bytes.len() < SLOT_BYTES {
        return Err(Fault::Torn(format.unreadable(file, "it is too short")));
    }
    let known = format.check(bytes, file);
    if crc32c::crc32c(&bytes[..CHECKSUM_AT]) != four(bytes, CHECKSUM_AT) {
        let wrong = format.unreadable(file, "its checksum is wrong");
        return Err(Fault::Torn(known.err().unwrap_or(wrong)));
    }
    known.map_err(Fault::Other)?;
    let found = Identity {
        cluster: ClusterId(eight(bytes, 16)),
        node: NodeId(eight(bytes, 24)),
    };
    if found != identity {
        return Err(Fault::Other(identity.foreign(found, file)));
    }
    let mut value = [0; 64];
    value.copy_from_slice(&bytes[VALUE_AT..VALUE_AT + 64]);
    Ok((eight(bytes, 32), value))
}
