//! The limit of an application's answer, the same for modules and for code that is linked in.

use machine::{Failure, FailureCode, Misuse, Trap, limits};

/// The answer, if it is not too large.
///
/// # Errors
/// The trap that it becomes otherwise.
pub(crate) fn bounded<T: AsRef<[u8]>>(answer: T) -> Result<T, Trap> {
    let bytes = answer.as_ref().len();
    if bytes <= limits::COMMAND_BYTES_MAX {
        return Ok(answer);
    }
    Err(Trap::Misuse(Misuse::Failed(Failure::new(
        FailureCode::TooLarge,
        format!(
            "the application's answer has {bytes} bytes and the limit is {}: answer with less, or in parts",
            limits::COMMAND_BYTES_MAX
        ),
    ))))
}
