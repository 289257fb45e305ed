//! The environment's channels under the Raft crate's traits.

use environment::channel::{Mutex as Held, MutexGuard, mpsc, oneshot};
use openraft::OptionalSend;
use openraft::async_runtime::{mpsc as channel, mutex, oneshot as once};

/// Many senders, one receiver, a bounded queue.
pub struct Mpsc;

/// Its sender.
pub struct Sender<T>(mpsc::Sender<T>);

/// A sender that does not keep the channel open.
pub struct WeakSender<T>(mpsc::WeakSender<T>);

/// Its receiver.
pub struct Receiver<T>(mpsc::Receiver<T>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        WeakSender(self.0.clone())
    }
}

impl channel::Mpsc for Mpsc {
    type Sender<T: OptionalSend> = Sender<T>;
    type Receiver<T: OptionalSend> = Receiver<T>;
    type WeakSender<T: OptionalSend> = WeakSender<T>;

    fn channel<T: OptionalSend>(buffer: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel(buffer);
        (Sender(sender), Receiver(receiver))
    }
}

impl<T: OptionalSend> channel::MpscSender<Mpsc, T> for Sender<T> {
    async fn send(&self, message: T) -> Result<(), channel::SendError<T>> {
        self.0
            .send(message)
            .await
            .map_err(|refused| channel::SendError(refused.0))
    }

    fn downgrade(&self) -> WeakSender<T> {
        WeakSender(self.0.downgrade())
    }
}

impl<T: OptionalSend> channel::MpscWeakSender<Mpsc, T> for WeakSender<T> {
    fn upgrade(&self) -> Option<Sender<T>> {
        self.0.upgrade().map(Sender)
    }
}

impl<T: OptionalSend> channel::MpscReceiver<T> for Receiver<T> {
    async fn recv(&mut self) -> Option<T> {
        self.0.recv().await
    }

    fn try_recv(&mut self) -> Result<T, channel::TryRecvError> {
        self.0.try_recv().map_err(|error| match error {
            mpsc::error::TryRecvError::Empty => channel::TryRecvError::Empty,
            mpsc::error::TryRecvError::Disconnected => channel::TryRecvError::Disconnected,
        })
    }
}

/// One message.
pub struct Oneshot;

/// Its sender.
pub struct OnceSender<T>(oneshot::Sender<T>);

impl once::Oneshot for Oneshot {
    type Sender<T: OptionalSend> = OnceSender<T>;
    type Receiver<T: OptionalSend> = oneshot::Receiver<T>;
    type ReceiverError = oneshot::error::RecvError;

    fn channel<T: OptionalSend>() -> (OnceSender<T>, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (OnceSender(sender), receiver)
    }
}

impl<T: OptionalSend> once::OneshotSender<T> for OnceSender<T> {
    fn send(self, message: T) -> Result<(), T> {
        self.0.send(message)
    }
}

/// A lock that is held while waiting for something else.
pub struct Mutex<T>(Held<T>);

impl<T: OptionalSend + 'static> mutex::Mutex<T> for Mutex<T> {
    type Guard<'a> = MutexGuard<'a, T>;

    fn new(value: T) -> Self {
        Mutex(Held::new(value))
    }

    async fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().await
    }
}
