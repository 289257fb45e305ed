//! The worker that makes segments ready ahead of time, lets the system forget full ones, and removes those that are no
//! longer needed, so that none of it is ever part of a commit.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use environment::channel::mpsc;
use environment::{Disk, Environment, File};

use super::segment;
use crate::limits::LOG_PREPARE_STEP_BYTES;

/// A file of zeros that the next segment will be written to.
pub(super) struct Prepared {
    pub sequence: u64,
    pub path: PathBuf,
    pub file: Arc<dyn File>,
}

enum Task {
    Prepare(u64),
    Forget(Arc<dyn File>),
    Remove(Vec<PathBuf>),
}

/// The worker's other end. Dropping it ends the worker.
pub(super) struct Files {
    tasks: mpsc::UnboundedSender<Task>,
    prepared: mpsc::UnboundedReceiver<io::Result<Prepared>>,
}

impl Files {
    pub(super) fn start(environment: &Environment, directory: PathBuf, segment_bytes: u32) -> Files {
        // Bounded by their use: at most one segment is asked for ahead, and removals are as many as purges.
        let (tasks, mut queue) = mpsc::unbounded_channel();
        let (finished, prepared) = mpsc::unbounded_channel();
        let disk = environment.disk.clone();
        environment.spawn_worker("log-files", async move {
            while let Some(task) = queue.recv().await {
                match task {
                    Task::Prepare(sequence) => {
                        let result = prepare(&*disk, &directory, sequence, segment_bytes);
                        // Nobody waits any more: the log is shutting down.
                        let _ = finished.send(result);
                    }
                    Task::Forget(file) => file.forget_copy(),
                    Task::Remove(paths) => remove(&*disk, &directory, &paths),
                }
            }
        });
        Files { tasks, prepared }
    }

    /// Asks for the segment of that number.
    pub(super) fn prepare(&self, sequence: u64) {
        // If the worker has ended, the next call of `prepared` says so.
        let _ = self.tasks.send(Task::Prepare(sequence));
    }

    /// Lets the system forget its copy of a segment that is full: the newest records are in the log's own memory, and the
    /// next segment to be made takes the place of the copy. Memory that nobody had before is dear on a virtual machine.
    pub(super) fn forget(&self, file: Arc<dyn File>) {
        // A hint: nothing is lost when the worker has ended.
        let _ = self.tasks.send(Task::Forget(file));
    }

    /// Removes files, at some time.
    pub(super) fn remove(&self, paths: Vec<PathBuf>) {
        if !paths.is_empty() {
            // What is not removed now will be when the log is opened next.
            let _ = self.tasks.send(Task::Remove(paths));
        }
    }

    /// The segment asked for first.
    pub(super) async fn prepared(&mut self) -> io::Result<Prepared> {
        match self.prepared.recv().await {
            Some(result) => result,
            None => Err(io::Error::other("the worker that prepares segments has ended")),
        }
    }

    /// Ends the worker once it has done what it was asked.
    pub(super) async fn finish(mut self) {
        drop(self.tasks);
        while self.prepared.recv().await.is_some() {}
    }
}

fn prepare(disk: &dyn Disk, directory: &Path, sequence: u64, segment_bytes: u32) -> io::Result<Prepared> {
    let path = segment::path(directory, sequence);
    let file = disk.create_new(&path)?;
    let zeros = vec![0; LOG_PREPARE_STEP_BYTES.min(segment_bytes as usize)];
    let mut at = 0;
    while at < u64::from(segment_bytes) {
        let step = zeros.len().min((u64::from(segment_bytes) - at) as usize);
        file.write_all_at(&zeros[..step], at)?;
        // Step by step: one large sync would make the commits that happen meanwhile wait behind it.
        file.sync_data()?;
        at += step as u64;
    }
    disk.sync_dir(directory)?;
    Ok(Prepared {
        sequence,
        path,
        file: Arc::from(file),
    })
}

/// Oldest first. A failure is no reason to stop: what is left is removed when the log is opened next.
pub(super) fn remove(disk: &dyn Disk, directory: &Path, paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = disk.remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "a purged segment of the log could not be removed");
        }
    }
    if let Err(error) = disk.sync_dir(directory) {
        tracing::warn!(path = %directory.display(), %error, "the removal of purged segments could not be synced");
    }
}
