//! Times on the command line.

use genesys_replay::clock::{Clock, SystemClock, Timestamp};

/// Parses a time, or a duration before now.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Some(moment) = Timestamp::parse(text) {
        return Ok(moment);
    }
    let ago = humantime::parse_duration(text).map_err(|_| {
        "must be a time such as 2026-11-22T08:00:00Z, or a duration before now, such as 6h or 7days"
    })?;
    let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
    let now = SystemClock.now().as_millis();
    Ok(Timestamp::from_millis(now.saturating_sub(ago)))
}
