//! What one run asks for beyond the files: flags and settings. Pure data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Declared;
use crate::ids::{Address, Thumbprint};
use crate::settings::Settings;

/// What one run asks for.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// `--only`: which certificates are planned; empty means all.
    pub only: Vec<Pattern>,
    /// `--replace ADDRESS=THUMBPRINT`.
    pub replace: BTreeMap<Address, Thumbprint>,
    /// `--revoke-previous`: what `--replace` names is retired in the same run, after the proof.
    pub revoke_previous: bool,
    /// `--rollback ADDRESS`.
    pub rollback: BTreeSet<Address>,
    /// `--max-issue`: replaces every tenant's limit for this run.
    pub max_issue: Option<usize>,
    /// `--max-retire`: replaces every tenant's limit for this run.
    pub max_retire: Option<usize>,
    /// `--now` in another time than the present: the plan can only be looked at.
    pub other_time: bool,
    /// What the target lost is not published again: nobody looks on, and it was perhaps taken away on purpose.
    pub withholds_repair: bool,
    /// The numbers.
    pub settings: Settings,
}

/// What a run asks for beyond the declaration, as a saved plan remembers it: whoever carries the plan out plans again with the
/// same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// `--replace`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replace: BTreeMap<Address, Thumbprint>,
    /// `--revoke-previous`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub revoke_previous: bool,
    /// `--rollback`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub rollback: BTreeSet<Address>,
    /// `--max-issue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_issue: Option<usize>,
    /// `--max-retire`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retire: Option<usize>,
    /// `--set`: the settings that were not at their default, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Overrides {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Overrides::default()
    }

    /// As the flags that ask for it, each with its value; settings last.
    pub fn flags(&self) -> Vec<String> {
        let Overrides { replace, revoke_previous, rollback, max_issue, max_retire, settings } = self;
        let replace = replace.iter().map(|(address, thumbprint)| format!("--replace {address}={thumbprint}"));
        let revoke = revoke_previous.then(|| "--revoke-previous".to_owned());
        let rollback = rollback.iter().map(|address| format!("--rollback {address}"));
        let issue = max_issue.map(|count| format!("--max-issue {count}"));
        let retire = max_retire.map(|count| format!("--max-retire {count}"));
        let settings = settings.iter().map(|(name, value)| format!("--set {name}={value}"));
        replace.chain(revoke).chain(rollback).chain(issue).chain(retire).chain(settings).collect()
    }

    /// What of it takes a safeguard away: an overlap, a hold back, a limit. A plain `--replace` is a rotation like every other, and a
    /// setting is told when the plan is carried out.
    pub fn taking_safeguards_away(&self) -> Overrides {
        Overrides {
            replace: if self.revoke_previous { self.replace.clone() } else { BTreeMap::new() },
            settings: BTreeMap::new(),
            ..self.clone()
        }
    }
}

impl Policy {
    /// What of it a saved plan remembers.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            replace: self.replace.clone(),
            revoke_previous: self.revoke_previous,
            rollback: self.rollback.clone(),
            max_issue: self.max_issue,
            max_retire: self.max_retire,
            settings: self.settings.changed(),
        }
    }

    /// Whether this run plans the certificate.
    pub fn selects(&self, declared: &Declared) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(declared))
    }

    /// Whether this run plans a `removed:` address, which has no labels.
    pub fn selects_removed(&self, address: &Address) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches_address(address))
    }
}

/// One `--only`: a glob over addresses, or `label:KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `*` stands for any text, `?` for one character.
    Address(String),
    /// A label that must have this value.
    Label {
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} selects nothing: write an address such as contoso/backup, a glob such as contoso/*, or label:team=backup"
)]
pub struct InvalidPattern(String);

impl FromStr for Pattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if let Some(label) = text.strip_prefix("label:") {
            let (key, value) = label.split_once('=').ok_or_else(|| InvalidPattern(text.to_owned()))?;
            return Ok(Pattern::Label { key: key.to_owned(), value: value.to_owned() });
        }
        let known =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '/' | '*' | '?');
        if text.is_empty() || !text.chars().all(known) {
            return Err(InvalidPattern(text.to_owned()));
        }
        Ok(Pattern::Address(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Address(glob) => f.write_str(glob),
            Pattern::Label { key, value } => write!(f, "label:{key}={value}"),
        }
    }
}

impl Pattern {
    /// Whether it selects that certificate.
    pub fn matches(&self, declared: &Declared) -> bool {
        match self {
            Pattern::Address(_) => self.matches_address(&declared.address),
            Pattern::Label { key, value } => declared.labels.get(key) == Some(value),
        }
    }

    /// Whether it selects a certificate of that address, whatever its labels.
    pub fn matches_address(&self, address: &Address) -> bool {
        match self {
            Pattern::Address(glob) => glob_matches(glob, &address.to_string()),
            Pattern::Label { .. } => false,
        }
    }
}

/// Whether `*` (any text) and `?` (one character) in the glob can be filled in so that it equals the text.
/// Linear in the text for each `*`: no pattern can make it slow.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g + 1, t));
                g += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                g += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, start)) => {
                    retry = Some((after_star, start + 1));
                    g = after_star;
                    t = start + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn globs_match_whole_addresses() {
        for (glob, text, expected) in [
            ("contoso/*", "contoso/backup", true),
            ("*/backup", "contoso/backup", true),
            ("*back*", "contoso/backup", true),
            ("contoso/back?p", "contoso/backup", true),
            ("contoso", "contoso/backup", false),
            ("*a*b*c*", "aXbX", false),
            ("", "", true),
        ] {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        }
    }
}
