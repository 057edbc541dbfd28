//! The clients of the tests.

use std::error::Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genesys_stand_in::StandIn;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A complete response.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.body)?)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An HTTP client with an optional bearer token.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn anonymous(url: &str) -> Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder()
                .no_proxy()
                // In paused time, an idle connection would be closed at once.
                .pool_idle_timeout(None)
                .build()?,
            url: url.to_owned(),
            token: None,
        })
    }

    pub(crate) async fn logged_in(stand_in: &StandIn) -> Result<Self> {
        let mut client = Self::anonymous(&stand_in.url())?;
        client.log_in().await?;
        Ok(client)
    }

    pub(crate) async fn log_in(&mut self) -> Result {
        let reply = self.ask_for_token("demo-client", "demo-secret").await?;
        let answer = reply.json()?;
        self.token = Some(answer["access_token"].as_str().ok_or("no token")?.to_owned());
        Ok(())
    }

    pub(crate) async fn ask_for_token(&self, id: &str, secret: &str) -> Result<Reply> {
        let body = "grant_type=client_credentials";
        self.post_form(&format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))), body).await
    }

    pub(crate) async fn post_form(&self, authorization: &str, body: &str) -> Result<Reply> {
        let request = self.http.post(format!("{}/oauth/token", self.url));
        let request = request
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        whole(request.body(body.to_owned()).send().await?).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &str) -> Result<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        whole(request.body(body.to_owned()).send().await?).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Reply> {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Result<Reply> {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &str) -> Result<Reply> {
        self.send(Method::PATCH, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Result<Reply> {
        self.send(Method::PUT, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Reply> {
        self.send(Method::DELETE, path, "").await
    }
}

async fn whole(response: reqwest::Response) -> Result<Reply> {
    Ok(Reply {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await?,
    })
}

/// Posts `body` over a socket and returns every byte until the stand-in closes the connection.
pub(crate) async fn raw_post(url: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: stand-in\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
