//! Condition expressions.

use std::cmp::Ordering;

use super::attribute::Item;
use super::expression::{Operand, Parser, Placeholders};
use super::reply::Invalid;
use super::token::Token;

/// How deep parentheses and `NOT` may be nested: more than anyone writes, less than the stack holds.
const MAX_DEPTH: u32 = 50;

/// A condition on an item.
#[derive(Debug)]
pub(super) enum Condition<'r> {
    Any(Vec<Condition<'r>>),
    All(Vec<Condition<'r>>),
    Not(Box<Condition<'r>>),
    Exists(&'r str),
    Missing(&'r str),
    Compare(Operand<'r>, Comparator, Operand<'r>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl<'r> Condition<'r> {
    /// Reads a `ConditionExpression`.
    pub(super) fn parse(text: &'r str, placeholders: Placeholders<'r>) -> Result<Self, Invalid> {
        let mut parser = Parser::new("ConditionExpression", text, placeholders)?;
        let condition = any(&mut parser, MAX_DEPTH)?;
        parser.end()?;
        Ok(condition)
    }

    /// Whether the condition is true of an item; one that does not exist has no attributes.
    pub(super) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(item)),
            Self::All(parts) => parts.iter().all(|part| part.holds(item)),
            Self::Not(condition) => !condition.holds(item),
            Self::Exists(name) => item.contains_key(*name),
            Self::Missing(name) => !item.contains_key(*name),
            Self::Compare(left, comparator, right) => compare(*left, *comparator, *right, item),
        }
    }
}

fn compare(left: Operand<'_>, comparator: Comparator, right: Operand<'_>, item: &Item) -> bool {
    let (Some(left), Some(right)) = (left.value(item), right.value(item)) else {
        // What is not there is different from everything, and otherwise fails every comparison.
        return comparator == Comparator::NotEqual;
    };
    match comparator {
        Comparator::Equal => left == right,
        Comparator::NotEqual => left != right,
        Comparator::Less => left.order(right).is_some_and(Ordering::is_lt),
        Comparator::AtMost => left.order(right).is_some_and(Ordering::is_le),
        Comparator::Greater => left.order(right).is_some_and(Ordering::is_gt),
        Comparator::AtLeast => left.order(right).is_some_and(Ordering::is_ge),
    }
}

fn any<'r>(parser: &mut Parser<'r>, depth: u32) -> Result<Condition<'r>, Invalid> {
    let first = all(parser, depth)?;
    let mut parts = vec![first];
    while parser.take_keyword("OR")? {
        parts.push(all(parser, depth)?);
    }
    Ok(Condition::Any(parts))
}

fn all<'r>(parser: &mut Parser<'r>, depth: u32) -> Result<Condition<'r>, Invalid> {
    let mut parts = vec![term(parser, depth)?];
    while parser.take_keyword("AND")? {
        parts.push(term(parser, depth)?);
    }
    Ok(Condition::All(parts))
}

fn term<'r>(parser: &mut Parser<'r>, depth: u32) -> Result<Condition<'r>, Invalid> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(parser.invalid("The expression is nested too deeply"));
    };
    if parser.take_keyword("NOT")? {
        return Ok(Condition::Not(Box::new(term(parser, deeper)?)));
    }
    if parser.take_symbol("(")? {
        let condition = any(parser, deeper)?;
        parser.expect_symbol(")")?;
        return Ok(condition);
    }
    let function = parser.peek();
    let left = parser.operand()?;
    if let Some(Token::Word(function)) = function
        && parser.take_symbol("(")?
    {
        return call(function, parser);
    }
    let comparator = comparator(parser)?;
    Ok(Condition::Compare(left, comparator, parser.operand()?))
}

/// Reads a function's argument and the closing parenthesis.
fn call<'r>(function: &str, parser: &mut Parser<'r>) -> Result<Condition<'r>, Invalid> {
    let condition = match function {
        "attribute_exists" => Condition::Exists,
        "attribute_not_exists" => Condition::Missing,
        _ => {
            let problem = format_args!("Invalid function name; function: {function}");
            return Err(parser.invalid(problem));
        }
    };
    let name = parser.attribute()?;
    parser.expect_symbol(")")?;
    Ok(condition(name))
}

