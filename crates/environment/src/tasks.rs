use std::future::Future;
use std::pin::Pin;

/// A future on the heap that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Concurrency. A task runs to its end unless the process (or, in simulation, the node) ends first; whoever wants to
/// stop one gives it a channel that says so.
pub trait Tasks: Send + Sync {
    /// Runs a future that never blocks its thread.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>);
    /// Runs a future that may block (disk, a compiler, an application): it gets a thread of its own.
    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>);
}

impl crate::Environment {
    /// [`Tasks::spawn`] without the box.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(name, Box::pin(future));
    }

    /// [`Tasks::spawn_worker`] without the box.
    pub fn spawn_worker(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_worker(name, Box::pin(future));
    }
}
