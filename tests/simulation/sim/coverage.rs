//! What was met, with how often, and what must be met. The lists come from the shipped types and the planner's own words, so that a new
//! row, step, phase, outcome or fault cannot be forgotten: its count is zero until some world reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use certroll::apply::outcome::{Ending, Outcome, StepOutcome};
use certroll::emulator::{Faults, TokenFaults};
use certroll::observed::record::RecordedPhase;
use certroll::plan::reason::{Because, Note, NoteKind, Refusal};
use certroll::plan::step::Step;
use certroll::store::file::Action;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::wire::Turned;

/// Counts by kind and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(pub BTreeMap<(&'static str, String), u64>);

impl Coverage {
    pub fn hit(&mut self, kind: &'static str, name: impl Into<String>) {
        self.add(kind, name, 1);
    }

    pub fn add(&mut self, kind: &'static str, name: impl Into<String>, times: u64) {
        *self.0.entry((kind, name.into())).or_default() += times;
    }

    pub fn merge(&mut self, other: &Coverage) {
        other.0.iter().for_each(|((kind, name), times)| self.add(kind, name.clone(), *times));
    }

    pub fn count(&self, kind: &'static str, name: &str) -> u64 {
        self.0.get(&(kind, name.to_owned())).copied().unwrap_or_default()
    }

    /// A note of the planner, by every one of its phrases.
    pub fn note(&mut self, note: &Note) {
        self.hit("note kind", tag(&note.kind, ""));
        self.said(&note.text);
        self.said(note.hint.as_deref().unwrap_or_default());
    }

    /// Why the whole plan is refused.
    pub fn refusal(&mut self, refusal: &Refusal) {
        self.hit("refusal", tag(refusal, "refusal"));
        if let Refusal::Budget { declared, .. } = refusal {
            self.said(declared);
        }
    }

    /// Something the planner says, by every one of its phrases.
    pub fn said(&mut self, text: &str) {
        phrases().iter().filter(|phrase| text.contains(*phrase)).for_each(|phrase| self.hit("row", phrase));
    }

    pub fn report(&self) -> String {
        let mut all = self.0.clone();
        required().iter().for_each(|known| _ = all.entry(known.clone()).or_default());
        all.iter().map(|((kind, name), times)| format!("{times:>12}  {kind}: {name}\n")).collect()
    }

    /// What must be met and was not.
    pub fn missing(&self) -> Vec<String> {
        let unmet = required().iter().filter(|known| self.0.get(*known).copied().unwrap_or_default() == 0);
        unmet.map(|(kind, name)| format!("{kind}: {name}")).collect()
    }

    /// The fault that was met least often, with its count.
    pub fn rarest_fault(&self) -> Option<(String, u64)> {
        let faults = required().iter().filter(|(kind, _)| matches!(*kind, "fault" | "death"));
        let counted = faults.map(|known| {
            let times = self.0.get(known).copied().unwrap_or_default();
            (format!("{}: {}", known.0, known.1), times)
        });
        counted.min_by_key(|(_, times)| *times)
    }
}

/// The word of a value in its JSON form: its tag, or the whole where it has none.
pub fn tag(value: &impl Serialize, member: &str) -> String {
    let json = serde_json::to_value(value).unwrap();
    let word = if member.is_empty() { &json } else { &json[member] };
    word.as_str().unwrap_or_default().to_owned()
}

/// Every word a type can have there, out of its JSON schema.
fn words<T: JsonSchema>(member: &str) -> Vec<String> {
    let schema = schemars::schema_for!(T).to_value();
    let mut found = BTreeSet::new();
    let mut see = |value: &Value| {
        let one = if member.is_empty() { value } else { &value["properties"][member] };
        found.extend(one["const"].as_str().map(str::to_owned));
        let several = one["enum"].as_array().into_iter().flatten();
        found.extend(several.filter_map(|word| word.as_str().map(str::to_owned)));
    };
    see(&schema);
    schema["oneOf"].as_array().into_iter().flatten().for_each(&mut see);
    found.into_iter().collect()
}

