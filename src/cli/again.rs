//! The command that does something again, or carries on with it, from the same place: with the flags the run was given.

use std::path::Path;

use crate::cli::args::{ApplyArgs, Global, Selection};
use crate::plan::policy::Overrides;

/// The command that carries a saved plan out. What takes a safeguard away has to be asked for once more.
pub fn apply_saved(plan: &Path, asked: &Overrides, emulator: bool, global: &Global) -> String {
    let mut words = vec![quoted(&plan.display().to_string())];
    words.extend(place(global));
    words.extend(asked.taking_safeguards_away().flags());
    words.extend(emulator.then(|| "--emulator".to_owned()));
    format!("certroll apply {}", words.join(" "))
}

/// The same apply once more, without the receipt: the one of the first run is not to be written over.
pub fn apply(args: &ApplyArgs, global: &Global) -> String {
    let ApplyArgs { plan, selection, parallelism: _, auto_approve, allow_repair, receipt: _, emulator } =
        args;
    let mut words: Vec<String> = plan.iter().map(|plan| quoted(&plan.display().to_string())).collect();
    words.extend(place(global));
    words.extend(
        global.settings.iter().map(|(name, value)| format!("--set {}", quoted(&format!("{name}={value}")))),
    );
    words.extend(selection.only.iter().map(|pattern| format!("--only {}", quoted(&pattern.to_string()))));
    words.extend(asked_by(selection).flags());
    let flags =
        [("--emulator", emulator), ("--auto-approve", auto_approve), ("--allow-repair", allow_repair)];
    words.extend(flags.into_iter().filter(|(_, given)| **given).map(|(flag, _)| flag.to_owned()));
    let words: String = words.iter().map(|word| format!(" {word}")).collect();
    format!("certroll apply{words}")
}

/// What these flags ask for beyond the files. Settings are a flag of every command.
pub fn asked_by(selection: &Selection) -> Overrides {
    let Selection { only: _, replace, revoke_previous, rollback, max_issue, max_retire } = selection;
    Overrides {
        replace: replace.iter().cloned().collect(),
        revoke_previous: *revoke_previous,
        rollback: rollback.iter().cloned().collect(),
        max_issue: *max_issue,
        max_retire: *max_retire,
        settings: Default::default(),
    }
}

/// Where everything is that the run works on.
fn place(global: &Global) -> Vec<String> {
    let path = |flag: &str, path: &Path| format!("{flag} {}", quoted(&path.display().to_string()));
    let files = global.files.iter().map(|file| path("-f", file));
    let others = [
        ("--secrets-dir", &global.secrets_dir),
        ("--connections", &global.connections),
        ("--state", &global.state),
    ];
    let others = others.into_iter().filter_map(|(flag, given)| Some(path(flag, given.as_deref()?)));
    files.chain(others).collect()
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./+=:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::apply;
    use crate::cli::args::{Cli, Command};

    #[test]
    fn every_flag_that_changes_what_is_done_is_said_again() {
        let line = "certroll apply -f a.yaml -f 'b c' --secrets-dir s --connections c.yaml --state e.json --set sign_ins=1 \
                    --only 'contoso/*' --replace contoso/a=9F2C41D0000000000000000000000000000000AA --revoke-previous \
                    --rollback contoso/b --max-issue 1 --max-retire 2 --emulator --auto-approve --allow-repair";
        let words = line.split_whitespace().fold(Vec::<String>::new(), |mut words, word| {
            match words.last_mut().filter(|last| last.starts_with('\'')) {
                Some(last) => *last = format!("{} {word}", last.trim_start_matches('\'')).replace('\'', ""),
                None if word.starts_with('\'') && !word.ends_with('\'') => words.push(word.to_owned()),
                None => words.push(word.replace('\'', "")),
            }
            words
        });
        let cli = Cli::try_parse_from(words).unwrap();
        let Command::Apply(args) = &cli.command else { panic!("{line}") };
        assert_eq!(apply(args, &cli.global), line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}
