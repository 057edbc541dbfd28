use super::*;

const START: Timestamp = Timestamp::from_millis(1_785_000_000_000);

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn waits(breaker: &Breaker, now: Timestamp) -> Option<Duration> {
    breaker.admit(now).err().map(|refusal| match refusal {
        CallRefusal::Open { after, .. } | CallRefusal::Recovering { after, .. } => after,
    })
}

fn opened(retry_after: Option<Duration>) -> Breaker {
    let breaker = Breaker::of("it", &Arc::default());
    for _ in 0..FAILURES_TO_OPEN {
        assert!(breaker.admit(START).is_ok());
        breaker.failed(START, retry_after);
    }
    breaker
}

#[test]
fn circuit_opens_for_30_s_after_five_failures_in_a_row() {
    let breaker = opened(None);
    assert!(breaker.is_open(at(29)));
    assert_eq!(breaker.meter.take().breakers_opened, 1);
    assert_eq!(waits(&breaker, at(10)), Some(Duration::from_secs(20)));
    assert!(breaker.admit(at(30)).is_ok());
}

#[test]
fn circuit_stays_open_for_the_retry_after() {
    let breaker = opened(Some(Duration::from_secs(300)));
    assert_eq!(waits(&breaker, START), Some(Duration::from_secs(300)));
    let impatient = opened(Some(Duration::from_secs(1)));
    assert_eq!(waits(&impatient, START), Some(OPEN_TIME));
}

#[test]
fn circuit_failure_count_restarts_after_a_success() {
    let breaker = Breaker::of("it", &Arc::default());
    for _ in 0..3 {
        for _ in 1..FAILURES_TO_OPEN {
            breaker.failed(START, None);
        }
        breaker.succeeded(START);
    }
    assert!(breaker.admit(START).is_ok());
}

#[test]
fn circuit_is_closed_or_reopened_by_one_probe() {
    let breaker = opened(None);
    let probe = breaker.admit(at(30));
    assert!(breaker.admit(at(30)).is_err(), "one at a time");
    breaker.failed(at(31), None);
    drop(probe);
    assert_eq!(waits(&breaker, at(31)), Some(OPEN_TIME * 2));

    let probe = breaker.admit(at(91));
    breaker.succeeded(at(91));
    drop(probe);
    assert!(breaker.admit(at(91)).is_ok() && breaker.admit(at(91)).is_ok());
}

#[test]
fn circuit_admits_more_calls_step_by_step_after_an_outage() {
    let breaker = opened(None);
    drop(breaker.admit(at(30)));
    breaker.succeeded(at(30));
    let admitted = |second| (0..200).filter(|_| breaker.admit(at(second)).is_ok()).count();
    let by_second: Vec<usize> = (30..62).map(admitted).collect();
    let steps: Vec<usize> = by_second.chunks(5).filter_map(|it| it.first().copied()).collect();
    assert_eq!(steps, [2, 4, 8, 16, 32, 64, 200]);
    assert!(by_second.chunks(5).all(|step| step.windows(2).all(|pair| pair[0] == pair[1])));
}

#[test]
fn circuit_refusal_during_recovery_names_the_time_left() {
    let breaker = opened(None);
    drop(breaker.admit(at(30)));
    breaker.succeeded(at(30));
    while breaker.admit(at(41)).is_ok() {}
    assert_eq!(waits(&breaker, at(41)), Some(Duration::from_secs(19)));
    assert!(!breaker.is_open(at(41)));
}

#[test]
fn circuit_reopens_for_the_retry_after_when_the_recovery_reaches_a_limit() {
    let breaker = opened(None);
    // A failed probe, after which another failure would double the open time once more.
    drop(breaker.admit(at(30)).map(|_probe| breaker.failed(at(30), None)));
    let open_until = 30 + OPEN_TIME.as_secs() * 2;
    let probe = breaker.admit(at(open_until));
    breaker.succeeded(at(open_until));
    drop(probe);
    let limited = at(open_until + 10);
    for _ in 0..FAILURES_TO_OPEN {
        breaker.failed(limited, Some(Duration::from_secs(45)));
    }
    assert_eq!(waits(&breaker, limited), Some(Duration::from_secs(45)));
}

