//! How the plan that was reviewed and the one of now differ, as a text diff of both.

use similar::{ChangeTag, TextDiff};

use crate::cli::human::{self, View};
use crate::plan::Plan;

/// The differences between two plans, if a person would see any.
pub fn plans(reviewed: &Plan, fresh: &Plan) -> Option<String> {
    let view = View::default();
    let (before, after) = (human::plan(reviewed, view), human::plan(fresh, view));
    if before == after {
        return None;
    }
    let mut text = String::from(
        "Since the plan was reviewed (-), this has changed (+). Only what is in both is carried out.\n\n",
    );
    let diff = TextDiff::from_lines(&before, &after);
    for (index, group) in diff.grouped_ops(2).iter().enumerate() {
        if index > 0 {
            text.push_str("    …\n");
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let mark = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            text.push_str(&format!("  {mark} {}", change.value()));
        }
    }
    text.push('\n');
    Some(text)
}
