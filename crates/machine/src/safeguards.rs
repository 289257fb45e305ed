//! What a change does by itself: rehearses before the switch, and goes back behind it where the new version traps or refuses
//! too much, or where nobody confirms it.

use crate::codec::{Codec, Error, Reader, put_varint};
use crate::{Contract, Index, RehearsalPlan, TimeMs, record};

/// What was asked for when the change was planned. Numbered one by one in the log, so that a binary that does not know
/// one of them stops there instead of leaving it out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Safeguards {
    /// 1: milliseconds of log time after the switch within which it must be confirmed or finalized, or it is taken back.
    pub confirm_within_ms: Option<u64>,
    /// 2: it is taken back at the first command on which the new version traps and the old one does not.
    pub revert_on_trap: bool,
    /// 3: so many commands may the new version refuse that the old one would have applied; it is taken back at the next.
    pub refusals_max: Option<u64>,
    /// 4: it may drop commands that clients may still send; why, for people.
    pub allow_breaking: Option<String>,
    /// 5: the new version is rehearsed before the switch, and must do well.
    pub rehearse: Option<RehearsalPlan>,
    /// 6: every stored row is brought into the new shape and back before the switch, and must come through.
    pub verify_data: bool,
    /// 7, and 8 for what it says of events, 9 for the schemas of commands, and 10 for the differences that it declares: what the
    /// version promises to those who do not change with it; kept with the version.
    pub contract: Option<Box<Contract>>,
}

impl Safeguards {
    /// Whether there is any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Safeguards::default()
    }

    /// Whether it may go back by itself.
    #[must_use]
    pub fn may_go_back(&self) -> bool {
        self.confirm_within_ms.is_some() || self.revert_on_trap || self.refusals_max.is_some()
    }
}

impl Codec for Safeguards {
    fn encode(&self, out: &mut Vec<u8>) {
        let Safeguards {
            confirm_within_ms,
            revert_on_trap,
            refusals_max,
            allow_breaking,
            rehearse,
            verify_data,
            contract,
        } = self;
        let some = [
            confirm_within_ms.is_some(),
            *revert_on_trap,
            refusals_max.is_some(),
            allow_breaking.is_some(),
            rehearse.is_some(),
            *verify_data,
            contract.is_some(),
            contract.as_ref().is_some_and(|contract| !contract.events.is_empty()),
            contract.as_ref().is_some_and(|contract| !contract.schemas.is_empty()),
            contract
                .as_ref()
                .is_some_and(|contract| !contract.differences.is_empty()),
        ];
        put_varint(some.into_iter().map(u64::from).sum(), out);
        if let Some(within) = confirm_within_ms {
            put_varint(1, out);
            put_varint(*within, out);
        }
        if *revert_on_trap {
            put_varint(2, out);
        }
        if let Some(max) = refusals_max {
            put_varint(3, out);
            put_varint(*max, out);
        }
        if let Some(why) = allow_breaking {
            put_varint(4, out);
            why.encode(out);
        }
        if let Some(plan) = rehearse {
            put_varint(5, out);
            plan.encode(out);
        }
        if *verify_data {
            put_varint(6, out);
        }
        if let Some(contract) = contract {
            put_varint(7, out);
            contract.of_commands().encode(out);
            if !contract.events.is_empty() {
                put_varint(8, out);
                contract.events.encode(out);
            }
            if !contract.schemas.is_empty() {
                put_varint(9, out);
                contract.schemas.encode(out);
            }
            if !contract.differences.is_empty() {
                put_varint(10, out);
                contract.differences.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut safeguards = Safeguards::default();
        for _ in 0..reader.count()? {
            match reader.varint()? {
                1 => safeguards.confirm_within_ms = Some(reader.varint()?),
                2 => safeguards.revert_on_trap = true,
                3 => safeguards.refusals_max = Some(reader.varint()?),
                4 => safeguards.allow_breaking = Some(Codec::decode(reader)?),
                5 => safeguards.rehearse = Some(Codec::decode(reader)?),
                6 => safeguards.verify_data = true,
                7 => safeguards
                    .contract
                    .get_or_insert_default()
                    .set_commands(Codec::decode(reader)?),
                8 => safeguards.contract.get_or_insert_default().events = Codec::decode(reader)?,
                9 => safeguards.contract.get_or_insert_default().schemas = Codec::decode(reader)?,
                10 => safeguards.contract.get_or_insert_default().differences = Codec::decode(reader)?,
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
    /// Commands that the new version refused and the old one would have applied, where that is counted.
    pub refusals: u64,
}
record!(Guarded {
    safeguards,
    deadline,
    reverted,
    refusals
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
    use crate::{CommandSchema, DeclaredDifference, Digest, EventContract, Upcast, Version};

    #[test]
    fn safeguards_come_back_and_an_unknown_one_is_an_error() {
        for confirm_within_ms in [None, Some(0), Some(u64::MAX)] {
            for (revert_on_trap, refusals_max) in [(false, None), (true, None), (false, Some(0)), (true, Some(300))] {
                let safeguards = Safeguards {
                    confirm_within_ms,
                    revert_on_trap,
                    refusals_max,
                    allow_breaking: refusals_max.map(|max| format!("{max} reasons")),
                    rehearse: refusals_max.map(|commands| RehearsalPlan {
                        commands,
                        for_ms: 1,
                        one_in: 10,
                        differences_max: 2,
                        expected: vec!["rows:accounts/balance".parse().unwrap()],
                    }),
                    verify_data: revert_on_trap,
                    contract: revert_on_trap.then(|| {
                        Box::new(Contract {
                            transform: Some(Version(3)),
                            upcasts: vec![Upcast {
                                command: "transfer".into(),
                                from: 1,
                                to: 2,
                                program: ".".into(),
                            }],
                            events: EventContract {
                                versions: refusals_max
                                    .map(|_| ("ledger.transfers".into(), 2))
                                    .into_iter()
                                    .collect(),
                                downcasts: vec![],
                            },
                            schemas: confirm_within_ms
                                .map(|_| CommandSchema {
                                    command: "transfer".into(),
                                    version: 1,
                                    schema: "{}".into(),
                                    constraints: Digest([4; 32]),
                                })
                                .into_iter()
                                .collect(),
                            differences: refusals_max
                                .map(|most| DeclaredDifference {
                                    at: "rows:accounts/fee".parse().unwrap(),
                                    when: format!(".new < {most}"),
                                })
                                .into_iter()
                                .collect(),
                        })
                    }),
                };
                assert_eq!(Safeguards::from_bytes(&safeguards.to_bytes()), Ok(safeguards));
            }
        }
        assert_eq!(Safeguards::default().to_bytes(), [0]);
        assert!(matches!(
            Safeguards::from_bytes(&[1, 11]),
            Err(Error::Unknown { number: 11, .. })
        ));
    }
}
