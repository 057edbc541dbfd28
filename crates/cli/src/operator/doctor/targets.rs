//! Checks the targets of deliveries: the one in `REPLAY_TARGET`, or each ARN in `ALLOWED_TARGETS`.

use futures_util::future::join_all;
use genesys_replay::destination::{AllowedTargets, Destination, OriginalTargets, ReplayTarget};

use super::{CallResult, Check};
use crate::deployment::TargetFault;
use crate::deployment::aws::AwsDeployment;

pub(super) const TARGET: &str = "target";

/// Checks all targets that the settings name. A pattern is not checked, because it names no target.
pub(super) async fn targets(
    target: &ReplayTarget,
    deployment: &AwsDeployment,
) -> Vec<(Check, CallResult)> {
    match target {
        ReplayTarget::Original(OriginalTargets { allowed: AllowedTargets::Any, .. }) => {
            let found = "REPLAY_TARGET=original without ALLOWED_TARGETS: anyone with write access to the queue can choose the target";
            let remedy = "set ALLOWED_TARGETS to the targets of your rules, such as arn:aws:lambda:*:*:function:crm-*";
            vec![(Check::warning(TARGET, found, remedy), None)]
        }
        ReplayTarget::Original(OriginalTargets {
            allowed: allowed @ AllowedTargets::Only(_),
            ..
        }) => {
            let found = format!(
                "the original target of each event, if ALLOWED_TARGETS covers it: {allowed}"
            );
            let mut checks = vec![(Check::ok(TARGET, found), None)];
            let named: Vec<Destination> = allowed.named().collect();
            let setting = "ALLOWED_TARGETS";
            let each = named.iter().map(|destination| one(destination, setting, deployment));
            checks.extend(join_all(each).await);
            checks
        }
        ReplayTarget::Fixed(Destination::None) => {
            let found = "REPLAY_TARGET=none: interactions are marked, nothing is delivered";
            vec![(Check::ok(TARGET, found), None)]
        }
        ReplayTarget::Fixed(destination) => {
            vec![one(destination, "REPLAY_TARGET", deployment).await]
        }
    }
}

async fn one(
    destination: &Destination,
    setting: &str,
    deployment: &AwsDeployment,
) -> (Check, CallResult) {
    if let Destination::Unsupported(arn) = destination {
        let found = format!("{arn} is not a supported target: its events are archived");
        let remedy = "genesys-replay explain TARGET_UNSUPPORTED";
        return (Check::warning(TARGET, found, remedy), None);
    }
    let Err(fault) = deployment.target(destination).await else {
        // The host of an HTTP target is not AWS.
        let is_aws = !matches!(destination, Destination::Http(_));
        let check = Check::ok(TARGET, format!("{destination} exists"));
        return (check, is_aws.then_some(Ok(())));
    };
    let shown = fault.to_string();
    match fault {
        TargetFault::Aws(error) => {
            let found = format!("{destination} does not exist");
            let remedy =
                format!("check {setting}: every event would be deferred, and archived in the end");
            let check = Check::missing_or_failed(TARGET, &error, found, remedy);
            (check, Some(Err(error)))
        }
        TargetFault::NoRule { .. } => {
            let remedy = "a bus accepts events without a matching rule and delivers them nowhere: create or enable a rule with \"source\": [\"genesys-replay\"]";
            (Check::warning(TARGET, shown, remedy), Some(Ok(())))
        }
        TargetFault::NotReady { .. } | TargetFault::Key { .. } | TargetFault::Denied { .. } => {
            let remedy =
                "enable or repair it: until then every event is deferred, and archived in the end";
            (Check::error(TARGET, shown, remedy), Some(Ok(())))
        }
        TargetFault::Replaced { arn, by } => {
            let remedy =
                format!("set TARGET_REDIRECTS={arn}={by}, and add the new ARN to ALLOWED_TARGETS");
            (Check::error(TARGET, shown, remedy), Some(Ok(())))
        }
        TargetFault::Unchecked => {
            let found = format!(
                "{destination} is not checked: its service has no call that is not an event"
            );
            let remedy = "look at the API in the console; apply sends one event first";
            (Check::skipped(TARGET, found, remedy), None)
        }
        TargetFault::Unreached { .. } => {
            let remedy =
                format!("check {setting}; the function may reach the target from its own network");
            let found = format!("{shown}, from this machine");
            (Check::warning(TARGET, found, remedy), None)
        }
    }
}
