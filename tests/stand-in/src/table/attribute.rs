//! Attribute values, compared as their `DynamoDB` types are.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The attributes of an item by name.
pub(super) type Item = BTreeMap<String, Attribute>;

/// An attribute value; in JSON an object whose one member is named like the type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Attribute {
    S(String),
    N(Number),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
    L(Vec<Attribute>),
    M(Item),
}

/// A number; in JSON a string, as short as it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Number(Decimal);

impl Attribute {
    /// Which of two strings or of two numbers is less; nothing else has an order.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::S(left), Self::S(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
            (Self::N(left), Self::N(right)) => Some(left.cmp(right)),
            (
                Self::S(_) | Self::N(_) | Self::Bool(_) | Self::Null(_) | Self::L(_) | Self::M(_),
                _,
            ) => None,
        }
    }
}

impl Number {
    /// The sum; `None` if it is too large.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` if it is too large.
    pub(super) fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl TryFrom<String> for Number {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Decimal::from_str_exact(&text)
            .map(Self)
            .map_err(|error| format!("{text:?} cannot be converted to a number: {error}"))
    }
}

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.0.normalize().to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Attribute {
        Attribute::N(Number(Decimal::from_str_exact(text).unwrap_or_default()))
    }

    fn string(text: &str) -> Attribute {
        Attribute::S(text.to_owned())
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(number("9").order(&number("10")), Some(Ordering::Less));
        assert_eq!(number("-9").order(&number("-10")), Some(Ordering::Greater));
        assert_eq!(number("1.50"), number("1.5"));
    }

    #[test]
    fn strings_are_compared_bytewise() {
        assert_eq!(string("9").order(&string("10")), Some(Ordering::Greater));
        assert_eq!(string("Z").order(&string("a")), Some(Ordering::Less));
        assert_eq!(string("é").order(&string("z")), Some(Ordering::Greater));
    }

    #[test]
    fn different_types_have_no_order_and_are_not_equal() {
        assert_eq!(string("1").order(&number("1")), None);
        assert_ne!(string("1"), number("1"));
        assert_eq!(Attribute::Bool(false).order(&Attribute::Bool(true)), None);
    }

    #[test]
    fn json_is_read_and_written_as_dynamodb_does() -> serde_json::Result<()> {
        let written = json!({
            "S": {"S": "x"}, "N": {"N": "-0.5"}, "BOOL": {"BOOL": true}, "NULL": {"NULL": true},
            "L": {"L": [{"S": "x"}]}, "M": {"M": {"a": {"N": "1700000000000"}}},
        });
        let item: Item = serde_json::from_value(written.clone())?;
        assert_eq!(serde_json::to_value(&item)?, written);

        let padded: Attribute = serde_json::from_value(json!({"N": "1.00"}))?;
        assert_eq!(serde_json::to_value(&padded)?, json!({"N": "1"}));
        Ok(())
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (value, named) in [
            (json!({"N": "1x"}), "1x"),
            (json!({"N": 1}), "integer"),
            (json!({"B": "AA=="}), "`B`"),
            (json!("x"), "x"),
        ] {
            let error =
                serde_json::from_value::<Attribute>(value).map_err(|error| error.to_string());
            assert!(
                error.as_ref().is_err_and(|error| error.contains(named)),
                "{error:?}"
            );
        }
    }
}
