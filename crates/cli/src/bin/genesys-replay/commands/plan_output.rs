//! The arguments that name the place of a new plan.

use std::path::{Path, PathBuf};

use genesys_replay_cli::operator::plan::Plan;
use genesys_replay_cli::operator::plans::store_plan;
use genesys_replay_cli::plan_store::s3::S3PlanStore;
use genesys_replay_cli::plan_store::{PLANS, PlanStore};

use crate::context::Context;
use crate::exit::UserError;
use crate::files;
use crate::files::Replaceable;
use crate::plan_place::{PlanPlace, SharedPlan, plan_store, plans_error};

/// The place of a new plan.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct PlanOutputArgs {
    /// The file to write. Without this option, the plan is shared in the bucket of the archive.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Write a file in this folder; the default if the function has no archive.
    #[arg(long)]
    local: bool,
    /// Share the plan in the bucket of the archive; the default if the function has one.
    #[arg(long)]
    shared: bool,
}

/// The place of a new plan.
pub(super) enum PlanOutput {
    File(PathBuf),
    Shared(S3PlanStore),
}

impl PlanOutputArgs {
    /// Returns the place, and `file` if the plan is written to this folder.
    pub(super) async fn place(&self, context: &Context, file: &str) -> anyhow::Result<PlanOutput> {
        let has_archive = || async { anyhow::Ok(context.settings().await?.archive.is_some()) };
        let path = match &self.out {
            Some(path) => path.clone(),
            None if self.shared || (!self.local && has_archive().await?) => {
                return Ok(PlanOutput::Shared(plan_store(context).await?));
            }
            None => PathBuf::from(file),
        };
        PlanOutput::file(&path)
    }

    /// Returns true if an option names the place.
    pub(super) const fn is_given(&self) -> bool {
        self.out.is_some() || self.local || self.shared
    }
}

impl PlanOutput {
    /// Returns a new file.
    pub(super) fn file(path: &Path) -> anyhow::Result<Self> {
        if path.exists() {
            Err(UserError::new(
                format!("{} already exists", path.display()),
                "name another file (--out), or delete it: a plan is never overwritten",
            ))?;
        }
        Ok(Self::File(path.to_owned()))
    }

    /// Writes the plan.
    pub(super) async fn write(&self, plan: &Plan) -> anyhow::Result<()> {
        match self {
            Self::File(path) => {
                files::write_whole(path, Replaceable::Nothing, plan.write()?.as_bytes())
            }
            Self::Shared(store) => store_plan(store, plan).await.map_err(plans_error),
        }
    }

    /// Returns the place of the plan, for people.
    pub(super) fn shown(&self, plan: &Plan) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Shared(store) => store.address(&format!("{PLANS}{}/", plan.id)),
        }
    }

    /// Returns the place of the written plan.
    pub(super) fn written(self, plan: &Plan) -> PlanPlace {
        match self {
            Self::File(path) => PlanPlace::File(path),
            Self::Shared(store) => PlanPlace::Shared(SharedPlan { store, id: plan.id.clone() }),
        }
    }
}
