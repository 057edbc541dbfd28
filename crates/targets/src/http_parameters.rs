//! HTTP parameters of a rule or a connection, as part of a request.

use std::collections::BTreeMap;
use std::fmt::Write;

use genesys_replay::target::DeliveryError;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use crate::http::sender::{OutgoingRequest, is_of_connection};
use crate::parameters::{EventValues, unknown};
use crate::refreshed::LoadError;
use crate::rule::TargetParameters;

/// Replaces each `*` in the path of a URL by a value, in order. Characters with a meaning in a URL are escaped, so a value
/// from an event cannot change the rest of the path.
///
/// # Errors
/// A value is missing, or is a dot segment.
pub fn fill_path(
    mut url: Url,
    values: &[String],
    event: &EventValues<'_>,
) -> Result<Url, DeliveryError> {
    let path = url.path().to_owned();
    let mut parts = path.split('*');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    let mut values = values.iter();
    for part in parts {
        let Some(value) = values.next() else {
            return Err(LoadError::misconfigured(format!(
                "the path of {} has a *, and the target of the rule has no value for it",
                url.host_str().unwrap_or_default()
            ))
            .into());
        };
        filled.push_str(&escaped(&event.of(value)?));
        filled.push_str(part);
    }
    // As the URL standard, which also reads the escaped form of a dot.
    let is_dots =
        |segment: &str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    if filled.split('/').any(is_dots) {
        return Err(unknown("a path parameter is a dot segment".to_owned()));
    }
    url.set_path(&filled);
    Ok(url)
}

/// Escapes all characters of a path segment except the unreserved ones (RFC 3986).
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Adds the headers and the query of a rule's target.
///
/// # Errors
/// A value cannot be computed, or is not valid in a header.
pub(crate) fn add_rule_parameters(
    request: &mut OutgoingRequest,
    parameters: &TargetParameters,
    event: &EventValues<'_>,
) -> Result<(), DeliveryError> {
    for (name, value) in &parameters.headers {
        let header = event.of(value)?;
        set_header(request, name, &header, false).map_err(|fault| {
            // A value of the event is the event's own; a fixed one is the rule's.
            if header == *value { fault } else { unknown(fault.reason) }
        })?;
    }
    let mut query = BTreeMap::new();
    for (name, value) in &parameters.query {
        query.insert(name.as_str(), event.of(value)?);
    }
    set_query(&mut request.url, query.iter().map(|(name, value)| (*name, value.as_str())));
    Ok(())
}

/// Sets a header. Headers of the connection are left out, as in `EventBridge`.
///
/// # Errors
/// The rule or the connection has a name or value that is not valid.
pub(crate) fn set_header(
    request: &mut OutgoingRequest,
    name: &str,
    value: &str,
    is_secret: bool,
) -> Result<(), DeliveryError> {
    let invalid = || {
        LoadError::misconfigured(format!("the parameter {name:?} is not valid in an HTTP header"))
    };
    let header = HeaderName::try_from(name).map_err(|_| invalid())?;
    let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
    value.set_sensitive(is_secret);
    if !is_of_connection(&header) {
        request.headers.insert(header, value);
    }
    Ok(())
}

/// Sets parameters of a query. A parameter with the same name is replaced; the text of all others stays.
pub(crate) fn set_query<'q>(url: &mut Url, parameters: impl Iterator<Item = (&'q str, &'q str)>) {
    let parameters: BTreeMap<&str, &str> = parameters.collect();
    if parameters.is_empty() {
        return;
    }
    let name_of = |pair: &str| {
        url::form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned())
    };
    let kept: Vec<&str> = url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(|pair| name_of(pair).is_none_or(|name| !parameters.contains_key(name.as_str())))
        .collect();
    let added = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters.iter())
        .finish();
    let query = kept.into_iter().map(str::to_owned).chain([added]).collect::<Vec<_>>().join("&");
    url.set_query(Some(&query));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(url: &str, values: &[&str]) -> Result<String, String> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let filled = fill_path(url, &values, &EventValues::new("{}"));
        filled.map(String::from).map_err(|error| error.reason)
    }

    #[test]
    fn path_is_filled_with_escaped_values() {
        let url = "https://crm.example/a/*/b-*?x=*";
        for (values, expected) in [
            (&["1", "2"], "https://crm.example/a/1/b-2?x=*"),
            (&["1/2?#", "\u{fc} %"], "https://crm.example/a/1%2F2%3F%23/b-%C3%BC%20%25?x=*"),
            (&["", "*"], "https://crm.example/a//b-%2A?x=*"),
        ] {
            assert_eq!(filled(url, values), Ok(expected.to_owned()), "{values:?}");
        }
        assert_eq!(filled("https://crm.example/a", &["1"]), Ok("https://crm.example/a".to_owned()));
    }

    #[test]
    fn path_is_refused_when_a_value_is_missing_or_a_dot_segment() {
        let missing =
            "the path of crm.example has a *, and the target of the rule has no value for it";
        assert_eq!(filled("https://crm.example/*/*", &["1"]), Err(missing.to_owned()));
        let dots = "a path parameter is a dot segment";
        assert_eq!(filled("https://crm.example/a/*/b", &[".."]), Err(dots.to_owned()));
        assert_eq!(filled("https://crm.example/.*", &["."]), Err(dots.to_owned()));
        assert_eq!(filled("https://crm.example/%2E*", &["."]), Err(dots.to_owned()));
    }

    #[test]
    fn query_parameter_is_replaced_and_others_stay() {
        for (query, expected) in
            [("", "a=1&b=%26"), ("?a=9", "a=1&b=%26"), ("?x=a%20b&a=9&y", "x=a%20b&y&a=1&b=%26")]
        {
            let url = Url::parse(&format!("https://crm.example/{query}"));
            let with = url.map(|mut url| {
                set_query(&mut url, [("a", "1"), ("b", "&")].into_iter());
                url.query().map(str::to_owned)
            });
            assert_eq!(with, Ok(Some(expected.to_owned())), "{query}");
        }
    }
}
