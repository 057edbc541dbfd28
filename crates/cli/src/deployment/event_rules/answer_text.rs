//! The text of an answer, for members that the SDK does not know.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_eventbridge::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_eventbridge::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_eventbridge::error::BoxError;
use serde_json::Value;

/// Keeps the body of one answer. The types of the SDK drop members that are newer than the SDK.
#[derive(Clone, Debug, Default)]
pub(super) struct AnswerText(Arc<Mutex<Vec<u8>>>);

impl AnswerText {
    /// Returns the items of a list in the JSON of the answer. Empty without such a list.
    pub(super) fn members(&self, list: &str) -> Vec<Value> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        match answer.get_mut(list).map(Value::take) {
            Some(Value::Array(items)) => items,
            Some(_) | None => Vec::new(),
        }
    }
}

impl Intercept for AnswerText {
    fn name(&self) -> &'static str {
        "AnswerText"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default().to_vec();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}
