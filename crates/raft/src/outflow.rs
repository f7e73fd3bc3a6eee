//! What goes out part by part to someone who may be slow. A few parts are held ready; whoever takes none for too long is given up,
//! so that what they are made from, and the turn, are not held for ever.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::store::within;

/// For the next part to be taken. A slow link takes one well within it.
pub(crate) const STALLED: Duration = Duration::from_secs(60);

/// The sending end.
pub(crate) struct Outflow<T, E> {
    to: mpsc::Sender<Result<T, E>>,
    /// Room for the error at the end, however full the rest is.
    last: Option<mpsc::OwnedPermit<Result<T, E>>>,
    limit: Duration,
}

/// Why a part was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ended {
    #[error("whoever asked for it is gone")]
    Gone,
    #[error("whoever asked for it took nothing of it for {} s", .0.as_secs())]
    Stalled(Duration),
}

impl<T, E> Outflow<T, E> {
    /// Holds so many parts ready, and each of them has to be taken within the limit.
    pub(crate) fn new(ahead: usize, limit: Duration) -> (Self, mpsc::Receiver<Result<T, E>>) {
        let (to, parts) = mpsc::channel(ahead.saturating_add(1));
        let last = to.clone().try_reserve_owned().ok();
        (Self { to, last, limit }, parts)
    }

    /// Sends a part once there is room for it.
    ///
    /// # Errors
    /// Nobody is there, or nobody took anything for too long.
    pub(crate) async fn send(&self, part: T) -> Result<(), Ended> {
        let sent = within(self.limit, self.to.send(Ok(part))).await.ok_or(Ended::Stalled(self.limit))?;
        sent.map_err(|_| Ended::Gone)
    }

    /// Waits until nobody is there to take anything.
    pub(crate) async fn closed(&self) {
        self.to.closed().await;
    }

    /// Ends it with an error, which waits for nobody.
    pub(crate) fn fail(self, error: E) {
        if let Some(last) = self.last {
            last.send(Err(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_told_so_when_it_comes_back() {
        let (outflow, mut parts) = Outflow::<u32, Ended>::new(2, Duration::from_millis(20));
        outflow.send(1).await.unwrap();
        outflow.send(2).await.unwrap();
        let ended = outflow.send(3).await.unwrap_err();
        assert!(matches!(ended, Ended::Stalled(_)));
        outflow.fail(ended);
        assert_eq!((parts.recv().await, parts.recv().await), (Some(Ok(1)), Some(Ok(2))));
        assert_eq!(parts.recv().await, Some(Err(ended)), "the end is not taken for a whole");
        assert_eq!(parts.recv().await, None);
    }

    #[tokio::test]
    async fn who_is_gone_is_noticed() {
        let (outflow, parts) = Outflow::<u32, Ended>::new(2, STALLED);
        drop(parts);
        outflow.closed().await;
        assert_eq!(outflow.send(1).await, Err(Ended::Gone));
    }
}
