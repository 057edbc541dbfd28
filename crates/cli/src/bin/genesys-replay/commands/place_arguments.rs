//! The arguments that name the place of dead letters, for the commands that write a plan.

use clap::ValueEnum;
use genesys_replay::queue::Redrive;
use genesys_replay_cli::app;
use genesys_replay_cli::archive::DISCARDED;
use genesys_replay_cli::ledger::dynamodb::DynamoDbReader;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::plan::{PlanBuilder, PlanSource};
use genesys_replay_cli::operator::queue_reading::QueueReading;
use genesys_replay_cli::queue::QueueReader;
use genesys_replay_cli::queue::sqs::SqsReader;
use genesys_replay_settings::ArchiveSettings;

use super::queue_receives;
use crate::context::Context;
use crate::exit::UserError;

/// The place of the dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArgs {
    /// The source: the archive, the queue that the function drains, its parking queue, or the events that the ledger has as
    /// rejected (read from the archive).
    #[arg(long, value_name = "PLACE", default_value = "archive")]
    from: SourceArg,
    /// Read only objects whose keys begin with this; the default is the function's archive prefix.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Stop after about this many messages of a queue.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Read the queue although messages reach their last receive.
    #[arg(long)]
    force: bool,
}

/// The places of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceArg {
    Archive,
    Queue,
    Parking,
    Ledger,
}

impl PlaceArgs {
    pub(super) fn is_forced(&self) -> bool {
        self.force
    }

    pub(super) fn is_ledger(&self) -> bool {
        self.from == SourceArg::Ledger
    }

    /// Refuses options that have no effect on the source, because an operator expects one.
    fn check(&self) -> Result<(), UserError> {
        let is_queue = match self.from {
            SourceArg::Queue | SourceArg::Parking => true,
            SourceArg::Archive | SourceArg::Ledger => false,
        };
        let refused = if is_queue {
            self.prefix.is_some().then_some("--prefix is for the archive")
        } else {
            (self.limit.is_some() || self.force)
                .then_some("--limit and --force are for a queue: --from queue, --from parking")
        };
        if let Some(what) = refused {
            return Err(UserError::new(what, "omit the option, or name another source: --from"));
        }
        match &self.prefix {
            Some(prefix) if prefix.starts_with(DISCARDED) => Err(UserError::new(
                format!("--prefix {prefix} is in the folder of discarded events"),
                "discarded events are returned to the archive first: genesys-replay restore",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Offers the dead letters of the source to a plan.
    pub(super) async fn collect(
        &self,
        context: &Context,
        builder: &mut PlanBuilder<'_, DynamoDbReader>,
        queue: &SqsReader,
        archive: Option<ArchiveSettings>,
    ) -> anyhow::Result<PlanSource> {
        self.check()?;
        match self.from {
            SourceArg::Queue => self.collect_from_queue(context, builder, queue, None).await,
            SourceArg::Parking => {
                let parking = parking_queue(context, queue).await?;
                self.collect_from_queue(context, builder, queue, Some(&parking)).await
            }
            SourceArg::Archive | SourceArg::Ledger => {
                self.collect_from_archive(context, builder, archive).await
            }
        }
    }

    async fn collect_from_archive(
        &self,
        context: &Context,
        builder: &mut PlanBuilder<'_, DynamoDbReader>,
        archive: Option<ArchiveSettings>,
    ) -> anyhow::Result<PlanSource> {
        let ArchiveSettings { bucket, prefix, .. } = archive.ok_or_else(|| {
            UserError::new(
                "the function has no archive",
                "set ARCHIVE_BUCKET, or use the parking queue: --from parking",
            )
        })?;
        let prefix = self.prefix.clone().unwrap_or(prefix);
        if self.from == SourceArg::Ledger {
            builder.only_from_ledger(&context.progress).await?;
        }
        let reader = app::archive(context.aws().await?, &bucket);
        builder.collect_from_archive(&reader, &prefix, &context.progress).await?;
        Ok(PlanSource::Archive { bucket, prefix })
    }

    /// Collects the messages of the queue, or of its parking queue.
    async fn collect_from_queue(
        &self,
        context: &Context,
        builder: &mut PlanBuilder<'_, DynamoDbReader>,
        queue: &SqsReader,
        parking: Option<&SqsReader>,
    ) -> anyhow::Result<PlanSource> {
        let read = parking.unwrap_or(queue);
        let facts = read.facts().await?;
        if facts.fifo {
            context.progress.warn(
                "the queue is FIFO: the plan can contain only the first messages of each group, and their copies follow the other messages of the group",
            );
        }
        let elsewhere = facts.in_flight + facts.delayed;
        if elsewhere > 0 {
            context.progress.warn(&format!(
                "messages that wait for their next attempt or are in flight, and cannot be received now: about {elsewhere}"
            ));
        }
        let redrive = facts.redrive.clone().filter(|_| parking.is_none());
        let parked = self.parked(context, redrive.as_ref()).await?;
        let progress = &context.progress;
        let reading = QueueReading::new(read, &facts, self.force, progress)
            .map_err(|refusal| queue_receives::refused(&refusal))?;
        let part = context.interrupts.while_reading();
        let stop = part.stop().cancelled();
        let collected = builder.collect_from_queue(&reading, self.limit, stop, progress).await;
        queue_receives::report(&reading);
        collected.map_err(queue_receives::not_completed)?;
        if let (Some(before), Some(after)) = (parked, self.parked(context, redrive.as_ref()).await?)
            && after > before
        {
            let count = after - before;
            context.progress.warn(&format!(
                "about {count} messages had no receive left and are in the parking queue now: plan --from parking"
            ));
        }
        let queue_arn = facts.arn;
        Ok(match parking {
            Some(_) => PlanSource::Parking { queue_arn },
            None => PlanSource::Queue { queue_arn },
        })
    }

    /// Returns the approximate number of messages in the parking queue, if reading the queue may add some.
    async fn parked(
        &self,
        context: &Context,
        redrive: Option<&Redrive>,
    ) -> anyhow::Result<Option<u64>> {
        let Some(redrive) = redrive.filter(|_| self.force) else {
            return Ok(None);
        };
        let parking = app::reader(context.aws().await?, &redrive.parking_arn).await?;
        Ok(Some(parking.facts().await?.depth()))
    }
}

/// Returns the parking queue of a queue.
async fn parking_queue(context: &Context, queue: &SqsReader) -> anyhow::Result<SqsReader> {
    let facts = queue.facts().await?;
    let redrive = facts.redrive.ok_or_else(|| {
        UserError::new(
            format!("the queue {} has no parking queue", facts.arn),
            "give the queue a redrive policy, as in template.yaml",
        )
    })?;
    Ok(app::reader(context.aws().await?, &redrive.parking_arn).await?)
}
