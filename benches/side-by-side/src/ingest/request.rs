//! The requests of callers, signed and serialized.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Bytes;
use md5::{Digest as _, Md5};
use standardwebhooks::Webhook;

use crate::events::Source;

/// The shared secret of callers and server.
pub(crate) const SECRET: &str = "whsec_YmVuY2htYXJrLWJlbmNobWFyay1iZW5jaG1hcms=";

/// The retry count in the body.
pub(crate) const RETRY_COUNT: u64 = 2;

const FAILURE: &str = "the target answered 503 Service Unavailable to all of 3 attempts over 15 minutes: upstream connect error or \
    disconnect/reset before headers, reset reason: connection timeout; the last answer came from crm-sync.internal.example \
    after 29873 ms, x-request-id 3f0e5f4e-7a3b-4c61-9b0e-5d0a6f1c2e7d; the attempts before it ended with 503 after 30002 ms and with a \
    reset connection after 11 ms; the circuit to this target was opened at 2026-04-16T09:27:41Z and stays \
    open for 30 s; what the target had said of itself then: degraded, since a node of its database is being replaced";

/// The MD5 of a body, the identity of requests and messages.
pub(crate) type Digest = [u8; 16];

/// Returns the MD5 of `body`.
pub(crate) fn digest(body: &[u8]) -> Digest {
    Md5::digest(body).into()
}

/// The path of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    DeadLetter,
    Webhook,
}

impl Route {
    pub(crate) const ALL: [Self; 2] = [Self::DeadLetter, Self::Webhook];

    fn path(self) -> &'static str {
        match self {
            Self::DeadLetter => "/dead-letter",
            Self::Webhook => "/webhooks/genesys-outbound",
        }
    }

    /// Returns the attribute `Origin` of its messages.
    pub(crate) fn origin(self) -> &'static str {
        match self {
            Self::DeadLetter => "ingest/dead-letter",
            Self::Webhook => "ingest/webhook",
        }
    }
}

/// A unique request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) route: Route,
    /// The digest of the body.
    pub(crate) digest: Digest,
    start: Vec<u8>,
    rest: Bytes,
}

impl Request {
    /// The bytes on the wire.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.start, &self.rest]
    }
}

/// Makes requests with unique bodies.
pub(crate) struct Caller {
    source: Source,
    signer: Webhook,
    made: u64,
}

impl Caller {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { source: Source::default(), signer: Webhook::new(SECRET)?, made: 0 })
    }

    /// Returns requests of ordinary size, to both routes in turns.
    pub(crate) fn ordinary(&mut self, count: usize) -> anyhow::Result<Vec<Request>> {
        let routes = Route::ALL.into_iter().cycle().take(count);
        let each = routes.map(|route| {
            let event = self.source.conversation_event().body;
            let body = format!("{}{event}}}", opening(route));
            self.request(route, body, Bytes::new())
        });
        each.collect()
    }

    /// Returns requests that end with [`filler`], to both routes in turns.
    pub(crate) fn large(&mut self, count: usize, filler: &Bytes) -> anyhow::Result<Vec<Request>> {
        let routes = Route::ALL.into_iter().cycle().take(count);
        let each = routes.map(|route| {
            let id = self.made;
            let opening = opening(route);
            let start = format!(r#"{opening}{{"id":"large-{id}","detail-type":"large","detail":["#);
            self.request(route, start, filler.clone())
        });
        each.collect()
    }

    /// Returns the head of a request with a body of `length` bytes or of chunks, with a plausible signature.
    pub(crate) fn head(&mut self, length: Option<usize>) -> anyhow::Result<String> {
        self.signed(Route::DeadLetter, b"", length)
    }

    fn request(&mut self, route: Route, start: String, rest: Bytes) -> anyhow::Result<Request> {
        let mut body = start.into_bytes();
        let start_ends = body.len();
        body.extend_from_slice(&rest);
        let mut start = self.signed(route, &body, Some(body.len()))?.into_bytes();
        start.extend_from_slice(&body[..start_ends]);
        Ok(Request { route, digest: digest(&body), start, rest })
    }

    fn signed(
        &mut self,
        route: Route,
        body: &[u8],
        length: Option<usize>,
    ) -> anyhow::Result<String> {
        self.made += 1;
        let id = format!("msg_{:012}", self.made);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let signature = self.signer.sign(&id, i64::try_from(now)?, body)?;
        let own = match route {
            Route::DeadLetter => String::new(),
            Route::Webhook => format!(
                "x-genesys-webhook-id: {id}\r\nx-genesys-webhook-timestamp: 2026-04-16T09:12:41.507Z\r\n"
            ),
        };
        let framing = length.map_or("transfer-encoding: chunked".to_owned(), |length| {
            format!("content-length: {length}")
        });
        Ok(format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nuser-agent: genesys-bench\r\n\
             webhook-id: {id}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\n{own}{framing}\r\n\r\n",
            route.path()
        ))
    }
}

