//! Trouble of the directory and of delivery places.

use serde_json::{Value, json};

use super::super::story::Event;
use super::Generator;

impl Generator {
    pub(super) fn place(&mut self, at: usize) -> Event {
        let place = self.certificates[at].places[0].clone();
        match self.dice.below(5) {
            0 | 1 => Event::new("places", "").with("fail", self.dice.between(1, 20)),
            2 => Event::new("places", "").with("unreadable", *self.dice.pick(&["yes", "no", "no"])),
            3 => Event::new("places", "").with("altered", place),
            _ => Event::new("places", "").with("emptied", place),
        }
    }

    /// One kind of trouble of the service, or two.
    pub(super) fn trouble(&mut self) -> String {
        let mut faults = self.one_trouble();
        if self.dice.percent(25)
            && let (Value::Object(one), Value::Object(two)) = (&mut faults, self.one_trouble())
        {
            one.extend(two);
        }
        faults.to_string()
    }

    /// Those that strike once stay until a write meets them; what makes every request fail is rarer.
    pub(super) fn one_trouble(&mut self) -> Value {
        let dice = &mut self.dice;
        match dice.below(27) {
            0 | 1 => json!({"stale_reads": {"reads": dice.between(1, 6), "replicas": dice.between(1, 3)}}),
            2 => {
                json!({"token_propagation": {"seconds": dice.between(10, 400), "front_ends": 1, "removals": dice.percent(50)}})
            }
            3 => {
                json!({"token_propagation": {"seconds": dice.between(10, 400), "front_ends": 3, "removals": dice.percent(50)}})
            }
            4 => {
                json!({"lost_answers": [{"write": dice.between(1, 4), "happened": dice.percent(50)}]})
            }
            5..9 => {
                let changes = ["adds", "adds", "removes_first", "removes_last"];
                let rivals = [1, 3, 5].map(|write| {
                    json!({"before_write": write + dice.between(0, 1), "change": dice.pick(&changes)})
                });
                json!({"rival_writes": rivals})
            }
            9 | 10 => json!({"dropped_writes": {"which": "nth", "nth": dice.between(1, 3)}}),
            11 => json!({"dropped_writes": {"which": "adds"}}),
            12 => match dice.percent(50) {
                true => {
                    json!({"throttled": {"every": dice.between(2, 9), "retry_after_seconds": dice.between(1, 20)}})
                }
                false => json!({"throttled": {"every": dice.between(2, 9)}}),
            },
            13 => json!({"conflicts": {"every": dice.between(1, 4)}}),
            14 => {
                let status = *dice.pick(&[500, 502, 503, 504]);
                json!({"unavailable": {"every": dice.between(2, 9), "status": status, "happened": dice.percent(50)}})
            }
            15 => json!({"connection_refused": {"every": dice.between(2, 9)}}),
            16 | 17 => {
                let ahead = dice.between(30, 800);
                json!({"date_skew_seconds": if dice.percent(50) { ahead } else { -ahead }})
            }
            18..26 => {
                let which = *dice.pick(&[
                    "unavailable_every",
                    "busy_every",
                    "throttled_every",
                    "conditional_access_every",
                ]);
                json!({"token": {which: dice.between(2, 4)}})
            }
            _ => json!({"unavailable": {"every": dice.between(1, 2), "status": 503}}),
        }
    }
}
