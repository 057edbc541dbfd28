use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_785_000_000_000);

/// Returns points of the last minutes, the latest at the end.
fn points(values: &[f64]) -> Vec<MetricPoint> {
    let minutes = (1..=u32::try_from(values.len()).unwrap_or(0)).rev();
    let at = minutes.map(|minutes| NOW.minus(MINUTE * minutes));
    at.zip(values).map(|(at, value)| MetricPoint { at, value: *value }).collect()
}

fn facts() -> StatusFacts {
    StatusFacts {
        now: NOW,
        mapping: MappingState::Enabled,
        note: None,
        backlog: 343,
        metrics: Some(RecentMetrics {
            records: points(&[20.0; 15]),
            replayed: points(&[10.0; 15]),
            duplicates: points(&[1.0; 15]),
            archived: points(&[1.0; 15]),
            deferred: points(&[8.0; 15]),
            circuits_opened: points(&[0.0; 15]),
            ..RecentMetrics::default()
        }),
        needs_genesys: true,
    }
}

fn quiet() -> RecentMetrics {
    RecentMetrics {
        records: points(&[10.0; 3]),
        deferred: points(&[10.0; 3]),
        circuits_opened: points(&[0.0; 3]),
        ..RecentMetrics::default()
    }
}

#[test]
fn status_names_rate_and_end_when_messages_leave_the_queue() {
    let status = DrainStatus::of(&facts());
    assert_eq!(
        status.summary,
        "draining: 343 dead letters, about 12 a minute, done in about 29 min"
    );
    assert_eq!((status.state, status.circuits), (DrainingState::Draining, Circuits::Closed));
    assert_eq!(status.handled.map(|it| (it.replayed, it.deferred)), Some((150, 120)));
    assert_eq!(status.done_in_by_limit, Some(MINUTE * 4), "100 dead letters a minute");
    assert!(!status.is_finding(343));
    let without_marks = DrainStatus::of(&StatusFacts { needs_genesys: false, ..facts() });
    assert_eq!(without_marks.done_in_by_limit, None);
}

#[test]
fn status_rate_counts_from_the_first_batch_of_the_window() {
    let metrics = RecentMetrics {
        records: points(&[30.0, 30.0, 0.0]),
        replayed: points(&[30.0, 30.0, 0.0]),
        ..RecentMetrics::default()
    };
    let status = DrainStatus::of(&StatusFacts { metrics: Some(metrics), ..facts() });
    assert_eq!(status.handled.map(|it| rate(it.per_minute)).as_deref(), Some("20"));
    assert_eq!(status.circuits, Circuits::Unknown, "the metric has no data");
}

#[test]
fn status_is_paused_with_its_reason_when_the_mapping_is_off() {
    let note = ChangeNote::new(DrainChange::Pause, "CRM outage", "marta", NOW);
    for mapping in [MappingState::Disabled, MappingState::Disabling] {
        let paused = StatusFacts { mapping, note: Some(note.clone()), ..facts() };
        let status = DrainStatus::of(&paused);
        assert_eq!(
            status.summary,
            format!("paused since {NOW} by marta: CRM outage; 343 dead letters waiting")
        );
        assert!(status.is_finding(343) && !status.is_finding(0));
    }
    let resumed = ChangeNote { change: DrainChange::Resume, ..note };
    for note in [None, Some(resumed)] {
        let facts = StatusFacts { mapping: MappingState::Disabled, note, ..facts() };
        let status = DrainStatus::of(&facts);
        assert!(status.summary.contains("Disabled without a recorded reason"), "{status:?}");
    }
}

#[test]
fn status_names_the_cause_when_no_message_leaves_the_queue() {
    let open = RecentMetrics { circuits_opened: points(&[1.0, 0.0, 2.0]), ..quiet() };
    for (metrics, expected, is_finding) in [
        (quiet(), "30 records were deferred, returned or not attempted", false),
        (open, "circuits opened 3 times in the last 15 min", true),
        (RecentMetrics::default(), "the function reported no batch in the last 15 min", false),
    ] {
        let status = DrainStatus::of(&StatusFacts { metrics: Some(metrics), ..facts() });
        assert_eq!(status.state, DrainingState::NotDraining);
        assert!(status.summary.starts_with("not draining: "), "{status:?}");
        assert!(status.summary.contains(expected), "{status:?}");
        assert_eq!(status.is_finding(343), is_finding, "{status:?}");
    }
}

#[test]
fn status_is_unknown_rather_than_at_rest_without_metrics() {
    let status = DrainStatus::of(&StatusFacts { metrics: None, ..facts() });
    assert_eq!(status.summary, "draining: 343 dead letters, at an unknown rate");
    assert_eq!((status.handled, status.done_in), (None, None));
    assert_eq!(status.circuits, Circuits::Unknown);
}

#[test]
fn status_of_an_empty_queue_or_a_new_mapping_has_no_rate() {
    let status = DrainStatus::of(&StatusFacts { backlog: 0, ..facts() });
    assert_eq!((status.summary.as_str(), status.done_in), ("empty", None));
    let mapping = MappingState::Enabling;
    let status = DrainStatus::of(&StatusFacts { mapping, backlog: 1, ..facts() });
    assert_eq!(status.summary, "starting: 1 dead letter, the event source mapping is Enabling");
}

#[test]
fn status_formats_approximate_times_and_rates() {
    for (seconds, expected) in [
        (1, "about 1 min"),
        (1_715, "about 29 min"),
        (6_000, "about 2 h"),
        (90_000, "about 25 h"),
        (864_000, "about 10 d"),
    ] {
        assert_eq!(about(Duration::from_secs(seconds)), expected);
    }
    assert_eq!([0.04, 2.0, 9.94, 12.4, 100.0].map(rate), ["0.1", "2", "9.9", "12", "100"]);
}
