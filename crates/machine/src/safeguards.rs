//! What a change does by itself once it has switched: goes back where the new version traps, or where nobody confirms it.

use crate::codec::{Codec, Error, Reader, put_varint};
use crate::{Index, TimeMs, record};

/// What was asked for when the change was planned. Numbered one by one in the log, so that a binary that does not know
/// one of them stops there instead of leaving it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Safeguards {
    /// 1: milliseconds of log time after the switch within which it must be confirmed or finalized, or it is taken back.
    pub confirm_within_ms: Option<u64>,
    /// 2: it is taken back at the first command on which the new version traps and the old one does not.
    pub revert_on_trap: bool,
}

impl Safeguards {
    /// Whether there is any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Safeguards::default()
    }
}

impl Codec for Safeguards {
    fn encode(&self, out: &mut Vec<u8>) {
        let Safeguards {
            confirm_within_ms,
            revert_on_trap,
        } = self;
        put_varint(u64::from(confirm_within_ms.is_some()) + u64::from(*revert_on_trap), out);
        if let Some(within) = confirm_within_ms {
            put_varint(1, out);
            put_varint(*within, out);
        }
        if *revert_on_trap {
            put_varint(2, out);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut safeguards = Safeguards::default();
        for _ in 0..reader.count()? {
            match reader.varint()? {
                1 => safeguards.confirm_within_ms = Some(reader.varint()?),
                2 => safeguards.revert_on_trap = true,
                number => return Err(reader.unknown("Safeguards", number)),
            }
        }
        Ok(safeguards)
    }
}

/// A change with safeguards, and what came of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guarded {
    /// What was asked for.
    pub safeguards: Safeguards,
    /// Log time at which it is taken back, as long as it is neither confirmed nor at an end.
    pub deadline: Option<TimeMs>,
    /// Where it was taken back by itself.
    pub reverted: Option<AutomaticRevert>,
}
record!(Guarded {
    safeguards,
    deadline,
    reverted
});

/// Where a change was taken back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutomaticRevert {
    /// The entry.
    pub index: Index,
    /// The command of it, counted from 0, that was the first to be answered by the old version again; 0 where the time
    /// to confirm it had passed.
    pub place: u64,
}
record!(AutomaticRevert { index, place });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safeguards_come_back_and_an_unknown_one_is_an_error() {
        for confirm_within_ms in [None, Some(0), Some(u64::MAX)] {
            for revert_on_trap in [false, true] {
                let safeguards = Safeguards {
                    confirm_within_ms,
                    revert_on_trap,
                };
                assert_eq!(Safeguards::from_bytes(&safeguards.to_bytes()), Ok(safeguards));
            }
        }
        assert_eq!(Safeguards::default().to_bytes(), [0]);
        assert!(matches!(
            Safeguards::from_bytes(&[1, 3]),
            Err(Error::Unknown { number: 3, .. })
        ));
    }
}
