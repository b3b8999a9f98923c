//! The feed as it goes over a connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::subscription::Subscription;
use super::{Feed, Message, lines};
use crate::domain::DomainError;
use crate::service::Control;

/// How often a listener hears that somebody is there.
pub(crate) const BEAT_EVERY: Duration = Duration::from_secs(5);
/// Pieces that are on their way to a slow listener.
const PIECES_MAX: usize = 2;

/// Lines, as they come.
#[derive(Debug)]
pub struct Lines(mpsc::Receiver<Bytes>);

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}

impl Feed {
    /// Tells a proxy from now on, behind `resume`, until it goes or is revoked.
    pub async fn stream(
        &self,
        control: &Control,
        proxy: String,
        resume: Option<&str>,
    ) -> Result<Lines, DomainError> {
        let subscription = Subscription::new(control, &self.0, resume).await?;
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let feed = self.clone();
        tokio::spawn(async move {
            feed.listening().push(proxy.clone());
            tell(&proxy, subscription, &pieces).await;
            let mut listening = feed.listening();
            if let Some(at) = listening.iter().position(|listens| *listens == proxy) {
                listening.swap_remove(at);
            }
        });
        Ok(Lines(received))
    }
}

async fn tell(proxy: &str, mut subscription: Subscription, pieces: &mpsc::Sender<Bytes>) {
    let mut beat = tokio::time::interval(BEAT_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (piece, is_last) = tokio::select! {
            batch = subscription.next() => match batch {
                Some(batch) if batch.revoked.iter().any(|id| id == proxy) => {
                    (line(&Message::Revoked), true)
                }
                Some(batch) => (batch.lines.clone(), false),
                None => return,
            },
            _ = beat.tick() => (line(&Message::Beat), false),
            () = pieces.closed() => return,
        };
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

fn line(message: &Message) -> Bytes {
    // A message without content can always be written.
    lines(std::slice::from_ref(message)).unwrap_or_default().into()
}
