//! The version and the commit of this build.

/// The version, for example `0.2.0`.
pub const VERSION: &str = env!("BUILD_VERSION");

/// The commit, as its first 12 hexadecimal digits; in a release, `-dirty` follows if files had changed since that commit.
/// `None` in a build for development, and in a build outside a checkout.
pub const COMMIT: Option<&str> = option_env!("BUILD_COMMIT");

/// Version and commit, for example `0.2.0 (8eeb57644a11)`.
pub const RELEASE: &str = concat!(env!("BUILD_VERSION"), env!("BUILD_DETAILS"));

/// Name, version and commit, for example `genesys-replay 0.2.0 (8eeb57644a11)`.
pub const PROGRAM: &str = concat!("genesys-replay ", env!("BUILD_VERSION"), env!("BUILD_DETAILS"));

/// The `User-Agent` of HTTP calls, for example `genesys-replay/0.2.0 (8eeb57644a11)`.
pub const USER_AGENT: &str =
    concat!("genesys-replay/", env!("BUILD_VERSION"), env!("BUILD_DETAILS"));

/// The name of the application in the `User-Agent` of AWS calls, for example `genesys-replay-0.2.0`.
pub const AWS_APP_NAME: &str = concat!("genesys-replay-", env!("BUILD_VERSION"));
