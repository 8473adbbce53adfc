//! `docs/stores/file.md` has a table of every effect of every call and what the next plan sees if the process dies after it. Here
//! the table is walked: each row is made to happen.

use std::path::Path;

use certroll::desired::{Format, StoreBinding};
use certroll::key::Secret;
use certroll::observed::record::{PublicRecord, RecordedPhase};
use certroll::observed::{Current, Generation, KeyState, StoreState};
use certroll::store::{StoreError, StoreReader};

use super::super::binding;
use super::FileBench;
use crate::support::contract::{self, Bench, Rotation};
use crate::support::trouble::Mischief;

const PAGE: &str = include_str!("../../../../docs/stores/file.md");

/// The rows of one call: effect, and what the next plan sees.
fn rows(call: &str) -> Vec<(String, String)> {
    let heading = format!("### `{call}`");
    let section = PAGE.split("\n### ").find(|part| format!("### {part}").starts_with(&heading));
    let section = section.unwrap_or_else(|| panic!("docs/stores/file.md has no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")).map(|line| {
        let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").map(str::trim).collect();
        (cells[0].replace('`', ""), cells[1].to_owned())
    });
    // The first line is the heading; the one of dashes does not begin with "| ".
    cells.skip(1).collect()
}

fn pfx() -> StoreBinding {
    binding("cloudm", Format::Pfx)
}

/// The calls of a life, one after another; `call` is the one to look at, those before it succeed.
async fn up_to(bench: &FileBench, call: &str, mischief: Option<u64>) -> Result<(), StoreError> {
    let (store, entry) = (bench.store(), pfx());
    let password = Secret::new("correct horse battery staple".into());
    let arm = |name: &str| {
        if name == call {
            bench.trouble().restart();
            if let Some(number) = mischief {
                bench.trouble().plan(number, Mischief::CrashBefore);
            }
        }
        name == call
    };
    let record = |g: &Generation, rotation: Rotation| PublicRecord {
        phase: RecordedPhase::Promoted,
        promoted_at: Some(rotation.promoted_at()),
        ..g.record.clone()
    };
    let first_is_looked_at = arm("stage");
    let first = contract::stage(&*store, &entry, Rotation::First, 1).await?;
    if first_is_looked_at {
        return Ok(());
    }
    let looked_at = arm("promote");
    store.promote(&entry, &first, None, Some(&password), &record(&first, Rotation::First)).await?;
    if looked_at {
        return Ok(());
    }
    let current = Current::Recorded(first.record.thumbprints.unwrap().sha256);
    let second = contract::stage(&*store, &entry, Rotation::Second, 2).await?;
    let promoted = record(&second, Rotation::Second);
    store.promote(&entry, &second, Some(&current), Some(&password), &promoted).await?;
    let looked_at = arm("write_record");
    store.write_record(&entry, &PublicRecord { rejected: true, ..promoted.clone() }).await?;
    if looked_at {
        return Ok(());
    }
    store.write_record(&entry, &promoted).await?;
    if call == "promote again" {
        let current = Current::Recorded(second.record.thumbprints.unwrap().sha256);
        arm("promote again");
        let again = PublicRecord {
            promoted_at: Some(Rotation::Second.promoted_at()),
            ..record(&first, Rotation::First)
        };
        store.promote(&entry, &first, Some(&current), Some(&password), &again).await?;
        return Ok(());
    }
    arm("remove");
    store.remove(&entry, &first).await?;
    Ok(())
}

/// The effects of a call in the words of the page. Reading is none.
fn effects(journal: &[String], bench: &FileBench) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for (number, call) in journal.iter().enumerate() {
        let (action, path) = call.split_once(' ').unwrap();
        if action == "Read" {
            continue;
        }
        let below = Path::new(path).strip_prefix(bench.folder.path()).unwrap();
        let mut words: Vec<String> = below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        for at in 1..words.len() {
            if words[at - 1] == "generations" && !words[at].starts_with('.') {
                words[at] = "HANDLE".into();
            }
        }
        let place = words.join("/");
        let place = match place.strip_prefix("secrets/cloudm") {
            Some("") => ".",
            Some(inside) => inside.trim_start_matches('/'),
            None => &place,
        };
        let verb = match action {
            "Lock" => "take",
            "MakeFolder" => "make folder",
            "CreateFile" | "WriteFile" | "SyncFile" => "write",
            "SyncFolder" => "sync folder",
            "Rename" => "rename to",
            "Link" => "link",
            "Unlink" => "unlink",
            "RemoveFolder" => "remove folder",
            other => panic!("{other}"),
        };
        found.push((number as u64, format!("{verb} {place}")));
    }
    found
}

/// What an observation shows, in the words of the page.
async fn sees(bench: &FileBench) -> String {
    let observed = bench.file_store().observe(&pfx()).await;
    let holding = match observed.state {
        StoreState::Known(holding) => holding,
        StoreState::Absent => return "nothing".into(),
        StoreState::Unreadable { reason } => panic!("{reason}"),
    };
    let words: Vec<String> = holding
        .generations
        .iter()
        .map(|g| {
            let is_current = holding.current == g.record.thumbprints.map(|t| Current::Recorded(t.sha256));
            let mut word = match (g.key, g.record.phase, is_current) {
                (KeyState::Destroyed, RecordedPhase::Retired, false) => "retired",
                (KeyState::Destroyed, _, false) => "key destroyed",
                (KeyState::Held, RecordedPhase::Staged, false) => "staged",
                (KeyState::Held, RecordedPhase::Promoted, false) => "retiring",
                (KeyState::Held, _, true) => "current",
                other => panic!("{other:?}"),
            }
            .to_owned();
            if (is_current || word == "retiring") && g.record.promoted_at.is_none() {
                word.push_str(", since when is unknown");
            }
            if g.record.rejected {
                word.push_str(", rejected");
            }
            word
        })
        .collect();
    if words.is_empty() { "nothing".into() } else { words.join("; ") }
}

async fn walk(call: &str) {
    let quiet = FileBench::new().await;
    up_to(&quiet, call, None).await.unwrap();
    let happened = effects(&quiet.trouble().journal(), &quiet);
    let after_each = happened.iter().skip(1).map(|(number, _)| Some(*number)).chain([None]);
    let mut made = Vec::new();
    for ((_, effect), next) in happened.iter().zip(after_each) {
        let bench = FileBench::new().await;
        let done = up_to(&bench, call, next).await;
        assert_eq!(done.is_err(), next.is_some());
        let row = (effect.clone(), sees(&bench).await);
        // Making, filling and syncing a file are one row.
        if made.last() != Some(&row) {
            made.push(row);
        }
    }
    let table = |rows: &[(String, String)]| -> String {
        rows.iter().map(|(effect, seen)| format!("| `{effect}` | {seen} |\n")).collect()
    };
    let written = rows(call);
    assert!(
        made == written,
        "docs/stores/file.md says of `{call}`:\n{}what happens:\n{}",
        table(&written),
        table(&made)
    );
}

#[tokio::test]
async fn dying_while_staging_is_as_documented() {
    walk("stage").await;
}

#[tokio::test]
async fn dying_while_promoting_is_as_documented() {
    walk("promote").await;
}

#[tokio::test]
async fn dying_while_promoting_a_former_generation_again_is_as_documented() {
    walk("promote again").await;
}

#[tokio::test]
async fn dying_while_writing_a_record_is_as_documented() {
    walk("write_record").await;
}

#[tokio::test]
async fn dying_while_removing_is_as_documented() {
    walk("remove").await;
}
