//! What a request may say.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::attribute::{Attribute, Item};
use super::expression::Placeholders;
use super::reply::Invalid;

/// The members of all operations together; a member none of them has is an error.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Request {
    /// There is but one table, whatever it is called; a request must name it all the same.
    #[serde(rename = "TableName")]
    _table_name: String,
    key: Option<Item>,
    item: Option<Item>,
    pub(super) condition_expression: Option<String>,
    pub(super) update_expression: Option<String>,
    #[serde(default)]
    expression_attribute_names: BTreeMap<String, String>,
    #[serde(default)]
    expression_attribute_values: BTreeMap<String, Attribute>,
    #[serde(default)]
    pub(super) return_values: ReturnValues,
    #[serde(default)]
    pub(super) return_values_on_condition_check_failure: OnRefusal,
    /// Every read is consistent.
    #[serde(rename = "ConsistentRead")]
    _consistent_read: Option<IgnoredAny>,
}

/// Which attributes a write answers with.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ReturnValues {
    #[default]
    None,
    AllOld,
    AllNew,
}

/// Whether a refusal shows the item.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum OnRefusal {
    #[default]
    None,
    AllOld,
}

impl Request {
    /// Reads a request's body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(body)
            .map_err(|error| Invalid(format!("the request cannot be read: {error}")))
    }

    pub(super) fn key(&self) -> Result<&Item, Invalid> {
        self.key.as_ref().ok_or_else(|| missing("key"))
    }

    /// The item to put, which the request no longer has afterwards.
    pub(super) fn take_item(&mut self) -> Result<Item, Invalid> {
        self.item.take().ok_or_else(|| missing("item"))
    }

    pub(super) fn placeholders(&self) -> Placeholders<'_> {
        Placeholders {
            names: &self.expression_attribute_names,
            values: &self.expression_attribute_values,
        }
    }

    /// Whether to answer with the replaced or deleted item, which is all that can be asked of a put or a delete.
    pub(super) fn wants_old(&self) -> Result<bool, Invalid> {
        match self.return_values {
            ReturnValues::None => Ok(false),
            ReturnValues::AllOld => Ok(true),
            ReturnValues::AllNew => Err(Invalid(
                "ReturnValues can only be ALL_OLD or NONE".to_owned(),
            )),
        }
    }
}

fn missing(member: &str) -> Invalid {
    Invalid(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}
