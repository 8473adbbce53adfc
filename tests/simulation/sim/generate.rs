//! Out of a seed, a history.

use jiff::Timestamp;

use super::dice::Dice;
use super::story::{Event, Story};

/// A history of so many years.
pub fn story(seed: u64, years: i64) -> Story {
    let mut dice = Dice::of(seed, "story");
    let start: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
    let mut story = Story { title: Vec::new(), seed, start, events: Vec::new() };
    story.events.push(Event::new("object", "mail"));
    story.events.push(
        Event::new("certificate", "backup")
            .with("on", "mail")
            .with("store", "files")
            .with("validity", "90d")
            .with("rotation_period", "30d")
            .with("overlap", "5d"),
    );
    let mut elapsed = 0;
    while elapsed < years * 365 * 86_400 {
        let after = dice.between(3_600, 6 * 86_400);
        elapsed += after;
        let mut event = Event::new("run", "").after(after);
        if dice.percent(30) {
            event = event.with("die", dice.below(60));
        }
        if dice.percent(30) {
            story.events.push(Event::new("use", "backup").after(dice.between(0, 3_600)));
        }
        story.events.push(event);
    }
    for (number, event) in story.events.iter_mut().enumerate() {
        event.number = number as u32 + 1;
    }
    story
}
