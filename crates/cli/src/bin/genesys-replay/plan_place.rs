//! The place of a plan: a file, or the bucket of the archive.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use genesys_replay_cli::app;
use genesys_replay_cli::operator::Progress;
use genesys_replay_cli::operator::apply::{AuditEntry, FlushError, History, Journal};
use genesys_replay_cli::operator::plan::Plan;
use genesys_replay_cli::operator::plans::{
    AuditChain, AuditWriter, Catalog, PlansError, RunState, SharedJournal, audit_key, read_audit,
    read_plan,
};
use genesys_replay_cli::plan_store::s3::S3PlanStore;
use genesys_replay_cli::plan_store::{PLANS, PlanStore};

use crate::audit_file::AuditFile;
use crate::context::Context;
use crate::exit::UserError;
use crate::files;

/// A plan that a command names.
pub(crate) enum PlanPlace {
    File(PathBuf),
    Shared(SharedPlan),
}

/// A plan in the bucket.
pub(crate) struct SharedPlan {
    pub(crate) store: S3PlanStore,
    pub(crate) id: String,
}

/// The audit of a plan, wherever it is.
pub(crate) enum PlanJournal {
    File(AuditFile),
    Shared(Box<SharedJournal<S3PlanStore>>),
}

/// Returns the shared plans of the archive's bucket.
pub(crate) async fn plan_store(context: &Context) -> anyhow::Result<S3PlanStore> {
    let settings = context.settings().await?;
    let Some(archive) = settings.archive else {
        let remedy =
            "name the function (--function) or the bucket (ARCHIVE_BUCKET), or name a file";
        Err(UserError::new(
            "shared plans are in the bucket of the archive, which is not known",
            remedy,
        ))?
    };
    if archive.prefix.starts_with(PLANS) {
        let what =
            format!("the archive's prefix {} is in the folder of shared plans", archive.prefix);
        let remedy = format!("set an ARCHIVE_PREFIX that does not begin with {PLANS}");
        Err(UserError::new(what, remedy))?;
    }
    Ok(app::plan_store(context.aws().await?, &archive.bucket))
}

/// Returns the error with its remedy.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn plans_error(error: PlansError) -> anyhow::Error {
    let remedy = match &error {
        PlansError::Aws(error) => return error.clone().into(),
        PlansError::Unknown { .. } => "list the shared plans: genesys-replay plans list",
        PlansError::Ambiguous { ids, .. } => {
            let ids = ids.clone();
            let remedy = "give more of the id";
            return UserError::new(error.to_string(), remedy).with_details(ids).into();
        }
        PlansError::Foreign { .. } => {
            "remove the object; genesys-replay plans list shows the shared plans"
        }
        PlansError::Missing { .. } | PlansError::Damaged { .. } => {
            "restore the object from an older version of the bucket, or make a new plan: genesys-replay plan"
        }
        PlansError::Plan { .. } => "make a new plan: genesys-replay plan",
        PlansError::TooLong { .. } => "select fewer events, or write a file: --out FILE",
        PlansError::Taken { .. } => "run the command again",
    };
    UserError::new(error.to_string(), remedy).into()
}

impl PlanPlace {
    /// Returns the plan with this file name or id. The begin of an id is enough, if it is the begin of one id only.
    pub(crate) async fn of(context: &Context, named: &Path) -> anyhow::Result<Self> {
        let id = named.to_str().filter(|text| {
            let is_id_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            text.starts_with("plan-") && text.bytes().all(is_id_byte)
        });
        match id {
            Some(id) if std::fs::symlink_metadata(named).is_err() => {
                SharedPlan::find(context, id).await.map(Self::Shared)
            }
            Some(_) | None => Ok(Self::File(named.to_owned())),
        }
    }

