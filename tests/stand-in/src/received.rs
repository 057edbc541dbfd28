//! A received request and its service.

use hyper::body::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Method, Uri};

/// The path of API Gateway at a local AWS. Its APIs pass each request on to a target.
const LOCAL_API_GATEWAY: &str = "/_aws/execute-api/";

/// A request with its body read.
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    /// Path and query as sent.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or_else(|| self.uri.path(), |target| target.as_str())
    }

    pub(crate) fn service(&self) -> Service {
        let path = self.uri.path();
        if path == "/oauth/token" {
            Service::Login
        } else if path.starts_with("/api/") {
            Service::Genesys
        } else if path.starts_with("/targets/") || path.starts_with(LOCAL_API_GATEWAY) {
            Service::Target
        } else {
            Service::Nobody
        }
    }

    /// Returns the credentials after `scheme` in the authorization header.
    pub(crate) fn credentials(&self, scheme: &str) -> Option<&str> {
        let (given, credentials) =
            self.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        given.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
    }
}

/// The service of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Genesys Cloud's login host.
    Login,
    /// Genesys Cloud's API host.
    Genesys,
    /// A delivery target.
    Target,
    /// Another path, with the response 404.
    Nobody,
}