/// Returns the body before its event.
fn opening(route: Route) -> String {
    match route {
        Route::DeadLetter => format!(
            r#"{{"eventType":"dead-letter","subscriptionId":"s-1","retryCount":{RETRY_COUNT},"failureReason":"{FAILURE}","timestamp":"2026-04-16T09:27:41.507Z","originalEvent":"#
        ),
        Route::Webhook => format!(r#"{{"reason":"{FAILURE}","event":"#),
    }
}

/// Returns the `length` last bytes of a large body: small values with many quotes, which need escapes in a message.
pub(crate) fn filler(length: usize) -> Bytes {
    const END: &str = "]}}";
    let mut filler = String::with_capacity(length);
    let mut number = 0_u64;
    while filler.len() + 64 + END.len() < length {
        // Writing to a string cannot fail.
        write!(filler, r#"{{"n":"{number:06}","t":"agent joined"}},"#).ok();
        number += 1;
    }
    let blank = length.saturating_sub(filler.len() + END.len() + 2);
    let last = "x".repeat(blank);
    write!(filler, "\"{last}\"{END}").ok();
    filler.into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Returns head and body of a request.
    fn read(request: &Request) -> anyhow::Result<(String, Vec<u8>)> {
        let wire = request.parts().concat();
        let ends = wire.windows(4).position(|end| end == b"\r\n\r\n");
        let (head, body) = wire.split_at(ends.unwrap_or_default() + 4);
        Ok((String::from_utf8(head.to_vec())?, body.to_vec()))
    }

    #[test]
    fn requests_are_signed_and_have_a_content_length() -> anyhow::Result<()> {
        let mut caller = Caller::new()?;
        let filler = filler(10_000);
        let mut requests = caller.ordinary(2)?;
        requests.extend(caller.large(2, &filler)?);
        for request in requests {
            let (head, body) = read(&request)?;
            let mut headers = hyper::HeaderMap::new();
            for line in head.lines().skip(1) {
                if let Some((name, value)) = line.split_once(": ") {
                    let name = hyper::header::HeaderName::try_from(name)?;
                    headers.insert(name, value.parse()?);
                }
            }
            Webhook::new(SECRET)?.verify(&body, &headers)?;
            assert_eq!(headers["content-length"], body.len().to_string().as_str());
            assert_eq!(request.digest, digest(&body));
            assert!(head.starts_with(&format!("POST {} ", request.route.path())));
        }
        Ok(())
    }

    #[test]
    fn bodies_are_json_objects_of_the_requested_size() -> anyhow::Result<()> {
        let mut caller = Caller::new()?;
        for request in caller.ordinary(4)? {
            let (_, body) = read(&request)?;
            assert!((1_400..1_700).contains(&body.len()), "{}", body.len());
            assert!(serde_json::from_slice::<Value>(&body)?.is_object());
        }
        for request in caller.large(2, &filler(10_000))? {
            let (_, body) = read(&request)?;
            assert!((10_000..11_000).contains(&body.len()), "{}", body.len());
            assert!(serde_json::from_slice::<Value>(&body)?.is_object());
        }
        Ok(())
    }

    #[test]
    fn bodies_are_unique() -> anyhow::Result<()> {
        let mut caller = Caller::new()?;
        let filler = filler(1_000);
        let mut requests = caller.ordinary(50)?;
        requests.extend(caller.large(50, &filler)?);
        let different: std::collections::HashSet<_> = requests.iter().map(|it| it.digest).collect();
        assert_eq!(different.len(), 100);
        Ok(())
    }
}