/// All that must be met, whatever the budget.
pub fn required() -> &'static [(&'static str, String)] {
    static REQUIRED: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
        let mut all: Vec<(&'static str, String)> = Vec::new();
        let mut add = |kind: &'static str, names: Vec<String>| {
            let named = names.into_iter().filter(|name| elsewhere(kind, name).is_none());
            all.extend(named.map(|name| (kind, name)));
        };
        add("because", words::<Because>("reason"));
        add("refusal", words::<Refusal>("refusal"));
        add("step", words::<Step>("action").iter().map(|action| format!("{action}: done")).collect());
        add("step result", words::<StepOutcome>("result"));
        add("outcome", words::<Outcome>("outcome"));
        add("note kind", words::<NoteKind>(""));
        add("phase", words::<RecordedPhase>(""));
        add("exit", ENDINGS.iter().map(|ending| code(*ending).to_string()).collect());
        add("row", phrases().to_vec());
        add("death", deaths());
        add("fault", faults());
        all
    });
    &REQUIRED
}

const ENDINGS: [Ending; 5] =
    [Ending::Fine, Ending::Error, Ending::Refused, Ending::InPart, Ending::Interrupted];

/// Does not compile until a new ending stands in the list above.
fn code(ending: Ending) -> u8 {
    match ending {
        Ending::Fine | Ending::Error | Ending::Refused | Ending::InPart | Ending::Interrupted => {
            ending.exit_code()
        }
    }
}

const ACTIONS: [Action; 11] = [
    Action::Read,
    Action::Lock,
    Action::MakeFolder,
    Action::CreateFile,
    Action::WriteFile,
    Action::SyncFile,
    Action::SyncFolder,
    Action::Rename,
    Action::Link,
    Action::Unlink,
    Action::RemoveFolder,
];

/// Whether a process can die before it: reading changes nothing. Does not compile until a new action stands in the list above.
fn is_effect(action: Action) -> bool {
    match action {
        Action::Read => false,
        Action::Lock
        | Action::MakeFolder
        | Action::CreateFile
        | Action::WriteFile
        | Action::SyncFile
        | Action::SyncFolder
        | Action::Rename
        | Action::Link
        | Action::Unlink
        | Action::RemoveFolder => true,
    }
}

fn deaths() -> Vec<String> {
    let effects = ["a write to the directory", "a delivery", "a write to a store's service"];
    let around = effects.iter().flat_map(|effect| [format!("before {effect}"), format!("after {effect}")]);
    let disk = ACTIONS.iter().filter(|action| is_effect(**action)).map(|action| format!("before {action:?}"));
    around.chain(disk).chain(["inside a service call".to_owned()]).collect()
}

/// Does not compile until a new fault of the emulator has its name here.
fn faults() -> Vec<String> {
    let Faults {
        stale_reads: _,
        token_propagation: _,
        lost_answers: _,
        rival_writes: _,
        dropped_writes: _,
        throttled: _,
        conflicts: _,
        unavailable: _,
        connection_refused: _,
        date_skew_seconds: _,
        // In process nobody waits.
        latency_ms: _,
        // Shows as 429.
        documented_throttling: _,
        token:
            TokenFaults { conditional_access_every: _, unavailable_every: _, busy_every: _, throttled_every: _ },
    } = Faults::default();
    let directory = [
        "stale read",
        "sign-in: AADSTS700027",
        "write: no answer",
        "rival write: adds",
        "rival write: removes",
        "write dropped behind a 204",
        "read: 429",
        "write: 429",
        "write: 409",
        "read: 5xx",
        "write: 5xx",
        "read: no answer",
        "the service's date is ahead",
        "the service's date is behind",
        "sign-in: AADSTS53003",
        "sign-in: 5xx",
        "sign-in: AADSTS90033",
        "sign-in: 429",
        "sign-in: no answer",
    ];
    let here = [
        "disk: StorageFull",
        "disk: ReadOnlyFilesystem",
        "disk: PermissionDenied",
        "disk: Other",
        "a store does not answer",
        "a store answers late",
        "store: wrong answer, Garbled",
        "store: wrong answer, Denied",
        "store: wrong answer, Past",
        "store: wrong answer, Absent",
        "store: refused",
        "store: answer lost",
        "delivery refused",
        "our clock is ahead",
        "our clock is behind",
        "two processes race",
        "two processes at a time",
        "stopped by a signal",
    ];
    let services = Turned::ALL.map(Turned::as_str);
    directory.iter().chain(&here).chain(&services).map(|name| (*name).to_owned()).collect()
}

