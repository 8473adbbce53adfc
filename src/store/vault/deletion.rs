//! Versions that the vault itself deletes one day (`delete_version_after`): who reads them then finds nothing.

use jiff::SignedDuration;

use super::book::View;
use crate::store::two_slot::Seen;
use crate::vault::kv::Version;

/// Whether consumers will find nothing one day. What is set at the mount shows in the times of versions alone; what was set at the
/// path after the newest version was written counts from the next one.
pub(super) fn warnings(view: &View) -> Vec<String> {
    let Ok(holding) = view.holding() else { return Vec::new() };
    let Some(record) = holding.current_generation().map(|generation| &generation.record) else {
        return Vec::new();
    };
    let (Some(start), Some(end)) = (record.not_before, record.not_after) else { return Vec::new() };
    let newest = view.live.versions.get(&view.live.current_version);
    let goes = newest.and_then(Version::deleted_at).filter(|at| *at < end);
    let limit =
        go_duration(&view.live.delete_version_after).filter(|limit| *limit < end.duration_since(start));
    let when = match (goes, limit) {
        (Some(at), _) => format!("the version that consumers read on {at}"),
        (None, Some(_)) => format!("versions of this path after {}", view.live.delete_version_after),
        (None, None) => return Vec::new(),
    };
    vec![format!(
        "the vault deletes {when} (delete_version_after), before the certificate ends: consumers would find nothing"
    )]
}

/// A duration as Go writes it (`768h0m0s`); `None` for none.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let mut seconds = 0_i64;
    let mut digits = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' => digits.push(c),
            'h' | 'm' | 's' => {
                let each = match c {
                    'h' => 3600,
                    'm' => 60,
                    _ => 1,
                };
                seconds = seconds.checked_add(digits.parse::<i64>().ok()?.checked_mul(each)?)?;
                digits.clear();
            }
            _ => return None,
        }
    }
    (seconds > 0).then(|| SignedDuration::from_secs(seconds))
}
