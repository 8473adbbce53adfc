//! From a failing history to a short one that fails in the same way: events are left out, many at a time and then one by one, and what
//! is left is made simpler.

use super::life::{Outcome, live};
use super::story::Story;

/// What kind of promise is broken, without names and numbers.
pub fn kind(outcome: &Outcome) -> Option<String> {
    let first = outcome.violations.first()?;
    Some(
        first
            .split(' ')
            .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || "P12345678,".contains(c)))
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// The shortest history that was found within so many tries. A history that breaks no promise comes back as it is.
pub fn shrink(story: &Story, tries: usize) -> Story {
    let Some(wanted) = kind(&live(story)) else { return story.clone() };
    let mut left = tries;
    let mut fails = |candidate: &Story| {
        if left == 0 {
            return false;
        }
        left -= 1;
        // A history without what it speaks of may not even make sense.
        let lived = std::panic::catch_unwind(|| live(candidate));
        lived.is_ok_and(|outcome| kind(&outcome).as_deref() == Some(wanted.as_str()))
    };
    let mut best = story.clone();
    loop {
        let before = best.clone();
        let mut length = (best.events.len() / 2).max(1);
        loop {
            let mut at = 0;
            while at < best.events.len() {
                let candidate = without(&best, at, length);
                if fails(&candidate) { best = candidate } else { at += length }
            }
            if length == 1 {
                break;
            }
            length = (length / 2).max(1);
        }
        for at in 0..best.events.len() {
            simpler(&mut best, at, &mut fails);
        }
        if best == before {
            return best;
        }
    }
}

/// Without some events; the time they took stays.
fn without(story: &Story, at: usize, length: usize) -> Story {
    let mut shorter = story.clone();
    let end = (at + length).min(shorter.events.len());
    let gone: i64 = shorter.events.drain(at..end).map(|event| event.after).sum();
    if let Some(next) = shorter.events.get_mut(at) {
        next.after += gone;
    }
    shorter
}

/// Without one thing an event says, or with less time before it.
fn simpler(story: &mut Story, at: usize, fails: &mut impl FnMut(&Story) -> bool) {
    let keys: Vec<String> = story.events[at].with.keys().cloned().collect();
    for key in keys {
        let mut candidate = story.clone();
        candidate.events[at].with.remove(&key);
        if fails(&candidate) {
            *story = candidate;
        }
    }
    for rounded in [
        story.events[at].after / 86_400 * 86_400,
        story.events[at].after / 3_600 * 3_600,
        story.events[at].after / 60 * 60,
    ] {
        let mut candidate = story.clone();
        candidate.events[at].after = rounded;
        if rounded != story.events[at].after && fails(&candidate) {
            *story = candidate;
            return;
        }
    }
}
