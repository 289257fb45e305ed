//! One machine's disk: it keeps what was synced, and of the rest, after a loss of power, what chance leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use environment::{Disk, Entry, File, FileLock};
use parking_lot::Mutex;

use super::{Dice, MICROSECOND, Nanos, World};

/// What reaches the disk as a whole.
const SECTOR_BYTES: usize = 512;
/// What a call takes that does not reach the disk, and what a sync takes at least.
const CALL_TIME: Nanos = 2 * MICROSECOND;
const SYNC_TIME: Nanos = 300 * MICROSECOND;

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskFault {
    /// Syncs take so many times as long.
    Slow(u32),
    /// So few bytes are free.
    Full(u64),
    /// Syncs fail.
    SyncFails,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// Sectors that were written since the last sync, as they lie on the disk.
    before: BTreeMap<usize, Vec<u8>>,
    /// The same of sectors that a sync failed to write and that are taken for written: they are read as they should be,
    /// and no later sync writes them.
    forgotten: BTreeMap<usize, Vec<u8>>,
    durable_bytes: usize,
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            self.keep(sector);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
    }

    fn keep(&mut self, sector: usize) {
        let (from, to) = (sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
        let durable = self.durable_bytes.min(to);
        let forgotten = self.forgotten.remove(&sector);
        let old = || forgotten.unwrap_or_else(|| self.bytes.get(from..durable).unwrap_or_default().to_vec());
        self.before.entry(sector).or_insert_with(old);
    }

    fn set_len(&mut self, length: usize) {
        // What is cut off may come back after a loss of power.
        for sector in length / SECTOR_BYTES..self.durable_bytes.div_ceil(SECTOR_BYTES) {
            self.keep(sector);
        }
        self.bytes.resize(length, 0);
    }

    fn sync(&mut self) {
        self.before.clear();
        self.durable_bytes = self.bytes.len();
    }

    /// A sync failed. What it should have written may still be waiting, may be gone, or may be taken for written: file
    /// systems differ (Rebello and others, "Can Applications Recover from fsync Failures?", 2020).
    fn fail_sync(&mut self, dice: &mut Dice) {
        match dice.below(3) {
            0 => {}
            1 => self.lose_power(dice),
            _ => {
                for (sector, old) in std::mem::take(&mut self.before) {
                    self.forgotten.entry(sector).or_insert(old);
                }
            }
        }
    }

    /// Of what was not synced, chance decides sector by sector what is there.
    fn lose_power(&mut self, dice: &mut Dice) {
        for (sector, old) in std::mem::take(&mut self.forgotten) {
            self.before.entry(sector).or_insert(old);
        }
        if !self.before.is_empty() || self.bytes.len() != self.durable_bytes {
            let length = if dice.flip() {
                self.bytes.len()
            } else {
                self.durable_bytes
            };
            for (sector, old) in std::mem::take(&mut self.before) {
                let from = sector * SECTOR_BYTES;
                if dice.flip() {
                    let end = (from + old.len()).max(self.bytes.len().min(from + SECTOR_BYTES));
                    self.bytes.resize(self.bytes.len().max(end), 0);
                    self.bytes[from..end].fill(0);
                    self.bytes[from..from + old.len()].copy_from_slice(&old);
                }
            }
            self.bytes.resize(length, 0);
        }
        self.sync();
    }
}

struct State {
    dice: Dice,
    directories: BTreeSet<PathBuf>,
    files: BTreeMap<u64, Content>,
    /// Names as they are, and as they lie on the disk.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    numbers: u64,
    faults: BTreeSet<DiskFault>,
    /// Held by a life.
    locks: BTreeMap<PathBuf, u64>,
    bytes_max: u64,
    /// The power goes at the sync that counts this down to nothing.
    dies_in: Option<u64>,
    died: bool,
}