/// The fixed parts of everything the planner can say, taken from its source.
pub fn phrases() -> &'static [String] {
    static PHRASES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut found = BTreeSet::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan");
        for file in SPEAKERS {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            found.extend(literals(&text).iter().filter_map(|literal| longest(literal)));
        }
        found.into_iter().collect()
    });
    &PHRASES
}

/// The files that make notes; a test compares them with the folder.
pub const SPEAKERS: [&str; 14] = [
    "asked.rs",
    "deliveries.rs",
    "planner.rs",
    "predecessors.rs",
    "provider.rs",
    "removed.rs",
    "siblings.rs",
    "successor.rs",
    "successor/current.rs",
    "successor/due.rs",
    "successor/rollback.rs",
    "successor/rotation.rs",
    "successor/signature.rs",
    "undone.rs",
];

/// The string literals of a source, without those in comments.
fn literals(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut literals = Vec::new();
    let mut rest = code.as_str();
    while let Some(begin) = rest.find('"') {
        rest = &rest[begin + 1..];
        let mut literal = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    // A line that goes on: the blanks at its beginning do not count.
                    Some((_, '\n')) => literal.push('\u{0}'),
                    Some((_, other)) => literal.push(other),
                    None => {}
                },
                c if literal.ends_with('\u{0}') && c == ' ' => {}
                c => {
                    if literal.ends_with('\u{0}') {
                        literal.pop();
                    }
                    literal.push(c);
                }
            }
        }
        rest = &rest[end..];
        literals.push(literal);
    }
    literals
}

/// The longest part of a format text without a hole; none where nothing is long enough to be known by.
fn longest(literal: &str) -> Option<String> {
    let plain = literal.replace("{{", "\u{1}").replace("}}", "\u{1}");
    // What stands at odd places is between braces.
    let parts = plain.split(['{', '}']).enumerate().filter(|(at, _)| at % 2 == 0);
    let best =
        parts.flat_map(|(_, part)| part.split('\u{1}')).max_by_key(|part| part.len()).unwrap_or_default();
    // What a time is written by is no word.
    (best.len() >= 12 && best.contains(' ') && !best.contains('%')).then(|| best.to_owned())
}

/// Where something is met that no world here reaches, and why none does.
fn elsewhere(kind: &str, name: &str) -> Option<&'static str> {
    NOT_HERE
        .iter()
        .find(|(of, beginning, _)| *of == kind && name.starts_with(beginning))
        .map(|(_, _, why)| *why)
}

/// Kind, beginning of the name, why.
pub const NOT_HERE: &[(&str, &str, &str)] = &[
    ("row", " is live at once, so a key there cannot be proven", LOADER_REFUSES),
    ("row", "say prove: after_promotion for this certificate", LOADER_REFUSES),
    ("row", " was not looked for", ALL_IS_READ),
    ("row", "it was not looked at", ALL_IS_READ),
    ("row", "the store was not read", ALL_IS_READ),
    ("row", "the tenant was not read", ALL_IS_READ),
    ("row", "its record is not there", RECORD_WITH_THUMBPRINT),
    ("row", "is of a certificate that nobody declares", MARKED),
    ("row", "revoking the previous key of", NAMED_TWICE),
    ("row", " stays on the object: nothing that is planned takes it off", LAST_RESORT),
];

const NAMED_TWICE: &str = "only what another certificate names at that moment stays: planning::runs";
const LAST_RESORT: &str = "what stays has a note that says why, and that is told instead";

const LOADER_REFUSES: &str = "the loader refuses a key that is not exportable without prove: after_promotion";
const RECORD_WITH_THUMBPRINT: &str =
    "no store here tells of a current generation by a record that it does not hold";
const MARKED: &str = "only a marker makes a credential one of a certificate that nobody declares, and it names that certificate";
const ALL_IS_READ: &str = "every run here looks at everything that is declared before it plans";
