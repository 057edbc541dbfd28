//! The tokens of the expression language.

/// One token; placeholders keep their first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'e> {
    /// An attribute's name, a function's name or a keyword.
    Word(&'e str),
    /// `#name`.
    Name(&'e str),
    /// `:value`.
    Value(&'e str),
    /// An operator, a parenthesis or a comma.
    Symbol(&'e str),
}

/// Longer ones before those they start with.
const SYMBOLS: [&str; 11] = ["<>", "<=", ">=", "<", ">", "=", "(", ")", ",", "+", "-"];

impl<'e> Token<'e> {
    /// Splits the first token off: `Ok(None)` at the end, and the character no token starts with as an error.
    pub(super) fn split(text: &'e str) -> Result<Option<(Self, &'e str)>, char> {
        let text = text.trim_start();
        let Some(first) = text.chars().next() else {
            return Ok(None);
        };
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| text.starts_with(symbol)) {
            let (symbol, rest) = text.split_at(symbol.len());
            return Ok(Some((Self::Symbol(symbol), rest)));
        }
        let token = match first {
            '#' => Self::Name,
            ':' => Self::Value,
            _ if is_part(first) && !first.is_ascii_digit() => Self::Word,
            _ => return Err(first),
        };
        let end = text[1..].find(|character| !is_part(character));
        let (word, rest) = text.split_at(end.map_or(text.len(), |end| end + 1));
        if word == "#" || word == ":" {
            return Err(first);
        }
        Ok(Some((token(word), rest)))
    }

    /// The token as it was written.
    pub(super) fn text(self) -> &'e str {
        match self {
            Self::Word(text) | Self::Name(text) | Self::Value(text) | Self::Symbol(text) => text,
        }
    }
}

fn is_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::Token::{Name, Symbol, Value, Word};
    use super::*;

    fn tokens(mut text: &str) -> Result<Vec<Token<'_>>, char> {
        let mut tokens = Vec::new();
        while let Some((token, rest)) = Token::split(text)? {
            tokens.push(token);
            text = rest;
        }
        Ok(tokens)
    }

    #[test]
    fn tokens_need_no_space_between_them() {
        let expected = vec![
            Word("f_1"),
            Symbol("("),
            Name("#a"),
            Symbol(","),
            Value(":b"),
            Symbol(")"),
            Symbol("+"),
            Word("c"),
            Symbol("<>"),
            Symbol("<="),
            Symbol("<"),
            Symbol("="),
            Symbol(">="),
            Symbol(">"),
            Symbol("-"),
        ];
        assert_eq!(tokens("f_1(#a,:b)+c<><=< = >= >-\n"), Ok(expected));
        assert_eq!(tokens(" \t"), Ok(vec![]));
    }

    #[test]
    fn what_starts_no_token_is_an_error() {
        for (text, character) in [
            ("a.b", '.'),
            ("a[0]", '['),
            ("1", '1'),
            ("# a", '#'),
            ("a = :", ':'),
            ("ä", 'ä'),
        ] {
            assert_eq!(tokens(text), Err(character), "{text}");
        }
    }
}
