//! The setting `TARGET_REDIRECTS`: the new ARNs of renamed or moved targets.

use std::fmt;

use super::{Arn, Destination};

/// The new ARNs of targets, by the old ones. A redirect is applied once: the new ARN is not redirected again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirects(Vec<Redirect>);

/// One renamed or moved target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The old ARN.
    pub from: String,
    /// The new ARN.
    pub to: String,
}

/// The fault of a text with redirects. Quotes ARNs only, because a secret may be in the wrong setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// The pair with this number does not have the form `from=to`, or one side is not an ARN.
    #[error("must be pairs <old ARN>=<new ARN>, comma-separated; pair {0} is not one")]
    Pair(usize),
    /// The new target cannot be called.
    #[error("redirects to {0}, which is not a supported target: docs/TARGETS.md lists them")]
    Unsupported(String),
    /// Both sides of a pair are equal.
    #[error("redirects {0} to itself")]
    Itself(String),
    /// Two pairs have the same old target.
    #[error("redirects {0} twice")]
    Twice(String),
}

impl Redirects {
    /// No redirects.
    pub const NONE: Self = Self(Vec::new());

    /// Parses pairs `<old ARN>=<new ARN>`, comma-separated.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str) -> Result<Self, RedirectFault> {
        let mut redirects: Vec<Redirect> = Vec::new();
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            let sides = pair.split_once('=').map(|(from, to)| (normal(from), normal(to)));
            let Some((Some(from), Some(to))) = sides else {
                return Err(RedirectFault::Pair(index + 1));
            };
            let redirect = Redirect { from, to };
            if matches!(Destination::of_arn(&redirect.to), Destination::Unsupported(_)) {
                return Err(RedirectFault::Unsupported(redirect.to));
            }
            if redirect.from == redirect.to {
                return Err(RedirectFault::Itself(redirect.from));
            }
            if redirects.iter().any(|other| other.from == redirect.from) {
                return Err(RedirectFault::Twice(redirect.from));
            }
            redirects.push(redirect);
        }
        Ok(Self(redirects))
    }

    /// Returns the new ARN of a target, if it is redirected.
    #[must_use]
    pub fn get(&self, arn: &str) -> Option<&str> {
        let arn = Destination::of_arn(arn);
        let redirect = self.0.iter().find(|redirect| redirect.from == arn.key_part())?;
        Some(&redirect.to)
    }

    /// Returns the pairs, in the order of the setting.
    pub fn iter(&self) -> impl Iterator<Item = &Redirect> {
        self.0.iter()
    }

    /// Returns true if no target is redirected.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns the form of an ARN that keys of the ledger have; `None` for any other text.
fn normal(arn: &str) -> Option<String> {
    let arn = Arn::parse(arn.trim())?;
    Some(Destination::of_arn(arn.as_str()).key_part().to_owned())
}

impl fmt::Display for Redirects {
    /// Writes the value of the setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Redirect { from, to }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{from}={to}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "arn:aws:lambda:eu-west-1:271828182845:function:crm";
    const NEW: &str = "arn:aws:sqs:eu-west-1:271828182845:crm";

    #[test]
    fn redirects_are_parsed_and_applied_once() {
        let redirects = Redirects::parse(&format!(" {OLD}:$LATEST = {NEW} ,{NEW}={OLD}-2,"));
        let Ok(redirects) = redirects else {
            unreachable!("the text is valid: {redirects:?}");
        };
        assert_eq!(redirects.to_string(), format!("{OLD}={NEW},{NEW}={OLD}-2"));
        for (arn, expected) in [
            (OLD, Some(NEW.to_owned())),
            (&format!("{OLD}:$LATEST"), Some(NEW.to_owned())),
            (&format!("{OLD}:live"), None),
            (NEW, Some(format!("{OLD}-2"))),
            ("", None),
        ] {
            assert_eq!(redirects.get(arn), expected.as_deref(), "{arn}");
        }
    }

    #[test]
    fn redirects_are_refused_with_the_fault() {
        let ecs = "arn:aws:ecs:eu-west-1:271828182845:cluster/x";
        for (text, expected) in [
            (OLD.to_owned(), RedirectFault::Pair(1)),
            (format!("{OLD}={NEW},{NEW}=crm"), RedirectFault::Pair(2)),
            (format!("={NEW}"), RedirectFault::Pair(1)),
            (format!("{OLD}={ecs}"), RedirectFault::Unsupported(ecs.to_owned())),
            (format!("{OLD}={OLD}:$LATEST"), RedirectFault::Itself(OLD.to_owned())),
            (format!("{OLD}={NEW},{OLD}={NEW}"), RedirectFault::Twice(OLD.to_owned())),
        ] {
            assert_eq!(Redirects::parse(&text), Err(expected), "{text}");
        }
        assert_eq!(Redirects::parse(" , "), Ok(Redirects::NONE));
    }
}
