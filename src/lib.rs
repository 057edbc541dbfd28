//! The core: dead letters and failures, the ports, and the replay of a batch.
//!
//! The core has no AWS SDK, no HTTP client and no access to the environment. The other crates have them:
//!
//! | crate | content |
//! |---|---|
//! | `genesys_replay_lambda` | `replay`, the Lambda function |
//! | `genesys_replay_ingest` | `ingest`, the HTTP function and server |
//! | `genesys_replay_cli` | `genesys-replay`, the operator's command |
//! | `genesys_replay_storage`, `genesys_replay_targets`, `genesys_replay_genesys` | the adapters of the ports |
//! | `genesys_replay_aws`, `genesys_replay_settings`, `genesys_replay_telemetry` | AWS clients, settings, logs and metrics |
//!
//! `docs/ARCHITECTURE.md` follows one dead letter through the code.
//!
//! # Example
//!
//! A message is parsed to a dead letter. The settings decide about its destination.
//!
//! ```
//! use genesys_replay::dead_letter::{ParsedMessage, parse};
//! use genesys_replay::destination::{AllowedTargets, Destination, ReplayTarget};
//! use genesys_replay::message::{Message, MessageId};
//!
//! # fn main() -> Result<(), &'static str> {
//! let body = r#"{"id":"e-1","detail-type":"t","source":"aws.partner/genesys.com","detail":{}}"#;
//! let mut message = Message::new(MessageId::new("m-1").ok_or("no id")?, body.to_owned());
//! let crm = "arn:aws:lambda:eu-central-1:271828182845:function:crm-sync";
//! message.attributes.insert("TARGET_ARN".to_owned(), crm.to_owned());
//!
//! let ParsedMessage::DeadLetter(dead_letter) = parse(&message) else {
//!     return Err("not a dead letter");
//! };
//! assert_eq!(dead_letter.payload, body);
//!
//! let target = ReplayTarget::original(AllowedTargets::only(["arn:aws:lambda:*:*:function:crm-*"]));
//! let own_arns = [];
//! let destination = target.destination(dead_letter.failure.target_arn.as_deref(), &own_arns);
//! assert!(matches!(destination, Destination::Lambda(_)));
//! # Ok(())
//! # }
//! ```

pub mod archive;
pub mod aws;
pub mod backoff;
pub mod cached;
pub mod clock;
pub mod connections;
pub mod dead_letter;
pub mod destination;
pub mod digest;
pub mod error;
pub mod failure;
pub mod genesys;
pub mod ledger;
pub mod message;
pub mod meter;
pub mod queue;
pub mod replay;
pub mod retry_after;
pub mod secret;
pub mod target;
pub mod text;
pub mod trace;
pub mod webhook_secret;
