//! The secret of a connection. Its form is not documented by AWS; all forms that were seen are accepted.

use std::collections::BTreeMap;

use genesys_replay::text::without_bom;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::{Host, Url};

/// The endpoints for tokens that may be called over plain HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// None.
    Never,
    /// Those at a loopback address, for tests beside a local AWS. The request does not leave the machine.
    Loopback,
}

/// The credentials and parameters of a connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) auth: ConnectionAuth,
    /// The parameters that the connection adds to each delivery.
    pub(super) parameters: ConnectionParameters,
}

#[derive(Debug)]
pub(super) enum ConnectionAuth {
    Basic { username: String, password: SecretString },
    ApiKey { name: String, value: SecretString },
    OAuth(Box<OAuthClient>),
}

/// The client credentials of an OAuth connection.
#[derive(Debug)]
pub(super) struct OAuthClient {
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
    pub(super) endpoint: Url,
    pub(super) method: String,
    pub(super) parameters: ConnectionParameters,
}

/// Parameters of a connection.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConnectionParameters {
    #[serde(default, rename = "header_parameters", alias = "HeaderParameters")]
    pub(super) headers: Parameters,
    #[serde(default, rename = "query_string_parameters", alias = "QueryStringParameters")]
    pub(super) query: Parameters,
    #[serde(default, rename = "body_parameters", alias = "BodyParameters")]
    pub(super) body: Parameters,
}

/// Names and values, as a list of pairs or as an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Parameters {
    List(Vec<Parameter>),
    Map(BTreeMap<String, SecretString>),
    /// `null`.
    Empty(()),
}

#[derive(Debug, Deserialize)]
pub(super) struct Parameter {
    #[serde(alias = "Key")]
    key: String,
    #[serde(alias = "Value")]
    value: SecretString,
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Empty(())
    }
}

impl Parameters {
    /// Returns the names and values.
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        match self {
            Self::List(list) => {
                list.iter().map(|it| (it.key.as_str(), it.value.expose_secret())).collect()
            }
            Self::Map(map) => {
                map.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect()
            }
            Self::Empty(()) => Vec::new(),
        }
    }
}

/// The fault of a secret; does not quote the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionFault {
    /// The text is not a JSON object with parameters in a known form.
    #[error("is not a JSON object in the form of a connection")]
    Form,
    /// A member is missing.
    #[error("has no {0}")]
    Missing(&'static str),
    /// The type of authorization is not known.
    #[error("has none of the known types of authorization")]
    Authorization,
    /// The endpoint for tokens is not HTTPS.
    #[error("has an authorization_endpoint that is not an https:// URL")]
    Endpoint,
}

#[derive(Deserialize)]
struct SecretText {
    username: Option<String>,
    password: Option<SecretString>,
    api_key_name: Option<String>,
    api_key_value: Option<SecretString>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
    authorization_endpoint: Option<String>,
    http_method: Option<String>,
    #[serde(default)]
    oauth_http_parameters: Option<ConnectionParameters>,
    #[serde(default)]
    invocation_http_parameters: Option<ConnectionParameters>,
}

impl Connection {
    /// Parses the secret of a connection with this `AuthorizationType`.
    ///
    /// # Errors
    /// [`ConnectionFault`].
    pub fn parse(
        authorization: &str,
        text: &str,
        plain_http: PlainHttp,
    ) -> Result<Self, ConnectionFault> {
        use ConnectionFault::Missing;
        let text = without_bom(text).trim_start();
        // serde alone would accept a list and take its items as members.
        let secret: SecretText = text
            .starts_with('{')
            .then(|| serde_json::from_str(text).ok())
            .flatten()
            .ok_or(ConnectionFault::Form)?;
        let auth = match authorization {
            "BASIC" => ConnectionAuth::Basic {
                username: secret.username.ok_or(Missing("username"))?,
                password: secret.password.ok_or(Missing("password"))?,
            },
            "API_KEY" => ConnectionAuth::ApiKey {
                name: secret.api_key_name.ok_or(Missing("api_key_name"))?,
                value: secret.api_key_value.ok_or(Missing("api_key_value"))?,
            },
            "OAUTH_CLIENT_CREDENTIALS" => ConnectionAuth::OAuth(Box::new(OAuthClient {
                client_id: secret.client_id.ok_or(Missing("client_id"))?,
                client_secret: secret.client_secret.ok_or(Missing("client_secret"))?,
                endpoint: token_endpoint(
                    &secret.authorization_endpoint.ok_or(Missing("authorization_endpoint"))?,
                    plain_http,
                )?,
                method: secret.http_method.unwrap_or_else(|| "POST".to_owned()),
                parameters: secret.oauth_http_parameters.unwrap_or_default(),
            })),
            _ => return Err(ConnectionFault::Authorization),
        };
        Ok(Self { auth, parameters: secret.invocation_http_parameters.unwrap_or_default() })
    }
}