/// A disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    world: World,
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(world: &World, dice: Dice) -> SimDisk {
        SimDisk {
            world: world.clone(),
            state: Arc::new(Mutex::new(State {
                dice,
                directories: BTreeSet::new(),
                files: BTreeMap::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                numbers: 0,
                faults: BTreeSet::new(),
                locks: BTreeMap::new(),
                bytes_max: 64 << 30,
                dies_in: None,
                died: false,
            })),
        }
    }

    /// As a life has it, until it ends.
    #[must_use]
    pub fn of_life(&self, ended: Arc<AtomicBool>) -> LifeDisk {
        LifeDisk {
            disk: self.clone(),
            ended,
        }
    }

    /// Something goes wrong with it.
    pub fn add_fault(&self, fault: DiskFault) {
        self.state.lock().faults.insert(fault);
    }

    /// Nothing is wrong with it any more.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.dies_in = None;
    }

    /// The power goes in the middle of the work, at one of the next so many writes or syncs.
    pub fn die_in(&self, operations: u64) {
        self.state.lock().dies_in = Some(operations);
    }

    /// Whether it went, once.
    #[must_use]
    pub fn take_death(&self) -> bool {
        std::mem::take(&mut self.state.lock().died)
    }

    /// The process that used it is gone.
    pub fn end_life(&self) {
        self.state.lock().locks.clear();
    }

    /// The machine's power was lost: what was not synced may be gone, sector by sector.
    pub fn lose_power(&self) {
        let mut state = self.state.lock();
        let State {
            dice,
            files,
            names,
            durable_names,
            ..
        } = &mut *state;
        let paths: BTreeSet<PathBuf> = names.keys().chain(durable_names.keys()).cloned().collect();
        let mut after = BTreeMap::new();
        for path in paths {
            let chosen = if dice.flip() { &*names } else { &*durable_names };
            if let Some(file) = chosen.get(&path) {
                after.insert(path, *file);
            }
        }
        *names = after.clone();
        *durable_names = after;
        let kept: BTreeSet<u64> = names.values().copied().collect();
        files.retain(|file, _| kept.contains(file));
        for content in files.values_mut() {
            content.lose_power(dice);
        }
    }

    /// Flips one bit of a file whose path holds `within`, and gives its path and where.
    pub fn flip_bit(&self, within: &str) -> Option<(PathBuf, usize)> {
        let mut state = self.state.lock();
        let State { dice, files, names, .. } = &mut *state;
        let candidates: Vec<(&PathBuf, &u64)> = names
            .iter()
            .filter(|(path, _)| path.to_string_lossy().contains(within))
            .collect();
        let (path, file) = dice.pick(&candidates)?;
        let content = files.get_mut(file)?;
        // What is in use, and not what was only prepared.
        let used = content.bytes.iter().rposition(|byte| *byte != 0)? + 1;
        let at = usize::try_from(dice.below(used as u64)).ok()?;
        content.bytes[at] ^= 1 << dice.below(8);
        Some(((*path).clone(), at))
    }
}

impl State {
    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|file| self.files.get(file))
            .map(|content| content.bytes.len() as u64)
            .sum()
    }

    fn free(&self) -> u64 {
        let full = self.faults.iter().find_map(|fault| match fault {
            DiskFault::Full(free) => Some(*free),
            DiskFault::Slow(_) | DiskFault::SyncFails => None,
        });
        full.unwrap_or_else(|| self.bytes_max.saturating_sub(self.used()))
    }

    /// Room for a file that grows. What is left shrinks where a disk is said to be full.
    fn take_room(&mut self, grows: u64) -> io::Result<()> {
        if grows == 0 {
            return Ok(());
        }
        let free = self.free();
        if free < grows {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.faults.remove(&DiskFault::Full(free)) {
            self.faults.insert(DiskFault::Full(free - grows));
        }
        Ok(())
    }

    fn slowness(&self) -> Nanos {
        let slow = self.faults.iter().find_map(|fault| match fault {
            DiskFault::Slow(times) => Some(Nanos::from(*times)),
            DiskFault::Full(_) | DiskFault::SyncFails => None,
        });
        slow.unwrap_or(1)
    }

    fn check_sync(&self) -> io::Result<()> {
        match self.faults.contains(&DiskFault::SyncFails) {
            true => Err(io::Error::other("the disk did not take what was synced")),
            false => Ok(()),
        }
    }
}

/// A disk as one life has it.
#[derive(Clone)]
pub struct LifeDisk {
    disk: SimDisk,
    ended: Arc<AtomicBool>,
}

impl LifeDisk {
    /// Does something with the disk, which takes its time. `counts`: the power may go just before it.
    fn with<R>(&self, time: Nanos, counts: bool, work: impl FnOnce(&mut State) -> io::Result<R>) -> io::Result<R> {
        let gone = || io::Error::other("the process has ended");
        if self.ended.load(Ordering::Relaxed) {
            return Err(gone());
        }
        let mut state = self.disk.state.lock();
        if counts && let Some(left) = &mut state.dies_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.dies_in = None;
                state.died = true;
                // From here on nothing that the life does reaches anything.
                self.ended.store(true, Ordering::Relaxed);
                return Err(gone());
            }
        }
        let spent = state.dice.between(time / 2, time) * state.slowness();
        let result = work(&mut state);
        drop(state);
        self.disk.world.spend(spent);
        result
    }
}

struct SimFile {
    disk: LifeDisk,
    file: u64,
    path: PathBuf,
}

impl SimFile {
    fn with<R>(&self, time: Nanos, counts: bool, work: impl FnOnce(&mut State, u64) -> io::Result<R>) -> io::Result<R> {
        self.disk.with(time, counts, |state| work(state, self.file))
    }
}

