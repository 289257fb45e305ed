//! Version 1 of the flights: how many leave each airport, with what delay, and an event for each that is late.

use sdk::{Application, Command, Context, Refusal, Reply};
use serde::{Deserialize, Serialize};

/// A flight is late when its delay is more than this.
const LATE_MINUTES: i64 = 15;
/// Bytes of an airport's code.
const CODE_BYTES_MAX: usize = 16;

/// The application.
pub struct Flights;
sdk::export!(Flights);

/// Payload of command `flight`: one line of the data set, whose distance is passed over.
#[derive(Deserialize)]
struct Flight {
    date: String,
    /// Minutes; below zero when it was early.
    delay: i64,
    origin: String,
    destination: String,
}

/// A document of table `airports`, under the code of the airport that the flights left.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delays {
    /// How many flights.
    pub flights: u64,
    /// The sum of their delays; those below zero (early) are counted as they are.
    pub delay_minutes: i64,
}

/// Event on stream `flights.late`, keyed by the origin.
#[derive(Serialize)]
struct Late<'a> {
    date: &'a str,
    origin: &'a str,
    destination: &'a str,
    delay: i64,
}

impl Application for Flights {
    fn apply(&self, context: &mut Context<'_>, command: Command<'_>) -> Result<Reply, Refusal> {
        match command.name {
            "flight" => flight(context, &command.json()?),
            _ => Err(command.unknown()),
        }
    }
}

/// Replies with the document of the origin after this flight.
fn flight(context: &mut Context<'_>, flight: &Flight) -> Result<Reply, Refusal> {
    for code in [&flight.origin, &flight.destination] {
        if code.is_empty() || code.len() > CODE_BYTES_MAX {
            let reason = format!("an airport's code has 1 to {CODE_BYTES_MAX} bytes");
            return Err(Refusal::coded("bad_airport", reason));
        }
    }
    let airport = count(context, "airports", &flight.origin, flight.delay)?;
    if flight.delay > LATE_MINUTES {
        let late = Late {
            date: &flight.date,
            origin: &flight.origin,
            destination: &flight.destination,
            delay: flight.delay,
        };
        context.emit("flights.late", &flight.origin, &late)?;
    }
    Reply::json(&airport)
}

fn count(context: &mut Context<'_>, table: &str, key: &str, delay: i64) -> Result<Delays, Refusal> {
    let mut table = context.table::<Delays>(table);
    let mut delays = table.get(key)?.unwrap_or_default();
    delays.flights += 1;
    delays.delay_minutes = delays
        .delay_minutes
        .checked_add(delay)
        .ok_or_else(|| Refusal::coded("bad_delay", "the sum of delays would be too large to be held"))?;
    table.put(key, &delays)?;
    Ok(delays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::MemoryHost;
    use serde_json::{Value, json};

    fn line(origin: &str, destination: &str, delay: i64) -> Value {
        json!({"date": "2001/01/01 00:47", "delay": delay, "distance": 1750, "origin": origin, "destination": destination})
    }

    #[test]
    fn flights_are_counted_at_their_origin_and_late_ones_told() {
        let mut host = MemoryHost::new(&["airports"], &["flights.late"]);
        for (origin, delay) in [("DTW", 66), ("LAS", -5), ("LAS", 15), ("LAS", 16)] {
            host.apply(&Flights, "flight", &line(origin, "SFO", delay))
                .expect("applied");
        }
        assert_eq!(
            host.rows("airports"),
            [
                ("DTW".into(), r#"{"flights":1,"delay_minutes":66}"#.into()),
                ("LAS".into(), r#"{"flights":3,"delay_minutes":26}"#.into()),
            ]
        );
        let events: Vec<_> = host
            .events()
            .iter()
            .map(|event| String::from_utf8_lossy(&event.value))
            .collect();
        assert_eq!(
            events,
            [
                r#"{"date":"2001/01/01 00:47","origin":"DTW","destination":"SFO","delay":66}"#,
                r#"{"date":"2001/01/01 00:47","origin":"LAS","destination":"SFO","delay":16}"#,
            ]
        );
        assert_eq!(host.events()[1].key.as_deref(), Some(&b"LAS"[..]));
    }

    #[test]
    fn what_is_no_flight_is_refused() {
        let mut host = MemoryHost::new(&["airports"], &["flights.late"]);
        let mut code = |payload: Value| {
            let refusal = host.apply(&Flights, "flight", &payload);
            refusal.expect_err("a refusal")["code"].clone()
        };
        assert_eq!(code(json!({"date": "2001/01/01 00:47"})), "malformed");
        assert_eq!(code(line("", "SFO", 1)), "bad_airport");
        assert_eq!(code(line("DTW", &"S".repeat(17), 1)), "bad_airport");
        assert!(host.rows("airports").is_empty());
    }

    #[test]
    fn a_sum_that_cannot_be_held_is_refused() {
        let mut host = MemoryHost::new(&["airports"], &["flights.late"]);
        host.apply(&Flights, "flight", &line("DTW", "SFO", i64::MAX))
            .expect("applied");
        let refusal = host.apply(&Flights, "flight", &line("DTW", "SFO", 1));
        assert_eq!(refusal.expect_err("a refusal")["code"], "bad_delay");
    }
}
