//! Evaluates the conditions, the rules and the existing resources for a set of parameters.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::document::{Template, plain};

/// Parameters with given values. All others have their defaults.
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(crate) fn new<'p>(parameters: impl IntoIterator<Item = &'p (&'p str, &'p str)>) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(parameters.into_iter().map(owned).collect())
    }
}

impl Template {
    /// Returns whether a condition, or an expression of a rule, is true.
    pub(crate) fn holds(&self, condition: &Value, given: &Parameters) -> Result<bool, String> {
        let (function, operands) = condition
            .as_object()
            .and_then(|members| members.iter().next())
            .ok_or_else(|| format!("no condition: {condition}"))?;
        if let ("Condition", Some(name)) = (function.as_str(), operands.as_str()) {
            return self.holds(self.at(&format!("Conditions/{name}")), given);
        }
        let operands = operands.as_array().ok_or_else(|| format!("no operands: {condition}"))?;
        let mut each = operands.iter().map(|one| self.holds(one, given));
        match function.as_str() {
            "Fn::And" => each.try_fold(true, |all, one| Ok(one? && all)),
            "Fn::Or" => each.try_fold(false, |any, one| Ok(one? || any)),
            "Fn::Not" => each.try_fold(true, |all, one| Ok(!one? && all)),
            "Fn::Equals" => {
                let mut values = operands.iter().map(|operand| self.value(operand, given));
                Ok(values.next() == values.next())
            }
            _ => Err(format!("unknown: {condition}")),
        }
    }

    /// Returns the rules that refuse these parameters.
    pub(crate) fn refusing(&self, given: &Parameters) -> Result<Vec<&str>, String> {
        let mut refusing = Vec::new();
        for (name, rule) in self.at("Rules").as_object().into_iter().flatten() {
            if !self.holds(&rule["RuleCondition"], given)? {
                continue;
            }
            for assertion in rule["Assertions"].as_array().into_iter().flatten() {
                if !self.holds(&assertion["Assert"], given)? {
                    refusing.push(name.as_str());
                }
            }
        }
        Ok(refusing)
    }

    fn value(&self, operand: &Value, given: &Parameters) -> String {
        let Some(name) = operand["Ref"].as_str() else {
            return plain(operand);
        };
        let own = given.0.get(name).cloned();
        own.unwrap_or_else(|| plain(self.parameter(name, "Default")))
    }

    /// A value in which every choice (`Fn::If`) is made.
    pub(crate) fn chosen(&self, value: &Value, given: &Parameters) -> Result<Value, String> {
        if let Some([condition, when_true, when_false]) =
            value["Fn::If"].as_array().map(Vec::as_slice)
        {
            let condition = json!({ "Condition": condition });
            let chosen = if self.holds(&condition, given)? { when_true } else { when_false };
            return self.chosen(chosen, given);
        }
        Ok(match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| Ok((name.clone(), self.chosen(value, given)?)))
                .collect::<Result<Map<_, _>, String>>()?
                .into(),
            Value::Array(items) => items
                .iter()
                .map(|item| self.chosen(item, given))
                .collect::<Result<Vec<_>, _>>()?
                .into(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        })
    }

    /// The resources, or the outputs, that these parameters make exist.
    pub(crate) fn existing(
        &self,
        section: &str,
        given: &Parameters,
    ) -> Result<BTreeMap<&str, &Value>, String> {
        let mut existing = BTreeMap::new();
        for (name, entry) in self.at(section).as_object().into_iter().flatten() {
            let exists = match entry["Condition"].as_str() {
                Some(condition) => {
                    self.holds(self.at(&format!("Conditions/{condition}")), given)?
                }
                None => true,
            };
            if exists {
                existing.insert(name.as_str(), entry);
            }
        }
        Ok(existing)
    }
}
