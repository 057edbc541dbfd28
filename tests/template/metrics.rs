//! The metrics of the code, because `CloudWatch` drops documents over its limits without an error.

use crate::{TestResult, code};

/// The used units of `CloudWatch`.
const UNITS: [&str; 6] = ["Bytes", "Count", "Milliseconds", "None", "Percent", "Seconds"];
const MAX_NAME_BYTES: usize = 1024;
const MAX_DIMENSIONS: usize = 30;
const MAX_METRICS_OF_A_DOCUMENT: usize = 100;

#[test]
fn metric_keeps_the_limits_of_cloudwatch_when_written() -> TestResult {
    for metrics in [code::emitted()?, code::emitted_by_ingest()?] {
        assert!((1..=MAX_METRICS_OF_A_DOCUMENT).contains(&metrics.len()));
        for (metric, unit) in metrics {
            assert!(UNITS.contains(&unit.as_str()), "{metric:?}: {unit}");
            assert!(metric.dimensions.len() <= MAX_DIMENSIONS, "{metric:?}");
            for name in metric.dimensions.iter().chain([&metric.name]) {
                assert!((1..=MAX_NAME_BYTES).contains(&name.len()), "{metric:?}");
            }
        }
    }
    Ok(())
}
