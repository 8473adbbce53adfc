//! Asking a run to stop. Waits end at once; a write in flight is let return.

use tokio::sync::watch;

/// Asks the run to stop. Kept by whoever hears the signal.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// Tells the run that it was asked to stop.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

/// Both ends.
pub fn cancellation() -> (Canceller, Cancel) {
    let (sender, receiver) = watch::channel(false);
    (Canceller(sender), Cancel(receiver))
}

impl Canceller {
    /// Asks the run to stop. Asking twice changes nothing.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// A run that nobody stops.
    pub fn never() -> Cancel {
        cancellation().1
    }

    /// Whether it was asked.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it was asked; never when nobody can ask any more.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
