use std::time::Duration;

/// How many commands were done when.
#[derive(Debug, Default)]
pub struct Pace {
    /// In order of time.
    notes: Vec<(Duration, u64)>,
}

impl Pace {
    /// So many are done, so long after the beginning.
    pub fn note(&mut self, after: Duration, done: u64) {
        self.notes.push((after, done));
    }

    /// The last of all was done so long after the beginning; what was noted later says nothing more.
    pub fn end(&mut self, after: Duration, done: u64) {
        self.notes.retain(|&(noted, _)| noted < after);
        self.note(after, done);
    }

    /// Commands a second in the first and in the last part of so long, or in the halves where it was over sooner.
    pub fn first_and_last(&self, part: Duration) -> (f64, f64) {
        let (end, all) = self.notes.last().copied().unwrap_or_default();
        let part = part.min(end / 2);
        // The note that is nearest: notes come late when all processors are busy.
        let nearest = |wanted: Duration| {
            let beginning = (Duration::ZERO, 0);
            let notes = std::iter::once(beginning).chain(self.notes.iter().copied());
            notes
                .min_by_key(|&(after, _)| after.abs_diff(wanted))
                .unwrap_or(beginning)
        };
        let (first, last) = (nearest(part), nearest(end - part));
        (per_second(first.1, first.0), per_second(all - last.1, end - last.0))
    }
}

fn per_second(done: u64, time: Duration) -> f64 {
    done as f64 / time.as_secs_f64().max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(notes: &[(u64, u64)]) -> Pace {
        let mut pace = Pace::default();
        for &(ms, done) in notes {
            pace.note(Duration::from_millis(ms), done);
        }
        pace
    }

    #[test]
    fn the_first_and_the_last_part_are_told_apart() {
        let mut pace = pace(&[(1000, 500), (2000, 1000), (3000, 1100), (4000, 1200), (4100, 1200)]);
        pace.end(Duration::from_millis(4000), 1200);
        assert_eq!(pace.first_and_last(Duration::from_secs(1)), (500.0, 100.0));
        // Halves, since it was over before two parts of that length.
        assert_eq!(pace.first_and_last(Duration::from_secs(5)), (500.0, 100.0));
    }

    #[test]
    fn nothing_noted_is_no_pace() {
        assert_eq!(pace(&[]).first_and_last(Duration::from_secs(1)), (0.0, 0.0));
    }
}