/// Returns the endpoint for tokens, which receives the client's secret.
fn token_endpoint(text: &str, plain_http: PlainHttp) -> Result<Url, ConnectionFault> {
    let url = Url::parse(text).map_err(|_| ConnectionFault::Endpoint)?;
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_accepted = match url.scheme() {
        "https" => true,
        "http" => plain_http == PlainHttp::Loopback && is_loopback,
        _ => false,
    };
    if is_accepted { Ok(url) } else { Err(ConnectionFault::Endpoint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(authorization: &str, text: &str) -> Option<ConnectionFault> {
        Connection::parse(authorization, text, PlainHttp::Loopback).err()
    }

    #[test]
    fn connection_has_the_members_of_its_type() {
        use ConnectionFault::{Authorization, Endpoint, Form, Missing};
        let oauth = |endpoint: &str| {
            format!(
                r#"{{"client_id":"i","client_secret":"s","authorization_endpoint":"{endpoint}","http_method":"POST"}}"#
            )
        };
        for (authorization, text, expected) in [
            ("BASIC", r#"{"username":"u","password":"p"}"#, None),
            ("BASIC", "\u{feff} {\"username\":\"u\",\"password\":\"p\"}", None),
            ("BASIC", r#"{"username":"u"}"#, Some(Missing("password"))),
            ("API_KEY", r#"{"api_key_name":"k","api_key_value":"v","more":1}"#, None),
            ("API_KEY", r#"{"username":"u","password":"p"}"#, Some(Missing("api_key_name"))),
            ("OAUTH_CLIENT_CREDENTIALS", &oauth("https://login.example/t"), None),
            ("OAUTH_CLIENT_CREDENTIALS", &oauth("http://127.0.0.1:8080/t"), None),
            ("OAUTH_CLIENT_CREDENTIALS", &oauth("http://login.example/t"), Some(Endpoint)),
            ("OAUTH_CLIENT_CREDENTIALS", &oauth("login.example"), Some(Endpoint)),
            ("OAUTH_CLIENT_CREDENTIALS", r#"{"client_id":"i"}"#, Some(Missing("client_secret"))),
            ("NTLM", "{}", Some(Authorization)),
            ("BASIC", "[]", Some(Form)),
            ("BASIC", "", Some(Form)),
            ("BASIC", r#"{"username":7}"#, Some(Form)),
        ] {
            assert_eq!(fault(authorization, text), expected, "{authorization} {text}");
        }
    }

    #[test]
    fn plain_http_is_refused_without_a_local_aws() {
        let text = r#"{"client_id":"i","client_secret":"s","authorization_endpoint":"http://127.0.0.1:8080/t"}"#;
        let refused = Connection::parse("OAUTH_CLIENT_CREDENTIALS", text, PlainHttp::Never);
        assert_eq!(refused.err(), Some(ConnectionFault::Endpoint));
    }

    #[test]
    fn connection_parameters_are_read_in_each_form() {
        for parameters in [
            r#"{"header_parameters":[{"key":"a","value":"1","is_value_secret":true}]}"#,
            r#"{"HeaderParameters":[{"Key":"a","Value":"1"}],"query_string_parameters":null}"#,
            r#"{"header_parameters":{"a":"1"}}"#,
        ] {
            let text = format!(
                r#"{{"username":"u","password":"p","invocation_http_parameters":{parameters}}}"#
            );
            let connection = Connection::parse("BASIC", &text, PlainHttp::Never);
            let headers = connection.as_ref().map(|it| it.parameters.headers.pairs());
            assert_eq!(headers.ok(), Some(vec![("a", "1")]), "{parameters}");
        }
    }

    #[test]
    fn connection_is_shown_without_secrets() {
        let text = r#"{"username":"u","password":"hush","invocation_http_parameters":
            {"header_parameters":[{"key":"a","value":"hush"}],"body_parameters":{"b":"hush"}}}"#;
        let shown = format!("{:?}", Connection::parse("BASIC", text, PlainHttp::Never));
        assert!(shown.contains("username: \"u\"") && !shown.contains("hush"), "{shown}");
    }
}
