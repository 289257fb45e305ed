//! Power is lost at any moment, also while a segment is begun: what was acknowledged is there, and what was not is
//! there as a prefix of what was asked, or not at all.

use super::*;

/// One change of the log, frame by frame.
#[derive(Clone)]
enum Step {
    Record(Record),
    Truncate(u64),
    Purge(u64, u64),
}

/// The log as it should be.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    purged: Option<(Index, Term)>,
    records: Vec<Record>,
}

impl Model {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Record(record) => {
                self.records.retain(|old| old.index < record.index);
                self.records.push(record.clone());
            }
            Step::Truncate(after) => self.records.retain(|old| old.index.0 <= *after),
            Step::Purge(through, term) => {
                self.purged = Some((Index(*through), Term(*term)));
                self.records.retain(|old| old.index.0 > *through);
            }
        }
    }

    fn last(&self) -> u64 {
        self.records
            .last()
            .map_or(self.purged.map_or(0, |(index, _)| index.0), |record| record.index.0)
    }

    fn first(&self) -> u64 {
        self.purged.map_or(1, |(index, _)| index.0 + 1)
    }
}

fn found(log: &Log) -> Model {
    Model {
        purged: log.purged(),
        records: all(log),
    }
}

/// Some steps that make sense now.
fn next_steps(model: &Model, dice: &mut Dice, term: u64) -> Vec<Step> {
    match dice.below(12) {
        0 if model.last() > model.first() => {
            let span = model.last() - model.first();
            vec![Step::Truncate(
                model.first() - 1 + dice.below(span.min(20)) + span.saturating_sub(20),
            )]
        }
        1 if model.last() > model.first() + 60 => vec![Step::Purge(model.first() + dice.below(50), term)],
        2 if dice.below(4) == 0 => vec![Step::Purge(model.last() + dice.below(30), term)],
        choice => {
            let back = if choice < 4 { dice.below(5) } else { 0 };
            let first = (model.last() + 1).saturating_sub(back).max(model.first());
            let count = 1 + dice.below(8);
            let bytes = [0, 30, 500, 3000][dice.below(4) as usize];
            (first..first + count)
                .map(|index| Step::Record(record(index, term, bytes)))
                .collect()
        }
    }
}

fn submit(log: &Log, steps: &[Step], flushed: Flushed) {
    match steps {
        [Step::Truncate(after)] => log.truncate_after(after.checked_sub(0).map(Index), flushed),
        [Step::Purge(through, term)] => log.purge_through(Index(*through), Term(*term), flushed),
        steps => {
            let record = |step: &Step| match step {
                Step::Record(record) => record.clone(),
                Step::Truncate(_) | Step::Purge(..) => unreachable!(),
            };
            log.append(steps.iter().map(record).collect(), flushed);
        }
    }
}

async fn life(mut disk: CrashDisk, dice: &mut Dice, mut model: Model, term: u64) -> (CrashDisk, Model) {
    let log = open(&disk).log;
    let acknowledged = Arc::new(Mutex::new(0));
    let mut asked: Vec<Vec<Step>> = Vec::new();
    let mut latest = model.clone();
    let mut last = None;
    for _ in 0..40 + dice.below(40) {
        let steps = next_steps(&latest, dice, term);
        steps.iter().for_each(|step| latest.apply(step));
        let counter = acknowledged.clone();
        let (sender, receiver) = oneshot::channel();
        let flushed = move |result: io::Result<()>| {
            result.unwrap();
            *counter.lock() += 1;
            let _ = sender.send(());
        };
        submit(&log, &steps, Box::new(flushed));
        asked.push(steps);
        last = Some(receiver);
        if dice.below(3) == 0 {
            last.take().unwrap().await.unwrap();
        }
    }
    if dice.flip()
        && let Some(last) = last
    {
        last.await.unwrap();
    }
    // The count first: what is acknowledged later may be in the crash or not.
    let certain = *acknowledged.lock();
    disk = disk.crash(dice);
    log.shutdown().await;

    let log = open(&disk).log;
    let found = found(&log);
    log.shutdown().await;
    for steps in &asked[..certain] {
        steps.iter().for_each(|step| model.apply(step));
    }
    let mut possible = vec![model.clone()];
    for step in asked[certain..].iter().flatten() {
        model.apply(step);
        possible.push(model.clone());
    }
    assert!(
        possible.contains(&found),
        "{certain} of {} acknowledged; found {:?} {}..{}, wanted {:?} {}..{}",
        asked.len(),
        found.purged,
        found.first(),
        found.last(),
        possible[0].purged,
        possible[0].first(),
        possible[0].last()
    );
    (disk, found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_in_many_crashes() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut disk = CrashDisk::default();
        let mut model = Model::default();
        for term in 1..=6 {
            (disk, model) = life(disk, &mut dice, model, term).await;
        }
    }
}

