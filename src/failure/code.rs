//! The stable names of failures.

use std::fmt;

macro_rules! codes {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the stable text of the code.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Returns the code's page for the person on call, in Markdown: the event, the function's
            /// reaction, and the action to take.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../docs/failures/", $text, ".md")),)+
                }
            }

            /// Returns the action for the person on call, in one sentence: the quoted line of the code's
            /// page.
            #[must_use]
            pub fn what_to_do(self) -> &'static str {
                self.page().lines().find_map(|line| line.strip_prefix("> ")).unwrap_or_default()
            }

            /// Returns the code with this text, or `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// The reason why a dead letter was not replayed: in logs, in the ledger and in archive keys. Part of the
    /// interface: codes are added, never renamed.
    FailureCode {
        /// The message has neither `EventBridge` attributes nor a known shape.
        NotAnEvent = "NOT_AN_EVENT",
        /// The message reports a failed event but does not contain the event.
        NoPayload = "NO_PAYLOAD",
        /// The event is only an echo of our own PATCH.
        OwnEcho = "OWN_ECHO",
        /// The first delivery failed because the payload was malformed.
        PayloadMalformed = "PAYLOAD_MALFORMED",
        /// The payload was cut off before it was queued.
        PayloadTruncated = "PAYLOAD_TRUNCATED",
        /// The message has a pointer to its payload in S3.
        PayloadOffloaded = "PAYLOAD_OFFLOADED",
        /// The payload is longer than the target accepts.
        PayloadTooLarge = "PAYLOAD_TOO_LARGE",
        /// The event is older than the setting allows.
        Stale = "STALE",
        /// The interaction does not exist in Genesys Cloud.
        InteractionNotFound = "INTERACTION_NOT_FOUND",
        /// The function cannot deliver to this type of target, or the dead letter names no target.
        TargetUnsupported = "TARGET_UNSUPPORTED",
        /// The settings do not allow the target that the dead letter names, or its address is refused.
        TargetNotAllowed = "TARGET_NOT_ALLOWED",
        /// The target refused the event permanently.
        TargetRefused = "TARGET_REFUSED",
        /// The target's address, method or name is wrong, or the target is disabled.
        TargetMisconfigured = "TARGET_MISCONFIGURED",
        /// The target did not accept our credentials.
        TargetCredentials = "TARGET_CREDENTIALS",
        /// The parameters of the delivery, which a rule or a connection defines, cannot be computed.
        TargetParametersUnknown = "TARGET_PARAMETERS_UNKNOWN",
        /// The target throttled the delivery.
        TargetRateLimited = "TARGET_RATE_LIMITED",
        /// The target was down, unreachable or too slow.
        TargetUnavailable = "TARGET_UNAVAILABLE",
        /// The target accepted the event and failed later: in the last round, or before a new round.
        FailedAfterAcceptance = "FAILED_AFTER_ACCEPTANCE",
        /// Genesys Cloud refused a call permanently.
        GenesysRefused = "GENESYS_REFUSED",
        /// Genesys Cloud throttled a call.
        GenesysRateLimited = "GENESYS_RATE_LIMITED",
        /// Genesys Cloud was down, unreachable or too slow, or its answer was unreadable.
        GenesysUnavailable = "GENESYS_UNAVAILABLE",
        /// Genesys Cloud did not accept our credentials, or they lack a permission.
        GenesysCredentials = "GENESYS_CREDENTIALS",
        /// The ledger could not be read or written.
        LedgerUnavailable = "LEDGER_UNAVAILABLE",
        /// The archive could not be written.
        ArchiveUnavailable = "ARCHIVE_UNAVAILABLE",
        /// The circuit breaker of an upstream is open.
        BreakerOpen = "BREAKER_OPEN",
        /// An earlier message of the same group must be handled first.
        GroupStopped = "GROUP_STOPPED",
        /// Another worker holds the event.
        HeldElsewhere = "HELD_ELSEWHERE",
        /// The invocation's deadline was too near.
        OutOfTime = "OUT_OF_TIME",
        /// The event was delivered, but its interaction could not be marked as replayed.
        RetryStateNotWritten = "RETRY_STATE_NOT_WRITTEN",
        /// The limit of time or receives for retries was reached.
        Exhausted = "EXHAUSTED",
        /// A bug in this program.
        Internal = "INTERNAL",
    }
}