fn comparator(parser: &mut Parser<'_>) -> Result<Comparator, Invalid> {
    let comparator = match parser.peek() {
        Some(Token::Symbol("=")) => Comparator::Equal,
        Some(Token::Symbol("<>")) => Comparator::NotEqual,
        Some(Token::Symbol("<")) => Comparator::Less,
        Some(Token::Symbol("<=")) => Comparator::AtMost,
        Some(Token::Symbol(">")) => Comparator::Greater,
        Some(Token::Symbol(">=")) => Comparator::AtLeast,
        _ => return Err(parser.syntax_error()),
    };
    parser.advance()?;
    Ok(comparator)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::table::attribute::Attribute;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// Asks the condition of `{status: "OPEN", count: 10, flag: true}`.
    fn holds(condition: &str) -> Result<bool> {
        let item = serde_json::from_value(json!({
            "status": {"S": "OPEN"}, "count": {"N": "10"}, "flag": {"BOOL": true},
        }))?;
        let names = BTreeMap::from([("#status".to_owned(), "status".to_owned())]);
        let values: BTreeMap<String, Attribute> = serde_json::from_value(json!({
            ":open": {"S": "OPEN"}, ":nine": {"N": "9"}, ":ten": {"N": "10.0"}, ":text": {"S": "10"}, ":true": {"BOOL": true},
        }))?;
        let placeholders = Placeholders {
            names: &names,
            values: &values,
        };
        let condition = Condition::parse(condition, placeholders);
        Ok(condition.map_err(|invalid| invalid.0)?.holds(&item))
    }

    fn assert_all(cases: &[(&str, bool)]) -> Result {
        for (condition, expected) in cases {
            assert_eq!(holds(condition)?, *expected, "{condition}");
        }
        Ok(())
    }

    #[test]
    fn every_comparator_compares() -> Result {
        assert_all(&[
            ("#status = :open", true),
            ("#status <> :open", false),
            ("count > :nine", true),
            ("count < :nine", false),
            ("count <= :ten AND count >= :ten AND count = :ten", true),
            ("count > :ten OR count < :ten", false),
            (":nine < count", true),
            ("flag = :true", true),
        ])
    }

    #[test]
    fn types_that_differ_are_not_equal_and_have_no_order() -> Result {
        assert_all(&[
            ("count = :text", false),
            ("count <> :text", true),
            ("count <= :text", false),
            ("count > :text", false),
            ("flag <= :true", false),
        ])
    }

    #[test]
    fn a_missing_attribute_only_differs() -> Result {
        assert_all(&[
            ("attribute_exists(#status)", true),
            ("attribute_not_exists(#status)", false),
            ("attribute_exists(missing)", false),
            ("attribute_not_exists( missing )", true),
            ("missing = :open", false),
            ("missing < :nine", false),
            ("missing <> :open", true),
            ("NOT missing = :open", true),
        ])
    }

    #[test]
    fn not_binds_before_and_and_and_before_or() -> Result {
        assert_all(&[
            ("#status = :open OR flag = :true AND count = :nine", true),
            ("(#status = :open OR flag = :true) AND count = :nine", false),
            ("count = :nine AND flag = :true OR #status = :open", true),
            ("NOT count = :nine AND #status = :open", true),
            ("NOT (count = :ten AND #status = :open)", false),
            ("not not count = :ten and ((flag = :true))", true),
        ])
    }

    #[test]
    fn a_malformed_condition_names_what_is_wrong() -> Result {
        let deep = format!("{}flag = :true{}", "(".repeat(10_000), ")".repeat(10_000));
        for (condition, named) in [
            ("", "can not be empty"),
            ("#status =", "token: \"<EOF>\""),
            ("#status = :open AND", "token: \"<EOF>\""),
            ("(#status = :open", "token: \"<EOF>\""),
            ("#status = :open)", "token: \")\", near: \")\""),
            ("#status :open", "token: \":open\""),
            ("#status = :open flag", "token: \"flag\""),
            ("a.b = :open", "token: \".\", near: \".b = :open\""),
            ("#missing = :open", "attribute name: #missing"),
            ("flag = :missing", "attribute value: :missing"),
            ("begins_with(#status, :open)", "function: begins_with"),
            ("count BETWEEN :nine AND :ten", "token: \"BETWEEN\""),
            (&deep, "nested too deeply"),
        ] {
            let Err(error) = holds(condition) else {
                return Err(format!("{condition} was accepted").into());
            };
            let error = error.to_string();
            assert!(
                error.starts_with("Invalid ConditionExpression: "),
                "{error}"
            );
            assert!(error.contains(named), "{error}");
        }
        Ok(())
    }
}
