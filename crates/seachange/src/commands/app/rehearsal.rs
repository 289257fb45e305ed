//! Flags of a rehearsal: the next version tried on the real commands, before it answers any of them.

use client::wire::RehearsalRequest;

/// How the next version is rehearsed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RehearsalFlags {
    /// Rehearse it before the switch, on nodes that do not lead: on so many commands (10000), for so long (10m), or both
    /// (10000,10m); 1-in-K among them tries one command in K
    #[arg(long, value_name = "HOW", value_parser = parse)]
    rehearse: Option<RehearsalRequest>,
    /// What is meant to come out otherwise: reply:COMMAND, events:STREAM, rows:TABLE or way-back:TABLE, with a JSON pointer
    /// behind it if only that may (rows:accounts/balance); may be given again
    #[arg(long, value_name = "WHERE", requires = "rehearse")]
    expect_difference: Vec<String>,
    /// So many commands may come out otherwise beside those
    #[arg(long, value_name = "N", requires = "rehearse")]
    differences_max: Option<u64>,
}

impl RehearsalFlags {
    /// What they ask for.
    pub fn into_request(self) -> Option<RehearsalRequest> {
        self.rehearse.map(|asked| RehearsalRequest {
            differences_max: self.differences_max,
            expected: self.expect_difference,
            ..asked
        })
    }
}

fn parse(text: &str) -> Result<RehearsalRequest, String> {
    let mut asked = RehearsalRequest::default();
    for part in text.split(',').map(str::trim) {
        if let Some(many) = part.strip_prefix("1-in-") {
            let many = many
                .parse()
                .map_err(|_| format!("{part}: K is a number, as in 1-in-10"))?;
            asked.one_in = Some(many);
        } else if let Ok(commands) = part.parse() {
            asked.commands = Some(commands);
        } else {
            let time = humantime::parse_duration(part).map_err(|error| {
                format!("{part:?} is no number of commands, no time and no 1-in-K ({error}): 10000, 10m or 1-in-10")
            })?;
            asked.for_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        }
    }
    match (asked.commands, asked.for_ms) {
        (None, None) => Err("say on how many commands, or for how long, too: 1000,1-in-10".to_owned()),
        _ => Ok(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_a_time_and_a_share_may_be_given_in_any_order() {
        let seen = |text| parse(text).map(|asked| (asked.commands, asked.for_ms, asked.one_in));
        assert_eq!(seen("10000"), Ok((Some(10_000), None, None)));
        assert_eq!(seen("10m"), Ok((None, Some(600_000), None)));
        assert_eq!(seen("1-in-10, 90s,5"), Ok((Some(5), Some(90_000), Some(10))));
        for text in ["", "1-in-10", "ten", "1-in-x,5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