impl FailureCode {
    /// Returns true if the cause of a deferral is on our side: the deadline, another worker, the ledger, the archive, our
    /// credentials, or a bug. Such a cause rejects an event only at the last receive of its message.
    #[must_use]
    pub const fn is_about_us(self) -> bool {
        match self {
            Self::OutOfTime
            | Self::HeldElsewhere
            | Self::LedgerUnavailable
            | Self::ArchiveUnavailable
            | Self::GenesysCredentials
            | Self::BreakerOpen
            | Self::GroupStopped
            | Self::Internal => true,
            Self::NotAnEvent
            | Self::NoPayload
            | Self::OwnEcho
            | Self::PayloadMalformed
            | Self::PayloadTruncated
            | Self::PayloadOffloaded
            | Self::PayloadTooLarge
            | Self::Stale
            | Self::InteractionNotFound
            | Self::TargetUnsupported
            | Self::TargetNotAllowed
            | Self::TargetRefused
            | Self::TargetMisconfigured
            | Self::TargetCredentials
            | Self::TargetParametersUnknown
            | Self::TargetRateLimited
            | Self::TargetUnavailable
            | Self::FailedAfterAcceptance
            | Self::GenesysRefused
            | Self::GenesysRateLimited
            | Self::GenesysUnavailable
            | Self::RetryStateNotWritten
            | Self::Exhausted => false,
        }
    }
}

codes! {
    /// The reason why ingest rejected a request: in its answers and in logs. Part of the interface: codes are
    /// added, never renamed.
    RefusalCode {
        /// The request's signature is missing or invalid, or its sender is not authenticated.
        NotAuthenticated = "INGEST_NOT_AUTHENTICATED",
        /// The subscription is unknown or inactive.
        SubscriptionRefused = "INGEST_SUBSCRIPTION_REFUSED",
        /// The Lambda function received a request that is not HTTP.
        RequestMalformed = "INGEST_REQUEST_MALFORMED",
        /// The path does not exist.
        NotFound = "INGEST_NOT_FOUND",
        /// The path does not allow this method.
        Method = "INGEST_METHOD",
        /// The body did not arrive completely and in time.
        BodyIncomplete = "INGEST_BODY_INCOMPLETE",
        /// The body exceeds the maximum size.
        BodyTooLarge = "INGEST_BODY_TOO_LARGE",
        /// The media type of the body is not JSON.
        MediaType = "INGEST_MEDIA_TYPE",
        /// The body is not the wrapper of a dead letter.
        BodyMalformed = "INGEST_BODY_MALFORMED",
        /// The wrapper contains no event.
        EventEmpty = "INGEST_EVENT_EMPTY",
        /// The queue could not be written.
        QueueUnavailable = "INGEST_QUEUE_UNAVAILABLE",
        /// Genesys Cloud did not report the state of the subscription.
        GenesysUnavailable = "INGEST_GENESYS_UNAVAILABLE",
        /// The secret for checking signatures could not be read.
        SecretUnavailable = "INGEST_SECRET_UNAVAILABLE",
        /// Ingest has no room for another body at the moment.
        Busy = "INGEST_BUSY",
        /// A bug in this program.
        Internal = "INGEST_INTERNAL",
    }
}

impl FailureCode {
    /// Returns true if the function archives such a message without a claim, so that the ledger has no item of it.
    #[must_use]
    pub const fn is_without_claim(self) -> bool {
        self.is_without_event() || matches!(self, Self::PayloadMalformed)
    }

    /// Returns true if such a message does not contain an event that could be delivered.
    #[must_use]
    pub const fn is_without_event(self) -> bool {
        matches!(
            self,
            Self::NotAnEvent | Self::NoPayload | Self::PayloadTruncated | Self::PayloadOffloaded
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_code_has_a_page_with_a_remedy() {
        let failures =
            FailureCode::ALL.iter().map(|code| (code.as_str(), code.page(), code.what_to_do()));
        let refusals =
            RefusalCode::ALL.iter().map(|code| (code.as_str(), code.page(), code.what_to_do()));
        for (code, page, what_to_do) in failures.chain(refusals) {
            assert!(page.starts_with(&format!("# {code}\n")), "{code}");
            for section in ["## What happened", "## What the function did", "## What to do"] {
                assert!(page.contains(section), "{code}: {section}");
            }
            assert!((1..=160).contains(&what_to_do.len()), "{code}: {what_to_do:?}");
        }
    }

    #[test]
    fn failure_code_is_parsed_only_from_its_own_text() {
        for code in FailureCode::ALL {
            assert_eq!(FailureCode::parse(code.as_str()), Some(*code));
        }
        for code in RefusalCode::ALL {
            assert_eq!(RefusalCode::parse(code.as_str()), Some(*code));
        }
        assert_eq!(FailureCode::parse("exhausted"), None);
        assert_eq!(FailureCode::parse(""), None);
    }
}
