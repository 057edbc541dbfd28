//! Checks the target of deliveries.

use genesys_replay::aws::AwsErrorKind;
use genesys_replay::destination::{AllowedTargets, Destination, ReplayTarget};

use super::{Check, Known, Look, answer};
use crate::deployment::{Deployment, TargetFault};

const TARGET: &str = "target";

pub(super) async fn look(known: Option<&Known>, deployment: &impl Deployment) -> Look {
    let Some(Known { target, .. }) = known else {
        let why = "the settings cannot be used";
        return (
            vec![Check::skipped(TARGET, why, "repair the settings first")],
            Vec::new(),
        );
    };
    let destination = match target {
        ReplayTarget::Original(allowed) => return (vec![original(allowed)], Vec::new()),
        ReplayTarget::Fixed(Destination::None) => {
            let found = "REPLAY_TARGET=none: interactions are marked, nothing is delivered";
            return (vec![Check::ok(TARGET, found)], Vec::new());
        }
        ReplayTarget::Fixed(destination) => destination,
    };
    match deployment.target(destination).await {
        Ok(()) => {
            let found = format!("{destination} is there");
            let is_foreign = matches!(destination, Destination::Http(_));
            let answers = (!is_foreign).then_some(Ok(())).into_iter().collect();
            (vec![Check::ok(TARGET, found)], answers)
        }
        Err(TargetFault::Aws(error)) => {
            let check = if error.kind == AwsErrorKind::NotFound {
                Check::error(
                    TARGET,
                    format!("{destination} is not there"),
                    "check REPLAY_TARGET: every event would come back, and be archived in the end",
                )
            } else {
                Check::unasked(TARGET, &error)
            };
            (vec![check], vec![answer::<()>(&Err(error))])
        }
        Err(fault @ TargetFault::NoRule { .. }) => {
            let remedy = "acceptance by a bus proves nothing: create or enable a rule with \"source\": [\"genesys-replay\"]";
            let check = Check::warning(TARGET, fault.to_string(), remedy);
            (vec![check], vec![Ok(())])
        }
        Err(fault @ TargetFault::Unreached { .. }) => {
            let remedy =
                "check REPLAY_TARGET; from the function's own network it may look different";
            (
                vec![Check::warning(
                    TARGET,
                    format!("{fault}, from here"),
                    remedy,
                )],
                Vec::new(),
            )
        }
    }
}

fn original(allowed: &AllowedTargets) -> Check {
    match allowed {
        AllowedTargets::Any => Check::warning(
            TARGET,
            "REPLAY_TARGET=original without ALLOWED_TARGETS: who can put messages on the queue chooses what is called",
            "set ALLOWED_TARGETS to the targets of your rules, such as arn:aws:lambda:*:*:function:crm-*",
        ),
        AllowedTargets::Only(_) => Check::ok(
            TARGET,
            format!("each event's own, if ALLOWED_TARGETS covers it: {allowed}"),
        ),
    }
}