fn content(state: &mut State, file: u64) -> io::Result<&mut Content> {
    state.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(CALL_TIME, false, |state, file| {
            let bytes = &content(state, file)?.bytes;
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let there = bytes.get(from..).unwrap_or_default();
            let count = there.len().min(buffer.len());
            buffer[..count].copy_from_slice(&there[..count]);
            Ok(count)
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(CALL_TIME, true, |state, file| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            let length = content(state, file)?.bytes.len();
            state.take_room((offset + bytes.len()).saturating_sub(length) as u64)?;
            content(state, file)?.write(offset, bytes);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.with(SYNC_TIME, true, |state, file| {
            let sound = state.check_sync();
            let State { dice, files, .. } = state;
            let content = files.get_mut(&file).ok_or(io::ErrorKind::NotFound)?;
            match &sound {
                Ok(()) => content.sync(),
                Err(_) => content.fail_sync(dice),
            }
            sound
        });
        let world = &self.disk.disk.world;
        world.trace(format_args!("sync {} {}", self.path.display(), synced.is_ok()));
        synced
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with(CALL_TIME, true, |state, file| {
            let length = content(state, file)?.bytes.len() as u64;
            state.take_room(bytes.saturating_sub(length))?;
            content(state, file)?.set_len(usize::try_from(bytes).unwrap_or(usize::MAX));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(CALL_TIME, false, |state, file| {
            Ok(content(state, file)?.bytes.len() as u64)
        })
    }
}

struct SimLock {
    disk: LifeDisk,
    path: PathBuf,
    number: u64,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.disk.state.lock();
        if state.locks.get(&self.path) == Some(&self.number) {
            state.locks.remove(&self.path);
        }
    }
}

impl LifeDisk {
    fn file(&self, file: u64, path: &Path) -> Box<dyn File> {
        Box::new(SimFile {
            disk: self.clone(),
            file,
            path: path.to_owned(),
        })
    }
}

impl Disk for LifeDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.with(CALL_TIME, false, |state| {
            state
                .names
                .get(path)
                .copied()
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })?;
        Ok(self.file(file, path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.with(CALL_TIME, true, |state| {
            let parent = path.parent().unwrap_or(path);
            if !state.directories.contains(parent) {
                return Err(io::ErrorKind::NotFound.into());
            }
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.numbers += 1;
            let file = state.numbers;
            state.files.insert(file, Content::default());
            state.names.insert(path.to_owned(), file);
            Ok(file)
        })?;
        Ok(self.file(file, path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.with(CALL_TIME, false, |state| {
            state.directories.extend(path.ancestors().map(Path::to_owned));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(CALL_TIME, true, |state| {
            if let Some(file) = state.names.remove(from) {
                state.names.insert(to.to_owned(), file);
                return Ok(());
            }
            if !state.directories.contains(from) {
                return Err(io::ErrorKind::NotFound.into());
            }
            // A directory takes along what is in it, at once and for good: simpler than life.
            let moved = |path: &PathBuf| path.strip_prefix(from).ok().map(|rest| to.join(rest));
            for names in [&mut state.names, &mut state.durable_names] {
                *names = std::mem::take(names)
                    .into_iter()
                    .map(|(path, file)| (moved(&path).unwrap_or(path), file))
                    .collect();
            }
            state.directories = std::mem::take(&mut state.directories)
                .into_iter()
                .map(|path| moved(&path).unwrap_or(path))
                .collect();
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.with(CALL_TIME, true, |state| {
            let removed = state.names.remove(path);
            removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.with(CALL_TIME, true, |state| {
            if !state.directories.contains(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.names.retain(|name, _| !name.starts_with(path));
            // Simpler than life: no file without a directory comes back.
            state.durable_names.retain(|name, _| !name.starts_with(path));
            state.directories.retain(|name| !name.starts_with(path));
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.with(CALL_TIME, false, |state| {
            if !state.directories.contains(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let entry = |name: &PathBuf, is_dir| Entry {
                path: name.clone(),
                is_dir,
            };
            let within = |name: &&PathBuf| name.parent() == Some(path);
            let files = state.names.keys().filter(within).map(|name| entry(name, false));
            let directories = state.directories.iter().filter(within).map(|name| entry(name, true));
            let mut entries: Vec<_> = files.chain(directories).collect();
            entries.sort();
            Ok(entries)
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.with(CALL_TIME, false, |state| {
            Ok(state.names.contains_key(path) || state.directories.contains(path))
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.with(SYNC_TIME, true, |state| {
            state.check_sync()?;
            state.durable_names.retain(|name, _| name.parent() != Some(path));
            let within = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
            let durable: Vec<_> = within.map(|(name, file)| (name.clone(), *file)).collect();
            state.durable_names.extend(durable);
            Ok(())
        })
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        self.with(CALL_TIME, false, |state| Ok(state.free()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let number = self.with(CALL_TIME, true, |state| {
            if state.locks.contains_key(path) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.numbers += 1;
            let number = state.numbers;
            state.locks.insert(path.to_owned(), number);
            Ok(number)
        })?;
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            number,
        }))
    }
}
