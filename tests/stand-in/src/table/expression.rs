//! Condition and update expressions, evaluated while they are read.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Attribute, Item, Request, invalid};

const END: &str = "<EOF>";

/// An expression about an item.
pub(super) struct Expression<'r, 'i> {
    text: &'r str,
    /// The remaining tokens, in reverse order from [`END`].
    tokens: Vec<&'r str>,
    request: &'r Request<'r>,
    item: Option<&'i Item>,
}

impl<'r: 'i, 'i> Expression<'r, 'i> {
    pub(super) fn new(text: &'r str, request: &'r Request<'r>, item: Option<&'i Item>) -> Self {
        let is_symbol = |it| !matches!(it, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '#' | ':');
        // Pairs of a word and the symbol after it, where either may be empty.
        let split = |pair: &'r str| pair.split_at(pair.trim_end_matches(is_symbol).len());
        let pairs = text.split_inclusive(is_symbol).map(split);
        let tokens = pairs.flat_map(|(word, symbol)| [word, symbol.trim()]);
        let tokens = tokens.filter(|token| !token.is_empty()).rev();
        Self { text, tokens: [END].into_iter().chain(tokens).collect(), request, item }
    }

    /// Returns true if the condition holds.
    pub(super) fn holds(mut self) -> Result<bool, Value> {
        let holds = self.any()?;
        self.expect(END).map(|()| holds)
    }

    /// Updates `target` with values from the item of the expression.
    pub(super) fn apply(mut self, mut target: Item) -> Result<Item, Value> {
        while !self.take(END) {
            let sets = self.take("SET") || self.expect("REMOVE").map(|()| false)?;
            loop {
                let name = self.path()?;
                if sets {
                    self.expect("=")?;
                    target.insert(name.to_owned(), self.value()?);
                } else {
                    target.remove(name);
                }
                if !self.take(",") {
                    break;
                }
            }
        }
        Ok(target)
    }

    fn any(&mut self) -> Result<bool, Value> {
        let mut holds = false;
        loop {
            // Not `&&` and `||`, because the right side has to be parsed.
            let mut all = self.term()?;
            while self.take("AND") {
                all &= self.term()?;
            }
            holds |= all;
            if !self.take("OR") {
                return Ok(holds);
            }
        }
    }

    fn term(&mut self) -> Result<bool, Value> {
        if self.take("NOT") {
            return Ok(!self.term()?);
        }
        if self.take("(") {
            let holds = self.any()?;
            return self.expect(")").map(|()| holds);
        }
        let negated = self.take("attribute_not_exists");
        if negated || self.take("attribute_exists") {
            self.expect("(")?;
            let exists = self.operand()?.is_some();
            return self.expect(")").map(|()| exists != negated);
        }
        let left = self.operand()?;
        let comparator = match (self.take("<"), self.take("=")) {
            (false, true) => Ordering::is_eq,
            (true, false) => Ordering::is_lt,
            (true, true) => Ordering::is_le,
            (false, false) => return Err(self.invalid("syntax error")),
        };
        // A missing attribute fails every comparison.
        let sides = left.zip(self.operand()?);
        let order = sides.and_then(|(left, right)| left.order(right));
        Ok(order.is_some_and(comparator))
    }

    /// Parses an operand or the sum of two.
    fn value(&mut self) -> Result<Attribute, Value> {
        let mut value = self.operand()?.cloned();
        if self.take("+") {
            let left = value.as_ref().and_then(Attribute::number);
            let sides = left.zip(self.operand()?.and_then(Attribute::number));
            value = sides.map(|(left, right)| Attribute::N((left + right).to_string()));
        }
        // The ledger searches this message for "operand".
        value.ok_or_else(|| self.invalid("an operand is missing or not a number"))
    }

    /// Parses an operand. The value is `None` for a missing attribute.
    fn operand(&mut self) -> Result<Option<&'i Attribute>, Value> {
        if self.take("if_not_exists") {
            self.expect("(")?;
            let stored = self.operand()?;
            self.expect(",")?;
            let value = stored.or(self.operand()?);
            return self.expect(")").map(|()| value);
        }
        let values = &self.request.expression_attribute_values;
        let value = self.tokens.last().and_then(|token| values.get(*token));
        if value.is_some() {
            self.tokens.pop();
            return Ok(value);
        }
        let name = self.path()?;
        Ok(self.item.and_then(|item| item.get(name)))
    }

    /// Parses the name of an attribute or its placeholder.
    fn path(&mut self) -> Result<&'r str, Value> {
        let names = &self.request.expression_attribute_names;
        let is_bare = |token: &str| token.starts_with(|first: char| first.is_ascii_alphabetic());
        let name = self.tokens.last().and_then(|token| names.get(*token));
        let token = self.tokens.pop_if(|token| name.is_some() || is_bare(token));
        let found = name.copied().or(token);
        found.ok_or_else(|| self.invalid("syntax error"))
    }

    /// Consumes the next token if it is this one, in upper or lower case.
    fn take(&mut self, expected: &str) -> bool {
        let found = self.tokens.pop_if(|it| it.eq_ignore_ascii_case(expected));
        found.is_some()
    }

    fn expect(&mut self, expected: &str) -> Result<(), Value> {
        let found = self.take(expected).then_some(());
        found.ok_or_else(|| self.invalid("syntax error"))
    }

    fn invalid(&self, problem: &str) -> Value {
        let (token, text) = (self.tokens.last().unwrap_or(&END), self.text);
        invalid(format!("{problem}; token: \"{token}\", in: {text}"))
    }
}

impl Attribute {
    /// Compares two strings or two numbers. Other pairs have no order and are not equal.
    fn order(&self, other: &Self) -> Option<Ordering> {
        if let (Self::S(left), Self::S(right)) = (self, other) {
            return Some(left.cmp(right));
        }
        self.number()?.partial_cmp(&other.number()?)
    }

    fn number(&self) -> Option<f64> {
        let Self::N(text) = self else { return None };
        text.parse().ok()
    }
}
