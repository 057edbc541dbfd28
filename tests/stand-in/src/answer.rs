//! Responses, complete or truncated.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;

/// A response before a fault may truncate it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::empty(status).with_body("application/json", body),
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::empty(status).with_body("text/plain; charset=utf-8", text.into())
    }

    pub(crate) fn with_body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.with_header(CONTENT_TYPE, content_type)
    }

    /// Sets a header. An invalid value is left out.
    pub(crate) fn with_header(
        mut self,
        name: HeaderName,
        value: impl TryInto<HeaderValue>,
    ) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.insert(name, value);
        }
        self
    }

    /// Returns the complete response.
    pub(crate) fn whole(self) -> Response<AnswerBody> {
        self.respond(|body| AnswerBody {
            data: Some(body).filter(|body| !body.is_empty()),
            truncation: Truncation::No,
        })
    }

    /// Returns the response with the full content length and half of the body.
    pub(crate) fn truncated(mut self) -> Response<AnswerBody> {
        // A truncated empty body needs a content length, too.
        let promised = self.body.len().max(2);
        self.headers.insert(CONTENT_LENGTH, promised.into());
        self.respond(|body| AnswerBody {
            data: Some(body.slice(..body.len() / 2)).filter(|half| !half.is_empty()),
            truncation: Truncation::Flush,
        })
    }

    fn respond(self, body: impl FnOnce(Bytes) -> AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::new(body(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// A response body that may fail after its data.
pub(crate) struct AnswerBody {
    data: Option<Bytes>,
    truncation: Truncation,
}

/// The end of a body after its data.
enum Truncation {
    /// The body is complete.
    No,
    /// Lets hyper send the data, then fails.
    Flush,
    /// Fails at once.
    Abort,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.truncation {
            Truncation::No => Poll::Ready(None),
            Truncation::Flush => {
                // hyper flushes the data only when the body is pending.
                self.truncation = Truncation::Abort;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Truncation::Abort => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && matches!(self.truncation, Truncation::No)
    }

    fn size_hint(&self) -> SizeHint {
        match self.truncation {
            Truncation::No => {
                SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Truncation::Flush | Truncation::Abort => SizeHint::default(),
        }
    }
}
