//! A disk for tests that forgets what was not synced, as a loss of power does: sector by sector, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use environment::{Disk, Entry, Environment, File, FileLock};
use parking_lot::{Condvar, Mutex};

/// A test that waits longer has failed.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What reaches the disk as a whole.
const SECTOR_BYTES: usize = 512;

/// The disk. Clones share it.
#[derive(Clone, Default)]
pub struct CrashDisk {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    directories: BTreeSet<PathBuf>,
    /// Names as they are, and as they would be after a crash.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<Content>,
    syncs: BTreeMap<PathBuf, usize>,
    /// Syncs wait as long as this holds.
    held: bool,
    /// Syncs that wait.
    waiting: Vec<PathBuf>,
    /// All writes and syncs fail.
    broken: bool,
}

#[derive(Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Content {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(at, written) => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(written);
            }
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }

    fn change(&mut self, change: Change) {
        Content::apply(&mut self.bytes, &change);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            Content::apply(&mut self.durable, &change);
        }
    }

    /// What is left of it after a crash.
    fn crash(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Write(at, written) => {
                    let mut from = 0;
                    while from < written.len() {
                        let to = ((at + from) / SECTOR_BYTES + 1) * SECTOR_BYTES - at;
                        let to = to.min(written.len());
                        if dice.flip() {
                            Content::apply(&mut bytes, &Change::Write(at + from, written[from..to].to_vec()));
                        }
                        from = to;
                    }
                }
                Change::Length(_) if dice.flip() => Content::apply(&mut bytes, change),
                Change::Length(_) => {}
            }
        }
        bytes
    }
}

/// Chance with a seed.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Heads or tails.
    pub fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl CrashDisk {
    /// The real environment on this disk.
    pub fn environment(&self) -> Environment {
        let mut environment = environment::real::environment();
        environment.disk = Arc::new(self.clone());
        environment
    }

    /// The disk as it is found after a crash now. This one goes on as if nothing had happened.
    pub fn crash(&self, dice: &mut Dice) -> CrashDisk {
        let state = self.inner.state.lock();
        let mut after = State {
            directories: state.directories.clone(),
            ..State::default()
        };
        let paths: BTreeSet<&PathBuf> = state.names.keys().chain(state.durable_names.keys()).collect();
        for path in paths {
            let chosen = if dice.flip() {
                &state.names
            } else {
                &state.durable_names
            };
            if let Some(file) = chosen.get(path) {
                let bytes = state.files[*file].crash(dice);
                after.insert_durable(path.clone(), bytes);
            }
        }
        CrashDisk::of(after)
    }

    /// The disk as a process that was killed leaves it: nothing is lost, and what was not synced still is not.
    pub fn kill(&self) -> CrashDisk {
        let state = self.inner.state.lock();
        CrashDisk::of(State {
            directories: state.directories.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            files: state.files.clone(),
            ..State::default()
        })
    }

    fn of(state: State) -> CrashDisk {
        CrashDisk {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
        }
    }

    /// The whole of a file.
    pub fn get(&self, path: &Path) -> Vec<u8> {
        let state = self.inner.state.lock();
        state.files[state.names[path]].bytes.clone()
    }

    /// Gives a file other bytes.
    pub fn set(&self, path: &Path, bytes: Vec<u8>) {
        self.inner.state.lock().insert_durable(path.to_owned(), bytes);
    }

    /// All files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.inner.state.lock().names.keys().cloned().collect()
    }

    /// How often a file was synced.
    pub fn syncs(&self, path: &Path) -> usize {
        self.inner.state.lock().syncs.get(path).copied().unwrap_or(0)
    }

    /// From now on syncs wait.
    pub fn hold(&self) {
        self.inner.state.lock().held = true;
    }

    /// Waits until a sync of that file waits.
    pub fn wait_held(&self, path: &Path) {
        self.wait("a sync to be held", |state| {
            state.waiting.iter().any(|waiting| waiting == path)
        });
    }

    /// Waits until that file was synced, and its name would survive a crash.
    pub fn wait_durable(&self, path: &Path) {
        self.wait("a durable file", |state| {
            state.syncs.contains_key(path) && state.durable_names.contains_key(path)
        });
    }

    /// Waits until that file holds something.
    pub fn wait_written(&self, path: &Path) {
        self.wait("a written file", |state| {
            let file = state.names.get(path).map(|file| &state.files[*file]);
            file.is_some_and(|file| file.bytes.iter().any(|byte| *byte != 0))
        });
    }

    fn wait(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let mut state = self.inner.state.lock();
        while !condition(&state) {
            let waited = self.inner.changed.wait_for(&mut state, WAIT_MAX);
            assert!(!waited.timed_out(), "waited in vain for {what}");
        }
    }

    /// Syncs go on.
    pub fn release(&self) {
        self.inner.state.lock().held = false;
        self.inner.changed.notify_all();
    }

    /// From now on writes and syncs fail, or no longer do.
    pub fn set_broken(&self, broken: bool) {
        self.inner.state.lock().broken = broken;
    }
}

impl State {
    fn insert_durable(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.files.push(Content {
            durable: bytes.clone(),
            bytes,
            pending: Vec::new(),
        });
        self.names.insert(path.clone(), self.files.len() - 1);
        self.durable_names.insert(path, self.files.len() - 1);
    }

    fn check(&self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the disk is broken"));
        }
        Ok(())
    }
}

struct CrashFile {
    inner: Arc<Inner>,
    path: PathBuf,
    file: usize,
}

impl File for CrashFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.inner.state.lock();
        let bytes = state.files[self.file].bytes.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        state.check()?;
        state.files[self.file].change(Change::Write(offset as usize, bytes.to_vec()));
        self.inner.changed.notify_all();
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        state.waiting.push(self.path.clone());
        self.inner.changed.notify_all();
        while state.held {
            self.inner.changed.wait(&mut state);
        }
        state.waiting.retain(|waiting| *waiting != self.path);
        state.check()?;
        *state.syncs.entry(self.path.clone()).or_default() += 1;
        state.files[self.file].sync();
        self.inner.changed.notify_all();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        state.check()?;
        state.files[self.file].change(Change::Length(bytes as usize));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.state.lock().files[self.file].bytes.len() as u64)
    }
}

struct NoLock;

impl FileLock for NoLock {}

impl Disk for CrashDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let state = self.inner.state.lock();
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(CrashFile {
            inner: self.inner.clone(),
            path: path.to_owned(),
            file,
        }))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.inner.state.lock();
        state.check()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.push(Content::default());
        let file = state.files.len() - 1;
        state.names.insert(path.to_owned(), file);
        Ok(Box::new(CrashFile {
            inner: self.inner.clone(),
            path: path.to_owned(),
            file,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        state.directories.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        state
            .names
            .remove(path)
            .map(|_| ())
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        state.names.retain(|name, _| !name.starts_with(path));
        // Simpler than life: no file without a directory comes back.
        state.durable_names.retain(|name, _| !name.starts_with(path));
        state.directories.retain(|name| !name.starts_with(path));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.inner.state.lock();
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
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.inner.state.lock();
        Ok(state.names.contains_key(path) || state.directories.contains(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.inner.state.lock();
        state.check()?;
        let state = &mut *state;
        state.durable_names.retain(|name, _| name.parent() != Some(path));
        let within = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
        state
            .durable_names
            .extend(within.map(|(name, file)| (name.clone(), *file)));
        self.inner.changed.notify_all();
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn FileLock>> {
        Ok(Box::new(NoLock))
    }
}