#[tokio::test]
async fn a_crash_while_a_segment_is_begun_loses_nothing_acknowledged() {
    let mut torn = 0;
    for seed in 0..200 {
        let disk = CrashDisk::default();
        let log = open(&disk).log;
        append(&log, records(1..=100, 1)).await.unwrap();
        let next = segment::path(Path::new(DIRECTORY), 2);
        disk.wait_durable(&next);
        // The write to the next segment is done, its sync is not.
        let sent = disk.syncs(&next);
        disk.hold();
        let (flushed, result) = pending();
        log.append(records(101..=160, 1), flushed);
        disk.wait_written(&next);
        assert_eq!(disk.syncs(&next), sent);
        let crashed = disk.crash(&mut Dice(seed));
        disk.release();
        result.await.unwrap().unwrap();
        log.shutdown().await;

        let Opened { log, warnings } = open(&crashed);
        let found = all(&log);
        assert!(found.len() >= 100, "{}", found.len());
        assert_eq!(found, records(1..=found.len() as u64, 1));
        torn += usize::from(warnings.iter().any(|warning| warning.contains("first write")));
        append(&log, records(found.len() as u64 + 1..=400, 2)).await.unwrap();
        log.shutdown().await;
        let again = open(&crashed).log;
        assert_eq!(all(&again).len(), 400);
        again.shutdown().await;
    }
    assert!(torn > 20, "the torn header was met {torn} times");
}

#[tokio::test]
async fn what_was_found_after_a_kill_is_not_lost_later() {
    for seed in 0..20 {
        let disk = CrashDisk::default();
        let log = open(&disk).log;
        append(&log, records(1..=5, 1)).await.unwrap();
        disk.hold();
        let (flushed, result) = pending();
        log.append(records(6..=9, 1), flushed);
        disk.wait_held(&segment::path(Path::new(DIRECTORY), 1));
        // Written and not synced, and then the process is killed.
        let killed = disk.kill();
        let again = open(&killed).log;
        assert_eq!(again.flushed(), Some(Index(9)));
        let crashed = killed.crash(&mut Dice(seed));
        assert_eq!(all(&open(&crashed).log), records(1..=9, 1));
        disk.release();
        result.await.unwrap().unwrap();
        log.shutdown().await;
        again.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_that_was_read_is_not_lost_later() {
    for seed in 0..20 {
        let disk = CrashDisk::default();
        let log = open(&disk).log;
        let votes = [1, 2].map(|term| Vote {
            term: Term(term),
            node: None,
            committed: false,
        });
        log.save_vote(votes[0]).unwrap();
        log.shutdown().await;
        disk.hold();
        let saver = log.clone();
        let (done, saved) = oneshot::channel();
        disk.environment().spawn_worker("saver", async move {
            let _ = done.send(saver.save_vote(votes[1]));
        });
        disk.wait_held(&Path::new(DIRECTORY).join("vote"));
        let killed = disk.kill();
        assert_eq!(open(&killed).log.read_vote(), Some(votes[1]));
        assert_eq!(open(&killed.crash(&mut Dice(seed))).log.read_vote(), Some(votes[1]));
        disk.release();
        saved.await.unwrap().unwrap();
    }
}
