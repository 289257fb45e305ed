/// Why bytes are no frame of this protocol. The connection cannot be used any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than a frame may be, or shorter than its own header.
    #[error(
        "a frame of {bytes} bytes: it must have between {} and {}",
        super::raw::HEADER_BYTES,
        super::super::limits::FRAME_BYTES_MAX
    )]
    Length {
        /// What the frame says of itself.
        bytes: u64,
    },
    /// A kind that this binary does not know, or that this end does not take.
    #[error("a frame of kind {0}, which is not taken here")]
    Kind(u8),
    /// The body is not what its kind says.
    #[error("a frame of kind {kind} is malformed at byte {at} of its body: {what}")]
    Body {
        /// The frame's kind.
        kind: u8,
        /// Position in the body, bytes.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}
