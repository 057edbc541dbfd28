//! What condition and update expressions have in common.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::attribute::{Attribute, Item};
use super::reply::Invalid;
use super::token::Token;

/// What placeholders stand for.
#[derive(Clone, Copy)]
pub(super) struct Placeholders<'r> {
    pub(super) names: &'r BTreeMap<String, String>,
    pub(super) values: &'r BTreeMap<String, Attribute>,
}

/// Something with a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand<'r> {
    Attribute(&'r str),
    Value(&'r Attribute),
}

impl<'i> Operand<'i> {
    /// The value; `None` for an attribute the item does not have.
    pub(super) fn value(self, item: &'i Item) -> Option<&'i Attribute> {
        match self {
            Self::Attribute(name) => item.get(name),
            Self::Value(value) => Some(value),
        }
    }
}

/// An expression, read token by token.
pub(super) struct Parser<'r> {
    kind: &'static str,
    next: Option<Token<'r>>,
    rest: &'r str,
    placeholders: Placeholders<'r>,
}

impl<'r> Parser<'r> {
    /// Starts at the first token of `text`; `kind` is the request's member it comes from.
    pub(super) fn new(
        kind: &'static str,
        text: &'r str,
        placeholders: Placeholders<'r>,
    ) -> Result<Self, Invalid> {
        let mut parser = Self {
            kind,
            next: None,
            rest: text,
            placeholders,
        };
        parser.advance()?;
        if parser.next.is_none() {
            return Err(parser.invalid("The expression can not be empty;"));
        }
        Ok(parser)
    }

    pub(super) fn peek(&self) -> Option<Token<'r>> {
        self.next
    }

    pub(super) fn advance(&mut self) -> Result<(), Invalid> {
        match Token::split(self.rest) {
            Ok(Some((token, rest))) => {
                self.next = Some(token);
                self.rest = rest;
                Ok(())
            }
            Ok(None) => {
                self.next = None;
                Ok(())
            }
            Err(character) => Err(self.invalid(format_args!(
                "Syntax error; token: \"{character}\", near: \"{}\"",
                self.rest.trim_start()
            ))),
        }
    }

    /// Goes past this symbol, if it comes next.
    pub(super) fn take_symbol(&mut self, symbol: &str) -> Result<bool, Invalid> {
        let taken = self.next == Some(Token::Symbol(symbol));
        if taken {
            self.advance()?;
        }
        Ok(taken)
    }

    /// Goes past this keyword, in either case, if it comes next.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> Result<bool, Invalid> {
        let taken =
            matches!(self.next, Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        if taken {
            self.advance()?;
        }
        Ok(taken)
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), Invalid> {
        if self.take_symbol(symbol)? {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    /// Reads the name of an attribute, or what stands for one.
    pub(super) fn attribute(&mut self) -> Result<&'r str, Invalid> {
        let name = match self.next {
            Some(Token::Word(word)) => word,
            Some(Token::Name(placeholder)) => self.name(placeholder)?,
            Some(Token::Value(_) | Token::Symbol(_)) | None => return Err(self.syntax_error()),
        };
        self.advance()?;
        Ok(name)
    }

    /// Reads an attribute or a value.
    pub(super) fn operand(&mut self) -> Result<Operand<'r>, Invalid> {
        let Some(Token::Value(placeholder)) = self.next else {
            return self.attribute().map(Operand::Attribute);
        };
        let value = self.placeholders.values.get(placeholder).ok_or_else(|| {
            self.invalid(format_args!(
                "An expression attribute value used in expression is not defined; attribute value: {placeholder}"
            ))
        })?;
        self.advance()?;
        Ok(Operand::Value(value))
    }

    /// Makes sure that nothing follows.
    pub(super) fn end(&self) -> Result<(), Invalid> {
        match self.next {
            Some(_) => Err(self.syntax_error()),
            None => Ok(()),
        }
    }

    /// The next token is in the wrong place.
    pub(super) fn syntax_error(&self) -> Invalid {
        let token = self.next.map_or("<EOF>", Token::text);
        self.invalid(format_args!(
            "Syntax error; token: \"{token}\", near: \"{token}{}\"",
            self.rest
        ))
    }

    pub(super) fn invalid(&self, problem: impl Display) -> Invalid {
        Invalid(format!("Invalid {}: {problem}", self.kind))
    }

    fn name(&self, placeholder: &str) -> Result<&'r str, Invalid> {
        let name = self.placeholders.names.get(placeholder);
        name.map(String::as_str).ok_or_else(|| {
            self.invalid(format_args!(
                "An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
            ))
        })
    }
}
