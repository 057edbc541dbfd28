//! Bearer tokens, each with its own rate limit.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// The window of the rate limit: Genesys Cloud counts requests per token and minute.
const WINDOW: Duration = Duration::from_mins(1);

/// The valid tokens.
pub(crate) struct Tokens {
    issued: u64,
    life: Duration,
    allowed: u32,
    /// True if a client gets the same token at every request, so that its environments share one rate limit.
    is_shared: bool,
    live: HashMap<String, Token>,
}

struct Token {
    expires_at: Instant,
    window_ends: Instant,
    count: u32,
}

/// The values of the rate limit headers.
#[derive(Clone, Copy)]
pub(crate) struct RateLimitStatus {
    pub(crate) count: u32,
    pub(crate) allowed: u32,
    pub(crate) reset_s: u64,
}

/// The result of the token check of a request.
pub(crate) enum Admission {
    Unauthorized,
    Granted(RateLimitStatus),
    OverLimit(RateLimitStatus),
}

impl Tokens {
    pub(crate) fn new(life: Duration, allowed: u32, is_shared: bool) -> Self {
        Self { issued: 0, life, allowed, is_shared, live: HashMap::new() }
    }

    pub(crate) fn life(&self) -> Duration {
        self.life
    }

    pub(crate) fn issue(&mut self) -> String {
        let now = Instant::now();
        if self.is_shared
            && let Some((name, _)) = self.live.iter().find(|(_, token)| now < token.expires_at)
        {
            return name.clone();
        }
        self.issued += 1;
        let name = format!("stand-in-token-{}", self.issued);
        let token = Token { expires_at: now + self.life, window_ends: now + WINDOW, count: 0 };
        self.live.insert(name.clone(), token);
        name
    }

    pub(crate) fn revoke_all(&mut self) {
        self.live.clear();
    }

    /// Counts a request against the token's rate limit.
    pub(crate) fn admit(&mut self, token: Option<&str>) -> Admission {
        let now = Instant::now();
        let allowed = self.allowed;
        let Some(token) =
            token.and_then(|token| self.live.get_mut(token)).filter(|token| now < token.expires_at)
        else {
            return Admission::Unauthorized;
        };
        if now >= token.window_ends {
            token.window_ends = now + WINDOW;
            token.count = 0;
        }
        if token.count >= allowed {
            return Admission::OverLimit(token.rate_limit_status(now, allowed));
        }
        token.count += 1;
        Admission::Granted(token.rate_limit_status(now, allowed))
    }

    /// Returns the token's rate limit values. Unused for an invalid token.
    pub(crate) fn rate_limit_status(&self, token: Option<&str>) -> RateLimitStatus {
        let now = Instant::now();
        let unused = RateLimitStatus { count: 0, allowed: self.allowed, reset_s: WINDOW.as_secs() };
        token
            .and_then(|token| self.live.get(token))
            .filter(|token| now < token.window_ends)
            .map_or(unused, |token| token.rate_limit_status(now, self.allowed))
    }
}

impl Token {
    fn rate_limit_status(&self, now: Instant, allowed: u32) -> RateLimitStatus {
        let left = self.window_ends - now;
        RateLimitStatus {
            count: self.count,
            allowed,
            // Rounded up, so that the delay is always long enough.
            reset_s: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        }
    }
}
