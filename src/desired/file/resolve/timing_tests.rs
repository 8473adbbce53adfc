use super::*;

/// What is said, by its first words, about periods in the order validity, timing, overlap, spread.
fn said(validity: &str, timing: &str, overlap: &str, spread: &str) -> Vec<String> {
    let (form, value) = timing.split_once(' ').unwrap();
    let timing = match form {
        "every" => Timing::RotationPeriod(value.parse().unwrap()),
        _ => Timing::RenewBefore(value.parse().unwrap()),
    };
    let periods = Periods {
        validity: &validity.parse().unwrap(),
        timing: &timing,
        overlap: &overlap.parse().unwrap(),
        spread: &spread.parse().unwrap(),
    };
    check(&periods)
        .into_iter()
        .map(|finding| format!("{:?}: {}", finding.severity, finding.message))
        .collect()
}

#[test]
fn periods_that_leave_room_are_fine() {
    for (validity, timing, overlap, spread) in [
        ("P1Y", "every 180d", "14d", "0d"),
        ("P1Y", "every 335d", "14d", "7d"),
        ("P1Y", "before 30d", "30d", "14d"),
        ("P1Y", "before 25%", "P1M", "0d"),
        ("365d", "every P6M", "1h", "0d"),
        ("P2Y", "every P1Y", "30d", "0d"),
        ("48h", "every 24h", "1h", "0d"),
    ] {
        let warnings_aside: Vec<_> = said(validity, timing, overlap, spread)
            .into_iter()
            .filter(|said| said.starts_with("Error"))
            .collect();
        assert_eq!(warnings_aside, Vec::<String>::new(), "{validity} {timing} {overlap} {spread}");
    }
    assert_eq!(said("P1Y", "every 180d", "14d", "0d"), Vec::<String>::new());
}

/// The sum must be shorter than the validity, not just as long, and in every month it could begin in.
#[test]
fn the_boundaries_are_where_the_page_says() {
    let error = |validity, timing, overlap, spread| {
        said(validity, timing, overlap, spread).iter().any(|said| said.starts_with("Error"))
    };
    assert!(error("200d", "every 186d", "14d", "0d"), "rotation_period + overlap = validity");
    assert!(!error("200d", "every 185d", "14d", "0d"));
    assert!(error("P6M", "every 168d", "14d", "0d"), "six months can be 181 days");
    assert!(error("P1Y", "before 13d", "14d", "0d"));
    assert!(!error("P1Y", "before 14d", "14d", "0d"), "renew_before = overlap");
    assert!(error("P1Y", "before 30d", "P1M", "0d"), "a month can have 31 days");
    assert!(error("P1Y", "before 3%", "14d", "0d"));
    assert!(!error("P1Y", "before 4%", "14d", "0d"), "4% of a year is 14.6 days");
    assert!(error("90d", "before 90d", "14d", "0d"));
    assert!(error("90d", "before 30d", "14d", "60d"));
    assert!(!error("90d", "before 30d", "14d", "59d"));
    assert!(error("P1Y", "every 30d", "14d", "30d"));
    assert!(!error("P1Y", "every 30d", "14d", "29d"));
    assert!(error("P1Y", "every 180d", "PT59M", "0d"));
    assert!(!error("P1Y", "every 180d", "1h", "0d"));
    assert!(error("P1Y", "every 0d", "14d", "0d"));
    assert!(error("50h", "every 1h", "1h", "0d"), "a certificate begins an hour before it is made");
    assert!(!error("50h", "every PT61M", "1h", "0d"));
    assert!(error("50h", "every PT90M", "1h", "PT30M"), "the spread may take all that is left");
    assert!(!error("50h", "every 3h", "1h", "2h"), "the spread takes no more than half");
    assert!(error("48h", "before 98%", "1h", "0d"), "98% of 49 hours");
    assert!(!error("48h", "before 97%", "1h", "0d"));
}

/// CC-14: fewer than 14 days between the planned rotation and expiry.
#[test]
fn cc_14_a_late_rotation_is_a_warning() {
    assert_eq!(said("200d", "every 187d", "1d", "0d").len(), 1);
    assert_eq!(said("200d", "every 186d", "1d", "0d"), Vec::<String>::new());
    assert_eq!(said("200d", "before 13d", "1d", "0d").len(), 1);
    assert_eq!(said("200d", "before 14d", "1d", "0d"), Vec::<String>::new());
}

/// TM-22: validity above two years.
#[test]
fn tm_22_a_long_validity_is_a_warning() {
    assert_eq!(said("P2Y", "every 180d", "14d", "0d"), Vec::<String>::new());
    assert_eq!(said("732d", "every 180d", "14d", "0d").len(), 1);
    assert_eq!(said("P25M", "every 180d", "14d", "0d").len(), 1);
}
