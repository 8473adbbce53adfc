//! Whether the periods of a certificate leave room for each other. Pure: periods in, findings out.

use crate::desired::Timing;
use crate::diagnostic::{Code, Severity};
use crate::period::{Lead, Period};
use crate::settings::Settings;

/// The periods of one certificate, inherited and defaulted.
#[derive(Debug)]
pub(super) struct Periods<'a> {
    pub(super) validity: &'a Period,
    pub(super) timing: &'a Timing,
    pub(super) overlap: &'a Period,
    pub(super) spread: &'a Period,
}

/// What is wrong, and with which keys: the first that stands in the file is underlined, the others are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) keys: &'static [&'static str],
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Days between the planned rotation and expiry below which a failed rotation is hard to repair in time.
const MARGIN_DAYS: u16 = 14;
/// Longest validity without a warning.
const VALIDITY_YEARS: u8 = 2;

/// All that is wrong with the periods.
pub(super) fn check(periods: &Periods<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Periods { validity, timing, overlap, .. } = periods;
    let hour = Period::hours(1);
    if overlap.always_shorter_than(&hour) {
        findings.push(error(
            &["overlap"],
            format!("overlap {overlap} is shorter than 1h"),
            "for an emergency use --revoke-previous, which retires the predecessor in the same run",
        ));
    }
    match timing {
        Timing::RotationPeriod(period) => rotation_period(period, periods, &mut findings),
        Timing::RenewBefore(Lead::Period(lead)) => renew_before(lead, periods, &mut findings),
        Timing::RenewBefore(Lead::Percent(percent)) => {
            // In seconds, because a percentage of a calendar period has no other unit.
            let life = validity.nominal_seconds() + Settings::default().backdate.as_secs();
            let seconds = life / 100 * i64::from(*percent);
            let hours = u16::try_from(seconds / 3600).unwrap_or(u16::MAX);
            renew_before(&Period::hours(hours), periods, &mut findings);
            let named = format!("renew_before {percent}% ({hours}h of {validity})");
            let plain = format!("renew_before {hours}h");
            findings.iter_mut().for_each(|finding| finding.message = finding.message.replace(&plain, &named));
        }
    }
    if !validity.never_longer_than(&Period::years(VALIDITY_YEARS)) {
        findings.push(warning(
            &["validity"],
            format!("validity {validity} is longer than two years"),
            "certificates for sign-in usually live one to two years; tenant policies often refuse longer ones",
        ));
    }
    findings
}

fn rotation_period(period: &Period, periods: &Periods<'_>, findings: &mut Vec<Finding>) {
    let Periods { validity, overlap, spread, .. } = periods;
    if period.is_zero() {
        let message = "rotation_period is zero".to_owned();
        findings.push(error(
            &["rotation_period"],
            message,
            "write how long a certificate is used, such as 180d",
        ));
        return;
    }
    let backdate = Settings::default().backdate;
    if periods.timing.is_due_when_made(spread, backdate) {
        findings.push(error(
            &["rotation_period", "spread"],
            format!(
                "rotation_period {period} is too short: certificates begin {backdate:#} before they are made"
            ),
            "the certificate would be due as soon as it is made",
        ));
    }
    if !period.then_always_shorter_than(overlap, validity) {
        findings.push(error(
            &["rotation_period", "overlap", "validity"],
            format!("rotation_period {period} and overlap {overlap} do not fit into validity {validity}"),
            "the predecessor must outlive its overlap: rotation_period + overlap < validity",
        ));
    } else if !period.then_never_longer_than(&Period::days(MARGIN_DAYS), validity) {
        findings.push(margin(&["rotation_period", "validity"], "rotation_period", period, validity));
    }
    if !spread.is_zero() && !spread.always_shorter_than(period) {
        findings.push(error(
            &["spread", "rotation_period"],
            format!("spread {spread} is not shorter than rotation_period {period}"),
            "spread moves a rotation earlier by up to that much",
        ));
    }
}

fn renew_before(lead: &Period, periods: &Periods<'_>, findings: &mut Vec<Finding>) {
    let Periods { validity, overlap, spread, .. } = periods;
    if !overlap.never_longer_than(lead) {
        findings.push(error(
            &["renew_before", "overlap"],
            format!("renew_before {lead} is shorter than overlap {overlap}"),
            "the predecessor must outlive its overlap: renew_before >= overlap",
        ));
    }
    if !lead.always_shorter_than(validity) {
        findings.push(error(
            &["renew_before", "validity"],
            format!("renew_before {lead} is not shorter than validity {validity}"),
            "the certificate would be due as soon as it is made",
        ));
    } else if !lead.then_always_shorter_than(spread, validity) {
        findings.push(error(
            &["spread", "renew_before", "validity"],
            format!("renew_before {lead} and spread {spread} do not fit into validity {validity}"),
            "spread moves a rotation earlier by up to that much",
        ));
    }
    if lead.always_shorter_than(&Period::days(MARGIN_DAYS)) {
        findings.push(margin(&["renew_before", "validity"], "renew_before", lead, validity));
    }
}

fn margin(keys: &'static [&'static str], key: &str, period: &Period, validity: &Period) -> Finding {
    warning(
        keys,
        format!(
            "fewer than {MARGIN_DAYS} days lie between the rotation ({key} {period}) and expiry (validity {validity})"
        ),
        "a rotation that fails leaves little time to repair it",
    )
}

fn error(keys: &'static [&'static str], message: String, help: &'static str) -> Finding {
    Finding { severity: Severity::Error, code: Code::Timing, keys, message, help }
}

fn warning(keys: &'static [&'static str], message: String, help: &'static str) -> Finding {
    Finding { severity: Severity::Warning, code: Code::Timing, keys, message, help }
}

#[cfg(test)]
#[path = "timing_tests.rs"]
mod tests;
