//! Certificates of a private authority, as `environment.yaml` sets them: the program trusts them beside the public ones.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use genesys_stand_in::{StandIn, Table};
use genesys_test_support::{Function, Invocation, Record, TestResult, event};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The public certificates, in one file: those of Amazon Linux in Lambda.
const PUBLIC_AUTHORITIES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/it/private_ca/public-authority.pem");
/// The folder of the layer.
const PRIVATE_AUTHORITIES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/it/private_ca/ca");

/// Certificates and keys of servers on 127.0.0.1, made for this test only. They are valid for a hundred years.
const PUBLIC: &[u8] = include_bytes!("private_ca/public-server.pem");
const PRIVATE: &[u8] = include_bytes!("private_ca/private-server.pem");

/// A server that decrypts TLS and forwards the connections to another server.
struct TlsProxy {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl TlsProxy {
    async fn start(url: &str, certificate: &[u8]) -> Result<Self, Box<dyn Error>> {
        let server: SocketAddr = url.strip_prefix("http://").ok_or("no http URL")?.parse()?;
        let chain = vec![CertificateDer::from_pem_slice(certificate)?];
        let key = PrivateKeyDer::from_pem_slice(certificate)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Ok(Self { address, listening })
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Replays an event with the certificates of the servers of AWS and of Genesys Cloud, which is also the target.
/// Returns the function's answer and the number of deliveries.
async fn replayed(
    aws: &[u8],
    genesys: &[u8],
    variables: &[(&str, &str)],
) -> Result<(Value, usize), Box<dyn Error>> {
    let stand_in = StandIn::builder().start().await?;
    let table = Table::start("EventId").await?;
    let genesys = TlsProxy::start(&stand_in.url(), genesys).await?;
    let aws = TlsProxy::start(&table.url(), aws).await?;
    let url = genesys.url();
    let settings: BTreeMap<String, String> = [
        ("GENESYS_API_BASE_URL", url.as_str()),
        ("GENESYS_LOGIN_BASE_URL", &url),
        ("GENESYS_CLIENT_ID", "demo-client"),
        ("GENESYS_CLIENT_SECRET", "demo-secret"),
        ("REPLAY_TARGET", &format!("{url}/targets/crm")),
        ("BACKOFF_BASE_SECONDS", "0"),
    ]
    .iter()
    .chain(variables)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    let mut function = Function::start_at(crate::REPLAY, &settings, &aws.url()).await?;
    let answer = function.invoke(event(&[Record::dead_letter("m-1", "e-1", "c-1")])).await?;
    let Invocation::Response(answer) = answer else {
        return Err(format!("{answer:?}: {}", function.end().await?.stdout).into());
    };
    Ok((answer, stand_in.calls_to("POST", "/targets/").len()))
}

#[tokio::test]
async fn private_authority_is_trusted_beside_the_public_ones() -> TestResult {
    let both = [("SSL_CERT_FILE", PUBLIC_AUTHORITIES), ("SSL_CERT_DIR", PRIVATE_AUTHORITIES)];
    // The SDK and the client of Genesys Cloud and of HTTP targets, each with both authorities.
    for (aws, genesys) in [(PUBLIC, PRIVATE), (PRIVATE, PUBLIC)] {
        let (answer, deliveries) = replayed(aws, genesys, &both).await?;
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        assert_eq!(deliveries, 1);
    }
    Ok(())
}

#[tokio::test]
async fn private_authority_is_not_trusted_without_the_layer() -> TestResult {
    let public = [("SSL_CERT_FILE", PUBLIC_AUTHORITIES)];
    for (aws, genesys) in [(PUBLIC, PRIVATE), (PRIVATE, PUBLIC)] {
        let (answer, deliveries) = replayed(aws, genesys, &public).await?;
        assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "m-1" }] }));
        assert_eq!(deliveries, 0);
    }
    let (answer, deliveries) = replayed(PUBLIC, PUBLIC, &public).await?;
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!(deliveries, 1);
    Ok(())
}

/// The folder replaces the public certificates if it is alone, hence both variables in `environment.yaml`.
#[tokio::test]
async fn private_authority_alone_replaces_the_public_ones() -> TestResult {
    let private = [("SSL_CERT_DIR", PRIVATE_AUTHORITIES)];
    let (_, deliveries) = replayed(PRIVATE, PUBLIC, &private).await?;
    assert_eq!(deliveries, 0);
    Ok(())
}
