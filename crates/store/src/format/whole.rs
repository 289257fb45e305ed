//! Files that are replaced as a whole: magic and format (12 bytes), one value in the machine's codec, and the CRC-32C of
//! everything before.

use std::path::Path;

use environment::Disk;
use machine::codec::Codec;

use super::{Error, Format};

/// The value in a file; none when there is no file.
///
/// # Errors
/// See [`Error`]; a file of more than `bytes_max` bytes is not read.
pub fn read<T: Codec>(
    format: &Format,
    disk: &(dyn Disk + 'static),
    path: &Path,
    bytes_max: usize,
) -> Result<Option<T>, Error> {
    let failed = |error: std::io::Error| disk_error(path, &error);
    if !disk.exists(path).map_err(failed)? {
        return Ok(None);
    }
    let bytes = disk.read_whole(path, bytes_max).map_err(failed)?;
    format.check(&bytes, path)?;
    let content = bytes.len().checked_sub(4).map(|at| bytes.split_at(at));
    match content {
        Some((content, checksum)) if crc32c::crc32c(content).to_le_bytes() == *checksum => {
            let body = content.get(Format::PREFIX_BYTES..).unwrap_or_default();
            let value = T::from_bytes(body).map_err(|error| format.unreadable(path, error.to_string()))?;
            Ok(Some(value))
        }
        Some(_) | None => Err(format.unreadable(path, "its checksum is wrong")),
    }
}

/// Replaces the file, durably: after a crash there is the old or the new one.
///
/// # Errors
/// [`Error::Disk`].
pub fn write(format: &Format, disk: &(dyn Disk + 'static), path: &Path, value: &impl Codec) -> Result<(), Error> {
    let mut bytes = format.prefix().to_vec();
    value.encode(&mut bytes);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    disk.write_whole(path, &bytes).map_err(|error| disk_error(path, &error))
}

fn disk_error(path: &Path, error: &std::io::Error) -> Error {
    Error::Disk {
        file: path.to_owned(),
        detail: error.to_string(),
    }
}

/// Tests that whoever reads the file notices each flipped bit and each missing byte.
#[cfg(test)]
pub(super) fn every_wrong_byte_is_noticed(path: &Path, is_refused: impl Fn() -> bool) {
    let whole = std::fs::read(path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(path, &flipped).unwrap();
        assert!(is_refused(), "byte {at} flipped");
        std::fs::write(path, &whole[..at]).unwrap();
        assert!(is_refused(), "cut to {at} bytes");
    }
}
