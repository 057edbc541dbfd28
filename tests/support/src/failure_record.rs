//! Failure records of a target function.

use genesys_replay::clock::Timestamp;
use serde_json::json;

/// The target function.
pub const FUNCTION: &str = "arn:aws:lambda:eu-central-1:271828182845:function:crm";

/// Returns the body of an on-failure record.
pub fn on_failure_body(request_id: &str, at: Timestamp, payload: &str) -> String {
    let context = json!({
        "requestId": request_id,
        "functionArn": format!("{FUNCTION}:$LATEST"),
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    });
    let at = at.to_string();
    format!(
        r#"{{"version":"1.0","timestamp":"{at}","requestContext":{context},"requestPayload":{payload},"responseContext":{{"statusCode":200,"functionError":"Unhandled"}},"responsePayload":{{"errorMessage":"boom"}}}}"#
    )
}
