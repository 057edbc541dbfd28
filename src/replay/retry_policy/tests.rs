use super::*;

const POLICY: Policy = Policy::new(Limits {
    max_attempts: 3,
    retry_for: Duration::from_secs(72 * 3_600),
    max_receives: 10,
    stale_after: None,
    backoff: Backoff { base: Duration::from_secs(2), max: Duration::from_secs(900) },
    max_wait: Duration::from_secs(5),
    replay_malformed: false,
    max_rounds: 10,
});

const FIRST: RetryContext = RetryContext {
    attempt: 1,
    attempts_this_receive: 1,
    is_last: false,
    answers: AnswerCounts { configuration: 0, unanswered: 0 },
    target_works: false,
    circuit_closed: true,
    max_delay_before_deadline: Duration::from_secs(20),
};

const EXHAUSTED: RetryDecision =
    RetryDecision::Reject { code: FailureCode::Exhausted, status: RetryStatus::ExhaustedRetries };

fn failure(upstream: Upstream, disposition: Disposition) -> AttemptFailure {
    AttemptFailure {
        upstream,
        code: FailureCode::TargetRefused,
        disposition,
        certainty: Certainty::Refused,
        timed_out: false,
        reason: String::new(),
    }
}

fn transient(seconds: Option<u64>) -> AttemptFailure {
    let after = seconds.map(Duration::from_secs);
    failure(Upstream::Target, Disposition::Transient { after })
}

const fn again(seconds: u64) -> RetryDecision {
    RetryDecision::RetryNow { after: Duration::from_secs(seconds) }
}

const fn defer(seconds: u64) -> RetryDecision {
    RetryDecision::Defer { after: Duration::from_secs(seconds) }
}

#[test]
fn retry_waits_here_when_short_and_in_the_queue_when_long() {
    let step = |failure, situation| POLICY.decide(&failure, &situation, 1.0);
    assert_eq!(step(transient(None), FIRST), again(2));
    assert_eq!(step(transient(Some(5)), FIRST), again(5));
    assert_eq!(step(transient(Some(6)), FIRST), defer(6));
    assert_eq!(step(transient(None), RetryContext { attempt: 3, ..FIRST }), defer(8));
}

#[test]
fn attempts_end_at_their_maximum_or_the_deadline() {
    let step = |situation| POLICY.decide(&transient(None), &situation, 1.0);
    assert_eq!(step(RetryContext { attempts_this_receive: 2, ..FIRST }), again(2));
    assert_eq!(step(RetryContext { attempts_this_receive: 3, ..FIRST }), defer(2));
    assert_eq!(step(RetryContext { circuit_closed: false, ..FIRST }), defer(2));
    assert_eq!(
        step(RetryContext { max_delay_before_deadline: Duration::from_secs(1), ..FIRST }),
        defer(2)
    );
}

#[test]
fn event_is_rejected_at_the_last_attempt() {
    let last = RetryContext { is_last: true, ..FIRST };
    let step = |failure, situation| POLICY.decide(&failure, &situation, 1.0);
    assert_eq!(step(transient(None), last), again(2));
    assert_eq!(step(transient(None), RetryContext { attempts_this_receive: 3, ..last }), EXHAUSTED);
    assert_eq!(step(transient(Some(60)), last), EXHAUSTED);
}

#[test]
fn attempts_end_at_the_limit_of_time_receives_or_queue() {
    let hours = |hours: u64| Duration::from_secs(3_600 * hours);
    for (retried_for, receives, queue, expected) in [
        (hours(71), 1, None, false),
        (hours(72), 1, None, true),
        (hours(1), 9, None, false),
        (hours(1), 10, None, true),
        (hours(1), 10, Some(100), true),
        (hours(1), 3, Some(7), false),
        (hours(1), 4, Some(7), true),
        (hours(1), 1, Some(2), true),
    ] {
        let is_last = POLICY.is_last(retried_for, receives, queue);
        assert_eq!(is_last, expected, "{retried_for:?} {receives} {queue:?}");
    }
}

#[test]
fn event_is_rejected_after_three_configuration_answers() {
    let refused = |answers, target_works| {
        let situation = RetryContext {
            answers: AnswerCounts { configuration: answers, unanswered: 0 },
            target_works,
            ..FIRST
        };
        let failure = failure(Upstream::Target, Disposition::Operator);
        POLICY.decide(&failure, &situation, 1.0)
    };
    let fault = RetryDecision::Reject {
        code: FailureCode::TargetRefused,
        status: RetryStatus::ReplayFailed,
    };
    assert_eq!(refused(3, true), fault);
    assert_eq!(refused(3, false), defer(2));
    assert_eq!(refused(2, true), defer(2));
}

