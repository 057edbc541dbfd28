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

            /// The code as it stands wherever it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The code's page for the person on call, in Markdown: what happened, what the function
            /// did, what to do.
            #[must_use]
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../docs/failures/", $text, ".md")),)+
                }
            }

            /// What the person on call does, in one sentence: the quoted line of the code's page.
            #[must_use]
            pub fn what_to_do(self) -> &'static str {
                self.page().lines().find_map(|line| line.strip_prefix("> ")).unwrap_or_default()
            }

            /// The code with this text, or `None`.
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
    /// Why a dead letter did not end as replayed: in logs, in the ledger and in archive keys. Part of the
    /// interface: codes are added, never renamed.
    FailureCode {
        /// The message has no `EventBridge` attributes and none of the known shapes.
        NotAnEvent = "NOT_AN_EVENT",
        /// The message tells of an event without holding it.
        NoPayload = "NO_PAYLOAD",
        /// The event only tells of a mark that this function has written.
        OwnEcho = "OWN_ECHO",
        /// The first delivery failed because the payload was malformed.
        PayloadMalformed = "PAYLOAD_MALFORMED",
        /// The event is older than the setting allows.
        Stale = "STALE",
        /// Genesys Cloud does not know the interaction.
        InteractionNotFound = "INTERACTION_NOT_FOUND",
        /// The event cannot be delivered to that kind of target, or it names none.
        TargetUnsupported = "TARGET_UNSUPPORTED",
        /// The dead letter names a target that the settings do not allow, or its address is refused.
        TargetNotAllowed = "TARGET_NOT_ALLOWED",
        /// The target refused the event for good.
        TargetRefused = "TARGET_REFUSED",
        /// The target's address, method or name is wrong, or it is disabled.
        TargetMisconfigured = "TARGET_MISCONFIGURED",
        /// The target did not accept our credentials.
        TargetCredentials = "TARGET_CREDENTIALS",
        /// The target asked us to slow down.
        TargetRateLimited = "TARGET_RATE_LIMITED",
        /// The target was down, unreachable or too slow.
        TargetUnavailable = "TARGET_UNAVAILABLE",
        /// The target accepted the event and failed later, too often or for now.
        FailedAfterAcceptance = "FAILED_AFTER_ACCEPTANCE",
        /// Genesys Cloud refused a call for good.
        GenesysRefused = "GENESYS_REFUSED",
        /// Genesys Cloud asked us to slow down.
        GenesysRateLimited = "GENESYS_RATE_LIMITED",
        /// Genesys Cloud was down, unreachable, too slow, or its answer unreadable.
        GenesysUnavailable = "GENESYS_UNAVAILABLE",
        /// Genesys Cloud did not accept our credentials, or they lack a permission.
        GenesysCredentials = "GENESYS_CREDENTIALS",
        /// The ledger could not be read or written.
        LedgerUnavailable = "LEDGER_UNAVAILABLE",
        /// The archive could not be written.
        ArchiveUnavailable = "ARCHIVE_UNAVAILABLE",
        /// An upstream fails again and again and is left alone for a while.
        BreakerOpen = "BREAKER_OPEN",
        /// An earlier message of the same group has to come first.
        GroupStopped = "GROUP_STOPPED",
        /// Another worker holds the event.
        HeldElsewhere = "HELD_ELSEWHERE",
        /// The invocation's deadline was too near.
        OutOfTime = "OUT_OF_TIME",
        /// The event was delivered, but its interaction could not be marked as replayed.
        RetryStateNotWritten = "RETRY_STATE_NOT_WRITTEN",
        /// Every receive was used up.
        Exhausted = "EXHAUSTED",
        /// A fault in this program.
        Internal = "INTERNAL",
    }
}

codes! {
    /// Why ingest did not accept a request: in its answers and in logs. Part of the interface: codes are
    /// added, never renamed.
    RefusalCode {
        /// The request is not signed as it should be, or nobody vouches for its sender.
        NotAuthenticated = "INGEST_NOT_AUTHENTICATED",
        /// The subscription is unknown or inactive.
        SubscriptionRefused = "INGEST_SUBSCRIPTION_REFUSED",
        /// There is nothing at that path.
        NotFound = "INGEST_NOT_FOUND",
        /// The path takes another method.
        Method = "INGEST_METHOD",
        /// The body did not arrive in time, or not whole.
        BodyIncomplete = "INGEST_BODY_INCOMPLETE",
        /// The body is longer than what is taken.
        BodyTooLarge = "INGEST_BODY_TOO_LARGE",
        /// The body does not say that it is JSON.
        MediaType = "INGEST_MEDIA_TYPE",
        /// The body is not the wrapper of a dead letter.
        BodyMalformed = "INGEST_BODY_MALFORMED",
        /// The wrapper has no event in it.
        EventEmpty = "INGEST_EVENT_EMPTY",
        /// The queue could not be written.
        QueueUnavailable = "INGEST_QUEUE_UNAVAILABLE",
        /// Genesys Cloud could not say whether the subscription is active.
        GenesysUnavailable = "INGEST_GENESYS_UNAVAILABLE",
        /// The secret that signatures are checked with could not be read.
        SecretUnavailable = "INGEST_SECRET_UNAVAILABLE",
        /// There is no room for another body now.
        Busy = "INGEST_BUSY",
        /// A fault in this program.
        Internal = "INGEST_INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_says_what_to_do() {
        let failures = FailureCode::ALL
            .iter()
            .map(|code| (code.as_str(), code.page(), code.what_to_do()));
        let refusals = RefusalCode::ALL
            .iter()
            .map(|code| (code.as_str(), code.page(), code.what_to_do()));
        for (code, page, what_to_do) in failures.chain(refusals) {
            assert!(page.starts_with(&format!("# {code}\n")), "{code}");
            for section in [
                "## What happened",
                "## What the function did",
                "## What to do",
            ] {
                assert!(page.contains(section), "{code}: {section}");
            }
            assert!(
                (1..=160).contains(&what_to_do.len()),
                "{code}: {what_to_do:?}"
            );
        }
    }

    #[test]
    fn every_code_reads_back_and_no_other_text_does() {
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
