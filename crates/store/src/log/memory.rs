//! What the log knows in memory: recent records, where the others lie, and how far everything has come.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use environment::File;
use machine::{Index, Term};

use super::{Error, Record};

/// A segment and the records in it that still count.
pub(super) struct Segment {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub salt: u32,
    /// Bytes that hold frames.
    pub end: u32,
    /// Index of the record at the first offset.
    first: u64,
    /// Where the records lie, one after the other.
    offsets: Vec<u32>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, file: Arc<dyn File>, salt: u32, end: u32) -> Segment {
        Segment {
            path,
            file,
            salt,
            end,
            first: 0,
            offsets: Vec::new(),
        }
    }

    fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }
}

/// Records that were taken and are not yet durable, by the order in which they were taken.
struct Waiting {
    first: u64,
    next: u64,
}

/// A run of records to be read from one segment.
pub(super) struct Extent {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub salt: u32,
    /// Where to read from and to.
    pub start: u32,
    pub stop: u32,
    /// The records in it, with their offsets.
    pub places: Vec<(Index, u32)>,
}

/// Where the next records are.
pub(super) enum Found {
    /// Nowhere: there are no more.
    Nothing,
    /// In memory.
    Records(Vec<Record>),
    /// On disk.
    Extent(Extent),
}

pub(super) struct Memory {
    purged: Option<(Index, Term)>,
    /// The index after the last record; none as long as there never was one.
    next: Option<u64>,
    /// Where each term begins, from the first record on.
    terms: VecDeque<(u64, Term)>,
    /// The last so many records; all that are not durable are among them.
    cache: VecDeque<Record>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    segments: VecDeque<Segment>,
    flushed: Option<u64>,
    /// How often records were taken back.
    truncations: u64,
    waiting: VecDeque<Waiting>,
    /// The first failure of the disk: nothing is taken after it.
    failure: Option<(io::ErrorKind, String)>,
}

impl Memory {
    pub(super) fn new(cache_bytes_max: usize) -> Memory {
        Memory {
            purged: None,
            next: None,
            terms: VecDeque::new(),
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_bytes_max,
            segments: VecDeque::new(),
            flushed: None,
            truncations: 0,
            waiting: VecDeque::new(),
            failure: None,
        }
    }

    pub(super) fn purged(&self) -> Option<(Index, Term)> {
        self.purged
    }

    /// The index of the first record, or of the one that would be.
    pub(super) fn first(&self) -> Index {
        match (self.purged, self.terms.front()) {
            (Some((purged, _)), _) => purged.next(),
            (None, Some((first, _))) => Index(*first),
            (None, None) => Index(self.next.unwrap_or(0)),
        }
    }

    pub(super) fn last(&self) -> Option<(Index, Term)> {
        match (self.terms.back(), self.next) {
            (Some((_, term)), Some(next)) => Some((Index(next - 1), *term)),
            _ => self.purged,
        }
    }

    pub(super) fn flushed(&self) -> Option<Index> {
        self.flushed.map(Index)
    }

