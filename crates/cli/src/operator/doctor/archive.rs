//! Checks the archive's bucket.

use genesys_replay::aws::AwsErrorKind;

use super::{Check, Known, Look, answer};
use crate::deployment::Deployment;

const BUCKET: &str = "archive";

pub(super) async fn look(known: Option<&Known>, deployment: &impl Deployment) -> Look {
    let Some(known) = known else {
        let why = "the settings cannot be used";
        return (
            vec![Check::skipped(BUCKET, why, "repair the settings first")],
            Vec::new(),
        );
    };
    let Some((bucket, prefix)) = &known.archive else {
        let found = "ARCHIVE_BUCKET is not set: what must not be replayed goes back to the queue until SQS parks it";
        let remedy = "set ARCHIVE_BUCKET to a bucket that the function may write to";
        return (vec![Check::warning(BUCKET, found, remedy)], Vec::new());
    };
    let listed = deployment.bucket(bucket, prefix).await;
    let check = match &listed {
        Ok(()) => Check::ok(BUCKET, format!("s3://{bucket}/{prefix} can be read")),
        Err(error) if error.kind == AwsErrorKind::NotFound => Check::error(
            BUCKET,
            format!("there is no bucket {bucket}"),
            "create it, or set ARCHIVE_BUCKET to one that is there: until then nothing can be archived and every such message comes back",
        ),
        Err(error) => Check::unasked(BUCKET, error),
    };
    (vec![check], vec![answer(&listed)])
}
