use bytes::{Buf, Bytes, BytesMut};

use super::FrameError;
use crate::wire::limits;

/// Bytes of a frame's length field.
const LENGTH_BYTES: usize = 4;
/// Bytes of kind and correlation id.
pub(super) const HEADER_BYTES: usize = 9;

/// A frame whose body has not been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// Number of the kind.
    pub kind: u8,
    /// The correlation id.
    pub correlation: u64,
    /// The body; shares the memory it was read into.
    pub body: Bytes,
}

/// Takes the first frame out of `buffer`, or none when more bytes must be read first. Never reserves more memory than
/// one frame may have.
///
/// # Errors
/// [`FrameError::Length`], as soon as the length is there.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<RawFrame>, FrameError> {
    let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let declared = u32::from_le_bytes(*length);
    let length = match usize::try_from(declared) {
        Ok(length) if (HEADER_BYTES..=limits::FRAME_BYTES_MAX).contains(&length) => length,
        _ => return Err(FrameError::Length { bytes: declared.into() }),
    };
    let missing = (LENGTH_BYTES + length).saturating_sub(buffer.len());
    if missing > 0 {
        buffer.reserve(missing);
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    let mut frame = buffer.split_to(length);
    let kind = frame.get_u8();
    let correlation = frame.get_u64_le();
    Ok(Some(RawFrame {
        kind,
        correlation,
        body: frame.freeze(),
    }))
}

/// Appends a frame whose body `body` writes.
///
/// # Errors
/// [`FrameError::Length`] when it would be longer than a frame may be; `out` is then as it was.
pub fn encode(
    kind: u8,
    correlation: u64,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.push(kind);
    out.extend_from_slice(&correlation.to_le_bytes());
    body(out);
    let bytes = out.len() - start - LENGTH_BYTES;
    match u32::try_from(bytes) {
        Ok(length) if bytes <= limits::FRAME_BYTES_MAX => {
            out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(FrameError::Length { bytes: bytes as u64 })
        }
    }
}