    pub(super) fn truncations(&self) -> u64 {
        self.truncations
    }

    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if let Some((purged, term)) = self.purged
            && purged == index
        {
            return Some(term);
        }
        if index < self.first() || self.next.is_none_or(|next| index.0 >= next) {
            return None;
        }
        let after = self.terms.partition_point(|(start, _)| *start <= index.0);
        self.terms.get(after.checked_sub(1)?).map(|(_, term)| *term)
    }

    #[cfg(test)]
    pub(super) fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// The error that everything gets after the first failure.
    pub(super) fn failed(&self) -> Option<io::Error> {
        let (kind, text) = self.failure.as_ref()?;
        let text = format!("the log takes nothing more since an earlier write failed: {text}");
        Some(io::Error::new(*kind, text))
    }

    pub(super) fn fail(&mut self, error: &io::Error) {
        self.failure.get_or_insert_with(|| (error.kind(), error.to_string()));
    }

    /// Whether records with these indexes may come next.
    pub(super) fn check(&self, records: &[Record]) -> Result<(), String> {
        let Some(first) = records.first() else {
            return Ok(());
        };
        let dense = records.windows(2).all(|pair| pair[1].index.0 == pair[0].index.0 + 1);
        if !dense {
            return Err("the records of one append must follow one another without a gap".to_owned());
        }
        if first.index < self.first() && self.purged.is_some() {
            return Err(format!(
                "record {} is older than the first one kept, {}",
                first.index,
                self.first()
            ));
        }
        if let Some(next) = self.next
            && first.index.0 > next
        {
            return Err(format!("record {} leaves a gap: the next one is {next}", first.index));
        }
        let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        if bytes > crate::limits::LOG_APPEND_BYTES_MAX {
            return Err(format!("{bytes} bytes are more than one append may have: split it"));
        }
        let big = |record: &&Record| record.payload.len() > crate::limits::LOG_RECORD_BYTES_MAX;
        if let Some(record) = records.iter().find(big) {
            return Err(format!(
                "record {} has {} bytes, more than a record may have",
                record.index,
                record.payload.len()
            ));
        }
        Ok(())
    }

    /// Takes records that passed [`Memory::check`].
    pub(super) fn take(&mut self, records: &[Record]) {
        if let Some(first) = records.first() {
            self.truncate(first.index);
            for record in records {
                self.grow(record.index.0, record.term);
                self.cache_bytes += cost(record);
                self.cache.push_back(record.clone());
            }
        }
        let first = records.first().map_or(0, |record| record.index.0);
        let next = first + records.len() as u64;
        self.waiting.push_back(Waiting { first, next });
    }

    /// Lets go of everything from `from` on, as something that is not durable yet.
    pub(super) fn take_truncation(&mut self, from: Index) {
        self.truncate(from);
        self.waiting.push_back(Waiting { first: 0, next: 0 });
    }

    /// As for truncations.
    pub(super) fn take_purge(&mut self, index: Index, term: Term) {
        self.purge(index, term);
        self.waiting.push_back(Waiting { first: 0, next: 0 });
    }

    /// The next `count` of what was taken are durable; what lies where was said before.
    pub(super) fn settle(&mut self, count: usize) {
        for waiting in self.waiting.drain(..count.min(self.waiting.len())) {
            if waiting.first < waiting.next {
                self.flushed = self.flushed.max(Some(waiting.next - 1));
            }
        }
        while self.cache_bytes > self.cache_bytes_max {
            match self.cache.front() {
                Some(record) if self.flushed.is_some_and(|flushed| record.index.0 <= flushed) => self.drop_oldest(),
                Some(_) | None => break,
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(record) = self.cache.pop_front() {
            self.cache_bytes -= cost(&record);
        }
    }

    fn grow(&mut self, index: u64, term: Term) {
        if self.terms.back().is_none_or(|(_, last)| *last != term) {
            self.terms.push_back((index, term));
        }
        self.next = Some(index + 1);
    }

    fn truncate(&mut self, from: Index) {
        if self.next.is_none_or(|next| from.0 >= next) {
            return;
        }
        self.truncations += 1;
        let from = from.0.max(self.first().0);
        while self.terms.back().is_some_and(|(start, _)| *start >= from) {
            self.terms.pop_back();
        }
        while self.cache.back().is_some_and(|record| record.index.0 >= from) {
            if let Some(record) = self.cache.pop_back() {
                self.cache_bytes -= cost(&record);
            }
        }
        for waiting in &mut self.waiting {
            waiting.next = waiting.next.min(from);
        }
        self.next = Some(from);
        if self.flushed.is_some_and(|flushed| flushed >= from) {
            self.flushed = from.checked_sub(1);
        }
    }

    fn purge(&mut self, index: Index, term: Term) {
        if self.purged.is_some_and(|(purged, _)| purged >= index) {
            return;
        }
        self.purged = Some((index, term));
        let first = index.0 + 1;
        while self.cache.front().is_some_and(|record| record.index.0 < first) {
            self.drop_oldest();
        }
        if self.next.is_none_or(|next| next <= first) {
            self.terms.clear();
            self.next = Some(first);
            self.flushed = Some(index.0);
            return;
        }
        while self.terms.get(1).is_some_and(|(start, _)| *start <= first) {
            self.terms.pop_front();
        }
        if let Some(front) = self.terms.front_mut() {
            front.0 = front.0.max(first);
        }
        self.flushed = self.flushed.max(Some(index.0));
    }

    /// Every segment with how far it holds frames, to be read again from the disk.
    pub(super) fn segments(&self) -> Vec<(PathBuf, Arc<dyn File>, u32, u32)> {
        let whole = |segment: &Segment| (segment.path.clone(), segment.file.clone(), segment.salt, segment.end);
        self.segments.iter().map(whole).collect()
    }

    /// The segment that is written to from now on.
    pub(super) fn add_segment(&mut self, segment: Segment) {
        self.segments.push_back(segment);
    }

    /// How many segments there are.
    pub(super) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Bytes of the segments that hold a record behind `index`.
    pub(super) fn bytes_behind(&self, index: Index) -> u64 {
        let holds = |segment: &&Segment| !segment.offsets.is_empty() && segment.next() > index.0.saturating_add(1);
        self.segments
            .iter()
            .filter(holds)
            .map(|segment| u64::from(segment.end))
            .sum()
    }

    /// How far the last segment holds frames.
    pub(super) fn set_end(&mut self, end: u32) {
        if let Some(segment) = self.segments.back_mut() {
            segment.end = end;
        }
    }

    /// A record lies at that offset of the last segment, and in the place of all from its index on.
    pub(super) fn place(&mut self, index: Index, offset: u32) {
        self.displace(index);
        if let Some(segment) = self.segments.back_mut() {
            if segment.offsets.is_empty() || segment.next() != index.0 {
                // After a gap, all before was purged.
                segment.offsets.clear();
                segment.first = index.0;
            }
            segment.offsets.push(offset);
        }
    }

    /// Records from that index on lie nowhere any more.
    pub(super) fn displace(&mut self, from: Index) {
        for segment in self.segments.iter_mut().rev() {
            if segment.offsets.is_empty() {
                continue;
            }
            if segment.next() <= from.0 {
                break;
            }
            let keep = from.0.saturating_sub(segment.first);
            segment.offsets.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        }
    }

    /// Lets go of the oldest segments of which no record after `purged` is kept, and gives their files. That purge must
    /// be durable: whoever reads the log without these segments must know why they are gone.
    pub(super) fn drop_purged(&mut self, purged: Index) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        while self.segments.len() > 1 {
            let Some(segment) = self.segments.front() else {
                break;
            };
            if !segment.offsets.is_empty() && segment.next() > purged.0 + 1 {
                break;
            }
            paths.extend(self.segments.pop_front().map(|segment| segment.path));
        }
        paths
    }

    /// The oldest record that lies in a segment.
    pub(super) fn first_placed(&self) -> Option<Index> {
        let holder = self.segments.iter().find(|segment| !segment.offsets.is_empty())?;
        Some(Index(holder.first))
    }

    /// Recovery: a record was found at the offset of the last segment. `anywhere`: it need not follow on what was found
    /// before.
    ///
    /// Errors with the index that was expected.
    pub(super) fn replay(&mut self, index: Index, term: Term, offset: u32, anywhere: bool) -> Result<(), Index> {
        if let Some(next) = self.next
            && index.0 > next
            && !anywhere
        {
            return Err(Index(next));
        }
        if self.purged.is_some_and(|(purged, _)| index <= purged) {
            // Overwritten by a snapshot that was newer; what comes next says from where it goes on.
            return Ok(());
        }
        self.truncate(index);
        self.grow(index.0, term);
        self.flushed = Some(index.0);
        self.place(index, offset);
        Ok(())
    }

    /// Recovery: a truncation was found.
    pub(super) fn replay_truncation(&mut self, from: Index) {
        self.truncate(from);
        self.displace(from);
    }

    /// Recovery: a purge was found.
    pub(super) fn replay_purge(&mut self, index: Index, term: Term) {
        self.purge(index, term);
    }

    /// Where the record `from` and those after it are, before `to` and of about `bytes_max` in all.
    pub(super) fn find(&self, from: Index, to: Index, bytes_max: usize) -> Result<Found, Error> {
        let next = self.next.unwrap_or(0);
        let to = to.0.min(next);
        if from < self.first() {
            return Err(Error::Purged {
                index: from,
                first: self.first(),
            });
        }
        if from.0 >= to {
            return Ok(Found::Nothing);
        }
        match self.cache.front() {
            Some(front) if front.index <= from => Ok(Found::Records(self.cached(from, to, bytes_max, front.index))),
            Some(front) => self.extent(from, to.min(front.index.0), bytes_max),
            None => self.extent(from, to, bytes_max),
        }
    }

    fn cached(&self, from: Index, to: u64, bytes_max: usize, front: Index) -> Vec<Record> {
        let skip = usize::try_from(from.0 - front.0).unwrap_or(usize::MAX);
        let count = usize::try_from(to - from.0).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut records = Vec::new();
        for record in self.cache.iter().skip(skip).take(count) {
            bytes += record.payload.len();
            if !records.is_empty() && bytes > bytes_max {
                break;
            }
            records.push(record.clone());
        }
        records
    }

    fn extent(&self, from: Index, to: u64, bytes_max: usize) -> Result<Found, Error> {
        let holds =
            |segment: &&Segment| !segment.offsets.is_empty() && segment.first <= from.0 && from.0 < segment.next();
        // What is not in the cache is durable and therefore placed; a miss would be a defect of this file.
        let Some(segment) = self.segments.iter().rev().find(holds) else {
            return Ok(Found::Nothing);
        };
        let skip = (from.0 - segment.first) as usize;
        let start = segment.offsets[skip];
        let mut places = Vec::new();
        let mut stop = segment.end;
        for (index, offset) in (from.0..to).zip(&segment.offsets[skip..]) {
            if !places.is_empty() && (offset - start) as usize > bytes_max {
                stop = *offset;
                break;
            }
            places.push((Index(index), *offset));
        }
        if let Some(after) = segment.offsets.get(skip + places.len()) {
            stop = *after;
        }
        Ok(Found::Extent(Extent {
            path: segment.path.clone(),
            file: segment.file.clone(),
            salt: segment.salt,
            start,
            stop,
            places,
        }))
    }
}

fn cost(record: &Record) -> usize {
    record.payload.len() + size_of::<Record>()
}
