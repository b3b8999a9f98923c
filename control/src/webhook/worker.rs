//! Works on the queue, for as long as it runs. Any number of them may, in any number of processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::queue::{self, Claimed, JobKind};
use super::{attempt, content, inbox, process, refresh};
use crate::domain::{DomainError, Fault};
use crate::service::Control;
use crate::store::Access;

/// How often the queue is looked at without being woken up: jobs of another process, and what was
/// put off.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PURGE_EVERY: Duration = Duration::from_secs(3600);
const EVENTS_AT_ONCE: usize = 64;
const DELIVERIES_AT_ONCE: usize = 64;
/// Each of them may take as long as a provider needs: within a claim, all of them must be done.
const REFRESHES_AT_ONCE: usize = 1;

/// Works on what is due. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker {
    control: Control,
}

impl Worker {
    pub fn new(control: Control) -> Self {
        Self { control }
    }

    /// Works until the task that runs this is dropped.
    pub async fn run(self) {
        tokio::join!(self.all_events(), self.all_deliveries(), self.all_refreshes(), self.purges());
    }

    /// Works out what follows from events that are due. How many.
    pub async fn events(&self) -> Result<usize, DomainError> {
        let now_ms = self.control.clock.now_ms();
        let store = &self.control.store;
        let claimed = queue::claim(store, JobKind::Event, (now_ms, EVENTS_AT_ONCE)).await?;
        let count = claimed.len();
        let mut plain = Vec::new();
        for job in claimed {
            match process::outcome(&self.control, &job).await {
                Ok(Some(outcome)) if outcome.changes_connection() => {
                    let finished = process::finish(&self.control, (&job, &outcome)).await;
                    self.put_off(&job, finished.map(drop)).await?;
                }
                Ok(Some(outcome)) => plain.push((job, outcome)),
                Ok(None) => self.give_up(&job, "content_purged").await?,
                Err(error) => self.put_off(&job, Err(error)).await?,
            }
        }
        // One that fails must not hold up the others: then each goes by itself.
        if process::finish_many(&self.control, &plain).await.is_err() {
            for (job, outcome) in &plain {
                let finished = process::finish(&self.control, (job, outcome)).await;
                self.put_off(job, finished.map(drop)).await?;
            }
        }
        if count > 0 {
            self.control.webhooks.wake();
        }
        Ok(count)
    }

    /// Makes the deliveries that are due, side by side. How many.
    pub async fn deliveries(&self) -> Result<usize, DomainError> {
        let now_ms = self.control.clock.now_ms();
        let most = (now_ms, DELIVERIES_AT_ONCE);
        let claimed = queue::claim(&self.control.store, JobKind::Delivery, most).await?;
        let count = claimed.len();
        let mut under_way = JoinSet::new();
        for job in claimed {
            let worker = self.clone();
            under_way.spawn(async move { worker.deliver(&job).await });
        }
        while under_way.join_next().await.is_some() {}
        Ok(count)
    }

    async fn deliver(&self, job: &Claimed) {
        let delivered = async {
            let prepared = attempt::prepare(&self.control, job).await?;
            let sent = attempt::send(&self.control, &prepared).await;
            attempt::finish(&self.control, (job, &prepared), sent).await.map(drop)
        };
        if let Err(error) = self.put_off(job, delivered.await).await {
            // Its lease runs out, and somebody claims it again.
            tracing::warn!(code = error.code, "a delivery could not be put off");
        }
    }

    /// Asks for resources anew where that is due, one after the other. How many.
    pub async fn refreshes(&self) -> Result<usize, DomainError> {
        let now_ms = self.control.clock.now_ms();
        let most = (now_ms, REFRESHES_AT_ONCE);
        let claimed = queue::claim(&self.control.store, JobKind::Refresh, most).await?;
        let count = claimed.len();
        for job in claimed {
            let refreshed = refresh::work(&self.control, &job).await;
            self.put_off(&job, refreshed).await?;
        }
        Ok(count)
    }

    /// Puts a job off that failed because of us.
    async fn put_off(
        &self,
        job: &Claimed,
        outcome: Result<(), DomainError>,
    ) -> Result<(), DomainError> {
        let Err(error) = outcome else { return Ok(()) };
        tracing::error!(code = error.code, subject = job.subject, "a job of webhooks failed");
        // While the database is away nothing can be written, and nothing has to be.
        if error.fault == Fault::Unavailable {
            return Ok(());
        }
        let now_ms = self.control.clock.now_ms();
        let mut transaction = self.control.store.begin(Access::Locking).await?;
        queue::failed(&mut *transaction, job, (error.code, 0, now_ms)).await?;
        Ok(transaction.commit().await?)
    }

    async fn give_up(&self, job: &Claimed, why: &str) -> Result<(), DomainError> {
        let mut transaction = self.control.store.begin(Access::Locking).await?;
        queue::give_up(&mut *transaction, job, why).await?;
        Ok(transaction.commit().await?)
    }

    async fn all_events(&self) {
        loop {
            let worked = self.events().await;
            self.pause(worked, &self.control.webhooks.events_wake).await;
        }
    }

    /// Claims as many as there is room for, and does not wait for slow ones to claim more.
    async fn all_deliveries(&self) {
        let room = Arc::new(Semaphore::new(DELIVERIES_AT_ONCE));
        let mut under_way = JoinSet::new();
        loop {
            while under_way.try_join_next().is_some() {}
            let now_ms = self.control.clock.now_ms();
            let most = (now_ms, room.available_permits());
            let claimed = queue::claim(&self.control.store, JobKind::Delivery, most).await;
            let worked = claimed.map(|jobs| {
                let count = jobs.len();
                for job in jobs {
                    // No more were claimed than there are permits, and only this loop takes any.
                    let permit = Arc::clone(&room).try_acquire_owned();
                    let worker = self.clone();
                    under_way.spawn(async move {
                        worker.deliver(&job).await;
                        drop(permit);
                        worker.control.webhooks.deliveries_wake.notify_one();
                    });
                }
                count
            });
            self.pause(worked, &self.control.webhooks.deliveries_wake).await;
        }
    }

    async fn all_refreshes(&self) {
        loop {
            let worked = self.refreshes().await;
            self.pause(worked, &self.control.webhooks.refreshes_wake).await;
        }
    }

    /// Until there may be something to do.
    async fn pause(&self, worked: Result<usize, DomainError>, wake: &tokio::sync::Notify) {
        match worked {
            Ok(0) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(code = error.code, "the queue of webhooks cannot be worked on");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        let _ = tokio::time::timeout(LOOK_EVERY, wake.notified()).await;
    }

    async fn purges(&self) {
        loop {
            match content::purge(&self.control.store, self.control.clock.now_ms()).await {
                Ok(0) => {}
                Ok(purged) => tracing::info!(purged, "old contents of webhooks were deleted"),
                Err(error) => tracing::warn!(code = error.code, "old contents were not deleted"),
            }
            let purged = inbox::purge(&self.control.store, self.control.clock.now_ms()).await;
            if let Err(error) = purged {
                tracing::warn!(code = error.code, "what waited for sandboxes was not deleted");
            }
            tokio::time::sleep(PURGE_EVERY).await;
        }
    }
}