#[test]
fn event_is_rejected_after_ten_unanswered_attempts() {
    let unanswered = |answers, target_works| {
        let situation = RetryContext {
            answers: AnswerCounts { configuration: 0, unanswered: answers },
            target_works,
            ..FIRST
        };
        let failure =
            AttemptFailure { certainty: Certainty::Unknown, timed_out: true, ..transient(None) };
        POLICY.decide(&failure, &situation, 1.0)
    };
    let fault = RetryDecision::Reject {
        code: FailureCode::TargetUnavailable,
        status: RetryStatus::ReplayFailed,
    };
    assert_eq!(unanswered(10, true), fault);
    assert_eq!(unanswered(10, false), defer(900));
    assert_eq!(unanswered(9, true), defer(900));
    // Never in the same receive: the target may still process the event. Each timeout doubles the delay once more.
    assert_eq!(unanswered(1, false), defer(4));
}

#[test]
fn event_is_rejected_at_last_when_one_interaction_is_refused() {
    let forbidden = AttemptFailure {
        code: FailureCode::GenesysCredentials,
        ..failure(Upstream::Interaction, Disposition::Operator)
    };
    assert_eq!(POLICY.decide(&forbidden, &FIRST, 1.0), defer(2));
    let last = RetryContext { is_last: true, ..FIRST };
    let rejected = RetryDecision::Reject {
        code: FailureCode::GenesysCredentials,
        status: RetryStatus::ExhaustedRetries,
    };
    assert_eq!(POLICY.decide(&forbidden, &last, 1.0), rejected);
}

#[test]
fn delay_grows_with_receives_without_an_attempt() {
    let pauses =
        [1, 2, 3, 10].map(|receives| POLICY.delay_by_receive_count(receives, 1.0).as_secs());
    assert_eq!(pauses, [2, 4, 8, 900]);
}

#[test]
fn locally_throttled_event_is_never_rejected() {
    let last = RetryContext { is_last: true, ..FIRST };
    let after = Some(Duration::from_secs(60));
    let held_back = failure(Upstream::LocalRateLimit, Disposition::Transient { after });
    assert_eq!(POLICY.decide(&held_back, &last, 1.0), defer(60));
}

#[test]
fn deadline_rejects_only_unanswered_deliveries() {
    let last = RetryContext { is_last: true, ..FIRST };
    let step = |certainty, situation| {
        let failure = AttemptFailure::out_of_time(certainty, "");
        POLICY.decide(&failure, &situation, 1.0)
    };
    assert_eq!(step(Certainty::Refused, FIRST), defer(2));
    assert_eq!(step(Certainty::Unknown, FIRST), defer(2));
    assert_eq!(step(Certainty::Refused, last), defer(2));
    assert_eq!(step(Certainty::Unknown, last), EXHAUSTED);
}

#[test]
fn round_delay_grows_by_four_up_to_twelve_hours() {
    let delays = [1, 2, 3, 4, 5, 10, 100].map(|round| POLICY.round_delay(round).as_secs());
    assert_eq!(delays, [300, 1_200, 4_800, 19_200, 43_200, 43_200, 43_200]);
}

#[test]
fn event_is_rejected_at_once_by_a_permanent_failure() {
    assert_eq!(
        POLICY.decide(&failure(Upstream::Target, Disposition::Permanent), &FIRST, 1.0),
        RetryDecision::Reject {
            code: FailureCode::TargetRefused,
            status: RetryStatus::ReplayFailed,
        }
    );
}

#[test]
fn operator_failures_are_deferred_until_receives_end() {
    let last = RetryContext { is_last: true, ..FIRST };
    let step = |upstream, situation| {
        POLICY.decide(&failure(upstream, Disposition::Operator), &situation, 1.0)
    };
    assert_eq!(step(Upstream::Genesys, FIRST), defer(2));
    assert_eq!(step(Upstream::Target, FIRST), defer(2));
    assert_eq!(step(Upstream::Genesys, last), defer(2));
    assert_eq!(step(Upstream::Target, last), EXHAUSTED);
}