#[test]
fn circuit_reopens_for_longer_when_the_recovery_fails() {
    let breaker = opened(None);
    drop(breaker.admit(at(30)));
    breaker.succeeded(at(30));
    for failure in 1..=FAILURES_TO_OPEN {
        breaker.failed(at(35), None);
        assert_eq!(breaker.is_open(at(35)), failure == FAILURES_TO_OPEN);
    }
    assert_eq!(waits(&breaker, at(35)), Some(OPEN_TIME * 2));
}

#[test]
fn circuit_open_time_doubles_while_probes_fail() {
    let breaker = opened(None);
    let mut now = 0;
    let mut waited = Vec::new();
    for _ in 0..8 {
        let wait = waits(&breaker, at(now)).map(|it| it.as_secs()).unwrap_or_default();
        waited.push(wait);
        now += wait;
        let probe = breaker.admit(at(now));
        breaker.failed(at(now), None);
        drop(probe);
    }
    assert_eq!(waited, [30, 60, 120, 240, 480, 900, 900, 900]);
    let probe = breaker.admit(at(now + 900));
    breaker.succeeded(at(now + 900));
    drop(probe);
    let recovered = at(now + 931);
    for _ in 0..FAILURES_TO_OPEN {
        breaker.failed(recovered, None);
    }
    assert_eq!(waits(&breaker, recovered), Some(OPEN_TIME), "from the start after a recovery");
}

#[test]
fn dropped_probe_does_not_double_the_open_time() {
    let breaker = opened(None);
    drop(breaker.admit(at(30)));
    let probe = breaker.admit(at(30));
    breaker.failed(at(30), None);
    drop(probe);
    assert_eq!(waits(&breaker, at(30)), Some(OPEN_TIME * 2));
}

#[test]
fn circuit_admits_another_probe_when_one_is_dropped() {
    let breaker = opened(None);
    drop(breaker.admit(at(30)));
    assert!(breaker.admit(at(30)).is_ok());
}

#[test]
fn circuit_open_time_is_not_shortened_by_a_late_failure() {
    let breaker = opened(Some(Duration::from_secs(300)));
    breaker.failed(at(1), None);
    assert_eq!(waits(&breaker, at(1)), Some(Duration::from_secs(299)));
}

#[test]
fn circuits_are_limited_and_closed_ones_are_forgotten_first() {
    let circuit_breakers = CircuitBreakers::new(Arc::default());
    let target = |number: usize| Destination::Unsupported(format!("t-{number}"));
    for _ in 0..FAILURES_TO_OPEN {
        circuit_breakers.target(&target(0)).failed(START, None);
    }
    for number in 1..=2 * MAX_TARGET_CIRCUITS {
        circuit_breakers.target(&target(number)).succeeded(START);
    }
    let kept = circuit_breakers.targets.lock().unwrap_or_else(PoisonError::into_inner).len();
    assert_eq!(kept, MAX_TARGET_CIRCUITS);
    assert!(circuit_breakers.target(&target(0)).is_open(START), "the open circuit is kept");
}

#[test]
fn circuits_are_limited_when_all_are_open() {
    let circuit_breakers = CircuitBreakers::new(Arc::default());
    for number in 0..=MAX_TARGET_CIRCUITS {
        let breaker = circuit_breakers.target(&Destination::Unsupported(format!("t-{number}")));
        for _ in 0..FAILURES_TO_OPEN {
            breaker.failed(START, None);
        }
    }
    let targets = circuit_breakers.targets.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(targets.len(), MAX_TARGET_CIRCUITS);
    assert!(!targets.contains("t-0"), "the one that was not used for the longest time");
}

#[test]
fn circuit_of_each_target_is_separate() {
    let circuit_breakers = CircuitBreakers::new(Arc::default());
    for _ in 0..FAILURES_TO_OPEN {
        circuit_breakers.target(&Destination::None).failed(START, None);
    }
    assert!(circuit_breakers.target(&Destination::None).admit(START).is_err());
    assert!(circuit_breakers.target(&Destination::Missing).admit(START).is_ok());
}
