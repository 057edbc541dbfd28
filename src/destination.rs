//! Where an event is delivered.

use std::fmt;

use url::Url;

/// The longest ARN or URL that is taken as a destination, in bytes: the ledger's key holds it, and
/// `DynamoDB` keys end at 2,048 bytes.
pub const LONGEST: usize = 1024;

/// The setting `REPLAY_TARGET`: where the events of this function go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayTarget {
    /// Each event to the target that did not take it the first time.
    Original,
    /// Every event to the same place.
    Fixed(Destination),
}

impl fmt::Display for ReplayTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original => f.write_str("original"),
            Self::Fixed(destination) => destination.fmt(f),
        }
    }
}

/// One place that an event is delivered to.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere: the interaction is marked, nothing is sent.
    None,
    /// An HTTP endpoint.
    Http(Url),
    /// A target that this function cannot deliver to, by its ARN.
    Unsupported(String),
    /// The dead letter does not say where it was going.
    Missing,
}

impl Destination {
    /// Reads the `TARGET_ARN` of a dead letter.
    #[must_use]
    pub fn of_dead_letter(target_arn: Option<&str>) -> Self {
        match target_arn {
            Some(arn) if !arn.is_empty() && arn.len() <= LONGEST => {
                Self::Unsupported(arn.to_owned())
            }
            Some(_) | None => Self::Missing,
        }
    }

    /// The part of the ledger's key that tells this destination from others.
    #[must_use]
    pub fn key_part(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Http(url) => url.as_str(),
            Self::Unsupported(arn) => arn,
            Self::Missing => "unknown",
        }
    }
}

impl fmt::Display for Destination {
    /// For people: a URL without user, password, query and fragment, where secrets may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => {
                let host = url.host_str().unwrap_or_default();
                write!(f, "{}://{host}", url.scheme())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
            Self::None | Self::Unsupported(_) | Self::Missing => f.write_str(self.key_part()),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shown_without_what_may_be_secret() {
        let url = Url::parse("https://user:pass@crm.example:8443/events?token=secret#part");
        let destination = url.map(Destination::Http);
        assert_eq!(
            destination.as_ref().map(ToString::to_string),
            Ok("https://crm.example:8443/events".to_owned())
        );
        assert_eq!(
            destination.map(|shown| format!("{shown:?}")),
            Ok("Destination(https://crm.example:8443/events)".to_owned())
        );
    }

    #[test]
    fn a_dead_letter_without_a_usable_target_names_none() {
        assert_eq!(Destination::of_dead_letter(None), Destination::Missing);
        assert_eq!(Destination::of_dead_letter(Some("")), Destination::Missing);
        let long = format!(
            "arn:aws:lambda:eu-west-1:1:function:{}",
            "x".repeat(LONGEST)
        );
        assert_eq!(
            Destination::of_dead_letter(Some(&long)),
            Destination::Missing
        );
    }
}
