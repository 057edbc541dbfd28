//! The arguments of every command.

use clap::ValueEnum;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GlobalArgs {
    /// The AWS profile.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The AWS region.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Another endpoint for all AWS services, such as a local stack.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// The replay function, by name or ARN: its settings and its queue are used.
    #[arg(long, global = true, value_name = "NAME", env = "GENESYS_REPLAY_FUNCTION")]
    pub(crate) function: Option<String>,
    /// The queue that the function drains, by URL, ARN or name.
    #[arg(long, global = true, value_name = "QUEUE", env = "REPLAY_QUEUE_URL")]
    pub(crate) queue: Option<String>,
    /// The format of data on stdout.
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
}
