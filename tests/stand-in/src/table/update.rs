//! Update expressions.

use super::attribute::{Attribute, Item, Number};
use super::expression::{Operand, Parser, Placeholders};
use super::reply::Invalid;
use super::token::Token;

const KIND: &str = "UpdateExpression";

/// What is to become of an item's attributes.
#[derive(Debug, Default)]
pub(super) struct Update<'r> {
    assignments: Vec<(&'r str, Source<'r>)>,
    removals: Vec<&'r str>,
}

/// Where a new value comes from.
#[derive(Debug)]
enum Source<'r> {
    Term(Term<'r>),
    Sum(Term<'r>, Term<'r>),
    Difference(Term<'r>, Term<'r>),
}

#[derive(Clone, Copy, Debug)]
enum Term<'r> {
    Operand(Operand<'r>),
    IfNotExists(&'r str, Operand<'r>),
}

impl<'r> Update<'r> {
    /// Reads an `UpdateExpression`.
    pub(super) fn parse(text: &'r str, placeholders: Placeholders<'r>) -> Result<Self, Invalid> {
        let mut parser = Parser::new(KIND, text, placeholders)?;
        let mut update = Self::default();
        while parser.peek().is_some() {
            if update.assignments.is_empty() && parser.take_keyword("SET")? {
                update.assignments = list(&mut parser, assignment)?;
            } else if update.removals.is_empty() && parser.take_keyword("REMOVE")? {
                update.removals = list(&mut parser, Parser::attribute)?;
            } else {
                return Err(parser.syntax_error());
            }
        }
        let mut names: Vec<_> = update.names().collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[one, next]| one == next) {
            let problem = format_args!("Two document paths overlap with each other; path: {twice}");
            return Err(parser.invalid(problem));
        }
        Ok(update)
    }

    /// The attributes it sets or removes.
    pub(super) fn names(&self) -> impl Iterator<Item = &'r str> {
        let assigned = self.assignments.iter().map(|(name, _)| *name);
        assigned.chain(self.removals.iter().copied())
    }

    /// What is to be assigned, all of it seen from the item as it is before the update.
    pub(super) fn values(&self, item: &Item) -> Result<Vec<(&'r str, Attribute)>, Invalid> {
        let assignments = self.assignments.iter();
        assignments
            .map(|(name, source)| Ok((*name, source.value(item)?)))
            .collect()
    }

    /// Assigns these [`values`](Self::values) and removes what is to be removed.
    pub(super) fn apply(&self, values: Vec<(&'r str, Attribute)>, item: &mut Item) {
        for (name, value) in values {
            if let Some(stored) = item.get_mut(name) {
                *stored = value;
            } else {
                item.insert(name.to_owned(), value);
            }
        }
        for name in &self.removals {
            item.remove(*name);
        }
    }
}

impl Source<'_> {
    fn value(&self, item: &Item) -> Result<Attribute, Invalid> {
        let (result, left, right) = match self {
            Self::Term(term) => return term.value(item).cloned(),
            Self::Sum(left, right) => {
                let (left, right) = (left.number(item)?, right.number(item)?);
                (left.plus(right), left, right)
            }
            Self::Difference(left, right) => {
                let (left, right) = (left.number(item)?, right.number(item)?);
                (left.minus(right), left, right)
            }
        };
        let too_large = || invalid(&format!("Number overflow; operands: {left:?}, {right:?}"));
        result.map(Attribute::N).ok_or_else(too_large)
    }
}

impl<'i> Term<'i> {
    fn value(self, item: &'i Item) -> Result<&'i Attribute, Invalid> {
        let value = match self {
            Self::Operand(operand) => operand.value(item),
            Self::IfNotExists(name, default) => item.get(name).or_else(|| default.value(item)),
        };
        value.ok_or_else(|| {
            let problem =
                "The provided expression refers to an attribute that does not exist in the item";
            Invalid(problem.to_owned())
        })
    }

    fn number(self, item: &'i Item) -> Result<Number, Invalid> {
        match self.value(item)? {
            Attribute::N(number) => Ok(*number),
            Attribute::S(_)
            | Attribute::Bool(_)
            | Attribute::Null(_)
            | Attribute::L(_)
            | Attribute::M(_) => {
                let problem = "An operand in the update expression has an incorrect data type";
                Err(Invalid(problem.to_owned()))
            }
        }
    }
}

fn invalid(problem: &str) -> Invalid {
    Invalid(format!("Invalid {KIND}: {problem}"))
}

fn list<'r, T>(
    parser: &mut Parser<'r>,
    entry: impl Fn(&mut Parser<'r>) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let mut entries = vec![entry(parser)?];
    while parser.take_symbol(",")? {
        entries.push(entry(parser)?);
    }
    Ok(entries)
}

fn assignment<'r>(parser: &mut Parser<'r>) -> Result<(&'r str, Source<'r>), Invalid> {
    let name = parser.attribute()?;
    parser.expect_symbol("=")?;
    let left = term(parser)?;
    let source = if parser.take_symbol("+")? {
        Source::Sum(left, term(parser)?)
    } else if parser.take_symbol("-")? {
        Source::Difference(left, term(parser)?)
    } else {
        Source::Term(left)
    };
    Ok((name, source))
}