    /// Returns the plan's name on the command line.
    pub(crate) fn argument(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Shared(plan) => plan.id.clone(),
        }
    }

    /// Returns the place of the audit.
    pub(crate) fn audit(&self) -> String {
        match self {
            Self::File(path) => files::audit_of(path).display().to_string(),
            Self::Shared(plan) => plan.store.address(&audit_key(&plan.id)),
        }
    }

    pub(crate) async fn read(&self) -> anyhow::Result<Plan> {
        match self {
            Self::File(path) => Plan::read(&files::read(path)?).map_err(|fault| {
                UserError::new(
                    format!("{} cannot be used: {fault}", path.display()),
                    "make a new plan: genesys-replay plan",
                )
                .into()
            }),
            Self::Shared(shared) => {
                let mut plan = read_plan(&shared.store, &shared.id).await.map_err(plans_error)?;
                if let RunState::Superseded { newer, .. } = shared.chain().await?.state {
                    plan.superseded_by = Some(newer);
                }
                Ok(plan)
            }
        }
    }

    /// Returns true if the plan was applied before.
    pub(crate) async fn was_begun(&self) -> anyhow::Result<bool> {
        match self {
            Self::File(path) => Ok(files::was_begun(path)),
            Self::Shared(plan) => Ok(plan.chain().await?.history.hash.is_some()),
        }
    }

    /// Returns the content of the audit, for a preview.
    pub(crate) async fn history(&self) -> anyhow::Result<History> {
        match self {
            Self::File(path) => {
                let audit = files::audit_of(path);
                Ok(if audit.exists() { AuditFile::open(&audit)?.1 } else { History::default() })
            }
            Self::Shared(plan) => Ok(plan.chain().await?.history),
        }
    }

    /// Returns the lines of the audit.
    pub(crate) async fn audit_text(&self) -> anyhow::Result<String> {
        match self {
            Self::File(path) => {
                let bytes = files::read(&files::audit_of(path))?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Self::Shared(plan) => Ok(plan.chain().await?.text),
        }
    }

    /// Opens the audit to write it.
    pub(crate) async fn open(
        &self,
        context: &Context,
        by: &str,
    ) -> anyhow::Result<(PlanJournal, History)> {
        match self {
            Self::File(path) => {
                let (file, history) = AuditFile::open(&files::audit_of(path))?;
                Ok((PlanJournal::File(file), history))
            }
            Self::Shared(plan) => {
                let chain = plan.chain().await?;
                plan.refuse_state(context, &chain.state, by)?;
                if !chain.unsettled_for.is_zero() {
                    context.progress.wait_for(&format!(
                        "waiting {} s, until the earlier process cannot send any more",
                        chain.unsettled_for.as_secs()
                    ));
                    tokio::time::sleep(chain.unsettled_for).await;
                }
                let history = chain.history.clone();
                Ok((PlanJournal::Shared(Box::new(plan.journal(context, &chain, by))), history))
            }
        }
    }
}

impl SharedPlan {
    /// Finds the only plan whose id begins with this text.
    pub(crate) async fn find(context: &Context, id: &str) -> anyhow::Result<Self> {
        let store = plan_store(context).await?;
        let catalog = Catalog::read(&store, id).await.map_err(plans_error)?;
        let id = catalog.only().map_err(plans_error)?.id.clone();
        Ok(Self { store, id })
    }

    /// Reads the audit as it is now.
    pub(crate) async fn chain(&self) -> anyhow::Result<AuditChain> {
        let catalog = Catalog::read(&self.store, &self.id).await.map_err(plans_error)?;
        let folder = catalog.only().map_err(plans_error)?;
        read_audit(&self.store, folder, catalog.now).await.map_err(plans_error)
    }

    pub(crate) fn journal(
        &self,
        context: &Context,
        chain: &AuditChain,
        by: &str,
    ) -> SharedJournal<S3PlanStore> {
        let writer = AuditWriter { by: by.to_owned(), host: host() };
        let (store, clock) = (self.store.clone(), Arc::clone(&context.clock));
        SharedJournal::after(chain, store, &self.id, writer, clock)
    }

    /// Refuses a plan that another operator holds, or that is not applied any more.
    fn refuse_state(&self, context: &Context, state: &RunState, by: &str) -> Result<(), UserError> {
        let id = &self.id;
        if let RunState::Aborted { by, at, reason } = state {
            let what = format!("{id} was aborted by {by} at {at}: {reason}");
            return Err(UserError::new(what, "make a new plan: genesys-replay plan"));
        }
        let Some(lease) = state.held_from(by) else {
            return Ok(());
        };
        let common = context.common_arguments();
        let take_over = format!("genesys-replay plans take-over {id}");
        let remedy = if lease.is_over {
            format!("take it over: {take_over} --yes{common}")
        } else {
            format!(
                "wait until {}, or stop that process and take it over now: {take_over} --force --yes{common}",
                lease.until
            )
        };
        let host = lease.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        let (by, since, until) = (&lease.by, lease.since, lease.until);
        let held = format!("{id} is held by {by}{host} since {since} until {until}");
        Err(UserError::new(held, remedy))
    }
}

/// Returns the name of this computer, where it is known without a call.
fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

impl PlanJournal {
    /// Removes the audit if this process created it, so that a refused plan leaves no audit.
    pub(crate) fn discard_if_new(self) {
        match self {
            Self::File(file) => file.discard_if_new(),
            // Nothing was written yet.
            Self::Shared(_) => {}
        }
    }
}

impl Journal for PlanJournal {
    fn write(&mut self, entry: &AuditEntry) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.write(entry),
            Self::Shared(shared) => shared.write(entry),
        }
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), FlushError>> {
        match self {
            Self::File(file) => file.flush(),
            Self::Shared(shared) => shared.flush(),
        }
    }
}
