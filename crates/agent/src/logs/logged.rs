//! A runtime whose containers' output is kept: the same as the one within, and beside it the log driver `awslogs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use trireme_types::capability::pooled_region;

use super::driver::{AWSLOGS, Target, target};
use super::follow::Followers;
use crate::runtime::inside::{BoxStream, Denied, Line, Lines, Member, NewCommand, Running};
use crate::runtime::{
    About, BoxFuture, Event, Exit, Failure, FailureKind, Found, Image, ImageName, Inspection, NewContainer,
    NewSandbox, OutputLine, Over, Owner, Readings, Runtime, Started,
};

/// The runtime within, and who follows its containers.
pub struct Logged {
    /// What runs containers.
    pub inner: Arc<dyn Runtime>,
    /// Who reads what they say.
    pub followers: Arc<Followers>,
    /// The region of log groups that name none.
    pub region: String,
    /// Whether lines leave the node: then containers that name no log group are followed too.
    pub ships: bool,
    /// Whether the machine is of the managed pool: then what each account's tasks say is kept under a name of its own.
    pub managed: bool,
}

impl Logged {
    /// Where the output of a task's container goes.
    fn target(&self, new: &NewContainer, id: &str) -> Result<Option<Target>, String> {
        let home = || {
            let mut parts = new.task.task_arn.split(':').skip(3);
            parts.next().zip(parts.next())
        };
        let Some((region, account)) = self.managed.then(home).flatten() else {
            return target(&new.task, new.definition(), id, &self.region, self.ships);
        };
        let found = target(&new.task, new.definition(), id, region, self.ships)?;
        Ok(found.map(|mut found| {
            if !found.stream.region.is_empty() {
                found.stream.region = pooled_region(account, &found.stream.region);
            }
            found
        }))
    }
}

impl Runtime for Logged {
    fn about(&self) -> BoxFuture<'_, Result<About, Failure>> {
        Box::pin(async {
            let mut about = self.inner.about().await?;
            about.log_drivers.push(AWSLOGS.to_owned());
            Ok(about)
        })
    }

    fn list<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Vec<Found>, Failure>> {
        self.inner.list(owner)
    }

    fn pull<'a>(&'a self, reference: &'a ImageName) -> BoxFuture<'a, Result<Image, Failure>> {
        self.inner.pull(reference)
    }

    fn open(&self, new: NewSandbox) -> BoxFuture<'_, Result<String, Failure>> {
        self.inner.open(new)
    }

    fn create(&self, new: NewContainer) -> BoxFuture<'_, Result<String, Failure>> {
        Box::pin(async move {
            let cannot = |reason: String| Failure::new(FailureKind::CannotCreate, reason);
            let to = |id: &str| self.target(&new, id).map_err(cannot);
            to("")?;
            let id = self.inner.create(new.clone()).await?;
            if let Some(target) = to(&id)?
                && let Err(error) = self.followers.plan(&id, &target)
            {
                // The container runs all the same: a full disk stops no task.
                tracing::error!(id, %error, "a container's log will not be kept");
            }
            Ok(id)
        })
    }

    fn start<'a>(&'a self, id: &'a str, published: bool) -> BoxFuture<'a, Result<Started, Failure>> {
        Box::pin(async move {
            let started = self.inner.start(id, published).await?;
            self.followers.begin(id);
            Ok(started)
        })
    }

    /// What it says in its next run follows what it said before.
    fn restart<'a>(&'a self, id: &'a str, published: bool) -> BoxFuture<'a, Result<Started, Failure>> {
        Box::pin(async move {
            let started = self.inner.restart(id, published).await?;
            self.followers.begin(id);
            Ok(started)
        })
    }

    fn stop<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, Result<Exit, Failure>> {
        self.inner.stop(id, patience)
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.followers.finish(id).await;
            self.inner.remove(id).await
        })
    }

    fn release<'a>(&'a self, owner: &'a Owner, over: &'a Over) -> BoxFuture<'a, Result<(), Failure>> {
        self.inner.release(owner, over)
    }

    fn look<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Inspection, Failure>> {
        self.inner.look(id)
    }

    fn stats<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<serde_json::Value, Failure>> {
        self.inner.stats(id)
    }

    fn usage<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<Readings, Failure>> {
        self.inner.usage(owner)
    }

    fn watch<'a>(&'a self, owner: &'a Owner, events: mpsc::Sender<Event>) -> BoxFuture<'a, ()> {
        self.inner.watch(owner, events)
    }

    fn execute<'a>(
        &'a self,
        member: &'a Member,
        new: &'a NewCommand,
    ) -> BoxFuture<'a, Result<Running, Denied>> {
        self.inner.execute(member, new)
    }

    fn lines<'a>(
        &'a self,
        member: &'a Member,
        lines: Lines,
    ) -> BoxFuture<'a, Result<BoxStream<Result<Line, Denied>>, Denied>> {
        self.inner.lines(member, lines)
    }

    fn output<'a>(
        &'a self,
        id: &'a str,
        since: u64,
        follow: bool,
        lines: mpsc::Sender<OutputLine>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        self.inner.output(id, since, follow, lines)
    }
}