fn term<'r>(parser: &mut Parser<'r>) -> Result<Term<'r>, Invalid> {
    let function = parser.peek();
    let operand = parser.operand()?;
    let Some(Token::Word(function)) = function else {
        return Ok(Term::Operand(operand));
    };
    if !parser.take_symbol("(")? {
        return Ok(Term::Operand(operand));
    }
    if function != "if_not_exists" {
        let problem = format_args!("Invalid function name; function: {function}");
        return Err(parser.invalid(problem));
    }
    let name = parser.attribute()?;
    parser.expect_symbol(",")?;
    let default = parser.operand()?;
    parser.expect_symbol(")")?;
    Ok(Term::IfNotExists(name, default))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// What the update makes of `{a: 1, b: "x"}`.
    fn updated(expression: &str) -> Result<Value> {
        let mut item: Item = serde_json::from_value(json!({"a": {"N": "1"}, "b": {"S": "x"}}))?;
        let names = BTreeMap::from([("#a".to_owned(), "a".to_owned())]);
        let values: BTreeMap<String, Attribute> = serde_json::from_value(json!({
            ":two": {"N": "2"}, ":half": {"N": "0.5"}, ":text": {"S": "y"},
            ":huge": {"N": "79228162514264337593543950335"},
        }))?;
        let placeholders = Placeholders {
            names: &names,
            values: &values,
        };
        let update = Update::parse(expression, placeholders).map_err(|invalid| invalid.0)?;
        let values = update.values(&item).map_err(|invalid| invalid.0)?;
        update.apply(values, &mut item);
        Ok(serde_json::to_value(item)?)
    }

    #[test]
    fn set_assigns_and_counts() -> Result {
        for (expression, expected) in [
            ("SET #a = :text", json!({"a": {"S": "y"}, "b": {"S": "x"}})),
            (
                "set c = b",
                json!({"a": {"N": "1"}, "b": {"S": "x"}, "c": {"S": "x"}}),
            ),
            (
                "SET #a = #a + :two, b = a - :half",
                json!({"a": {"N": "3"}, "b": {"N": "0.5"}}),
            ),
            (
                "SET a = :half + :half",
                json!({"a": {"N": "1"}, "b": {"S": "x"}}),
            ),
        ] {
            assert_eq!(updated(expression)?, expected, "{expression}");
        }
        Ok(())
    }

    #[test]
    fn if_not_exists_keeps_what_is_there() -> Result {
        let expression = "SET #a = if_not_exists(#a, :two) + :two, c = if_not_exists(c, :two) + :two, b = if_not_exists(b, :two)";
        let expected = json!({"a": {"N": "3"}, "b": {"S": "x"}, "c": {"N": "4"}});
        assert_eq!(updated(expression)?, expected);
        Ok(())
    }

    #[test]
    fn remove_takes_away_what_is_there() -> Result {
        assert_eq!(updated("REMOVE b, missing")?, json!({"a": {"N": "1"}}));
        assert_eq!(updated("REMOVE #a SET b = :two")?, json!({"b": {"N": "2"}}));
        Ok(())
    }

    #[test]
    fn every_value_is_that_before_the_update() -> Result {
        let expected = json!({"a": {"S": "x"}, "b": {"N": "1"}});
        assert_eq!(updated("SET a = b, b = a")?, expected);
        assert_eq!(updated("SET b = #a REMOVE a")?, json!({"b": {"N": "1"}}));
        Ok(())
    }

    #[test]
    fn a_wrong_update_names_what_is_wrong() -> Result {
        for (expression, named) in [
            ("", "can not be empty"),
            ("SET", "token: \"<EOF>\""),
            ("SET a", "token: \"<EOF>\""),
            ("SET a = :two,", "token: \"<EOF>\""),
            ("SET a = :two SET b = :two", "token: \"SET\""),
            ("ADD a :two", "token: \"ADD\""),
            ("SET :two = a", "token: \":two\""),
            ("SET a = #b", "attribute name: #b"),
            ("SET a = :b", "attribute value: :b"),
            ("SET a = list_append(a, :two)", "function: list_append"),
            ("SET a = :two, #a = :half", "path: a"),
            ("SET a = :two REMOVE a", "path: a"),
            ("SET a = missing", "does not exist in the item"),
            ("SET a = b + :two", "incorrect data type"),
            ("SET a = :huge + :huge", "overflow"),
        ] {
            let Err(error) = updated(expression) else {
                return Err(format!("{expression} was accepted").into());
            };
            let error = error.to_string();
            assert!(error.contains(named), "{expression}: {error}");
        }
        Ok(())
    }
}
