//! The setting `ALLOWED_TARGETS`: what a dead letter may name as its target.

use std::fmt;

use wildmatch::WildMatch;

/// Which targets of dead letters may be called.
#[derive(Clone, Debug)]
pub enum AllowedTargets {
    /// Whatever a dead letter names.
    Any,
    /// What one of the patterns matches; `*` stands for any text, `?` for one character.
    Only(Vec<WildMatch>),
}

impl AllowedTargets {
    /// Only what one of these patterns matches.
    #[must_use]
    pub fn only<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        Self::Only(patterns.into_iter().map(WildMatch::new).collect())
    }

    /// Whether an ARN may be called.
    #[must_use]
    pub fn contains(&self, arn: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(arn)),
        }
    }
}

impl fmt::Display for AllowedTargets {
    /// As in the setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Only(patterns) => {
                for (index, pattern) in patterns.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "," };
                    write!(f, "{separator}{pattern}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shown_as_it_was_set() {
        let patterns = ["arn:aws:sqs:*", "arn:aws:lambda:*:*:function:crm-?"];
        assert_eq!(AllowedTargets::Any.to_string(), "*");
        assert_eq!(
            AllowedTargets::only(patterns).to_string(),
            patterns.join(",")
        );
    }
}
