//! `ack`: writes down that a consumer has the new key, in a file that is committed.
#![allow(clippy::disallowed_methods, reason = "locks the folder of the acknowledgements file")]

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::acknowledgements::{FILE_NAME, append, whole_second};
use crate::cli::args::{AckArgs, Global, Parallelism, Selection};
use crate::cli::exit::Ending;
use crate::cli::planning::{Ask, Prepared, look};
use crate::cli::text::clean;
use crate::cli::world::World;
use crate::cli::{declaration, files, json};
use crate::desired::{Acknowledgement, Declared, Issuer};
use crate::diagnostic::is_unsafe_to_show;
use crate::error::{Error, Kind};
use crate::ids::{Sha1, Thumbprint, Thumbprints};
use crate::observed::{Holding, StoreState, Target, TargetState};
use crate::plan::in_use;
use crate::plan::policy::Pattern;
use crate::plan::provider::is_matched;

/// Checks that the thumbprint is of this certificate, and appends.
pub async fn run(args: &AckArgs, global: &Global, world: &World) -> Result<Ending, Error> {
    let path = file(global, world)?;
    let by = who(args, world)?;
    fit_for_the_file("--by", &by)?;
    fit_for_the_file("--note", args.note.as_deref().unwrap_or_default())?;
    let selection =
        Selection { only: vec![Pattern::Address(args.address.to_string())], ..Selection::default() };
    let parallelism = Parallelism { parallelism: 8 };
    let ask = Ask::looking(&selection, parallelism);
    let mut prepared = look(&ask, global, world).await?;
    if let Some(error) = prepared.unread.pop() {
        return Err(error);
    }
    let declared = prepared.desired.certificates.get(&args.address);
    let declared =
        declared.ok_or_else(|| crate::cli::planning::not_declared(&args.address, &prepared.desired))?;
    let thumbprint = generation(args, declared, &prepared)?;
    let entry = Acknowledgement {
        address: args.address.clone(),
        thumbprint,
        by,
        at: whole_second(prepared.ground.clock.now()),
        note: args.note.clone(),
    };
    let already = prepared.desired.acknowledgements.iter().any(|one| {
        one.address == entry.address && one.thumbprint == entry.thumbprint && counts(one, &prepared)
    });
    if !already {
        write(&path, &entry, world)?;
    }
    tell(&entry, &path, already, global, world);
    Ok(Ending::Fine)
}

/// The acknowledgements file of the declaration: one that would be read with it.
fn file(global: &Global, world: &World) -> Result<PathBuf, Error> {
    let named = declaration::paths(global)
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name == FILE_NAME));
    let in_folder = || declaration::folder(global, world).map(|folder| folder.join(FILE_NAME));
    let path = named.or_else(in_folder).ok_or_else(|| {
        Error::new(Kind::Input, "choosing the acknowledgements file")
            .because(format!(
                "the declaration is named file by file, and a new {FILE_NAME} would not be read with it"
            ))
            .hint(format!("give the folder with -f, or create {FILE_NAME} and name it with -f too"))
    })?;
    Ok(path.strip_prefix("./").map(Path::to_path_buf).unwrap_or(path))
}

fn who(args: &AckArgs, world: &World) -> Result<String, Error> {
    let variables = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| world.var(name));
    let mut named =
        args.by.as_deref().into_iter().chain(variables).map(str::trim).filter(|who| !who.is_empty());
    named.next().map(str::to_owned).ok_or_else(|| {
        Error::new(Kind::Usage, "who confirms it?")
            .because("none of USER, LOGNAME and USERNAME says who runs this")
            .hint(format!("certroll ack {} --by WHO", args.address))
    })
}

/// No text goes into the file that a declaration may not hold: nothing could be read any more afterwards.
fn fit_for_the_file(option: &str, text: &str) -> Result<(), Error> {
    match text.chars().find(|c| is_unsafe_to_show(*c)) {
        None => Ok(()),
        Some(bad) => Err(Error::new(Kind::Usage, format!("reading {option}"))
            .because(format!(
                "the text holds the character U+{:04X}, which a declaration may not",
                u32::from(bad)
            ))
            .hint("write it on one line, without tabs and control characters")),
    }
}

/// The generation that is acknowledged: the current one, or the one that is named, if it is of this certificate.
fn generation(args: &AckArgs, declared: &Declared, prepared: &Prepared) -> Result<Thumbprint, Error> {
    let candidates = candidates(declared, prepared)?;
    let refused =
        |reason: String| Error::new(Kind::Input, format!("acknowledging {}", args.address)).because(reason);
    match args.thumbprint {
        None => candidates.current.map(Thumbprint::Sha1).ok_or_else(|| {
            refused("there is no current generation yet".into()).hint("certroll plan shows what comes first")
        }),
        Some(named) if candidates.all.iter().any(|one| one.is_named(&named)) => Ok(named),
        Some(named) => {
            let known: Vec<String> = candidates.all.iter().map(|one| one.sha1().to_string()).collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("its own are {}", known.join(", "))
            };
            Err(refused(format!("{named} is not one of its live thumbprints; {known}")))
        }
    }
}

/// Whether what is written down already counts: not if it became current only later.
fn counts(ack: &Acknowledgement, prepared: &Prepared) -> bool {
    let store = prepared.observed.stores.get(&ack.address).map(|store| &store.state);
    let Some(StoreState::Known(holding)) = store else { return true };
    let records = holding.generations.iter().map(|generation| &generation.record);
    let mut records = records.filter(|record| record.thumbprints.is_some_and(|t| ack.thumbprint.names(&t)));
    records.all(|record| in_use::can_have_seen(ack, record, &prepared.policy.settings))
}

/// What is known of one generation's thumbprints.
enum Known {
    Both(Thumbprints),
    Sha1(Sha1),
}

impl Known {
    fn sha1(&self) -> Sha1 {
        match self {
            Known::Both(thumbprints) => thumbprints.sha1,
            Known::Sha1(sha1) => *sha1,
        }
    }

    fn is_named(&self, thumbprint: &Thumbprint) -> bool {
        match self {
            Known::Both(thumbprints) => thumbprint.names(thumbprints),
            Known::Sha1(sha1) => thumbprint.names_sha1(sha1),
        }
    }
}

struct Candidates {
    current: Option<Sha1>,
    all: Vec<Known>,
}

fn candidates(declared: &Declared, prepared: &Prepared) -> Result<Candidates, Error> {
    let observed = &prepared.observed;
    let tenant = observed.tenants.get(&declared.address.tenant);
    let target = match tenant.and_then(|tenant| tenant.targets.get(&declared.address)) {
        Some(TargetState::Found(target)) => Some(target),
        _ => None,
    };
    match &declared.issuer {
        Issuer::ExternalPublicKey { files } => {
            let now = prepared.plan.now;
            let live = |thumbprints: &Thumbprints| {
                target.is_some_and(|target| {
                    target.client_credentials().any(|credential| credential.is_of(thumbprints))
                })
            };
            let usable = files
                .iter()
                .filter(|file| file.certificate.not_after > now && live(&file.certificate.thumbprints));
            let newest = usable.max_by_key(|file| file.certificate.not_after);
            Ok(Candidates {
                current: newest.map(|file| file.certificate.thumbprints.sha1),
                all: files.iter().map(|file| Known::Both(file.certificate.thumbprints)).collect(),
            })
        }
        Issuer::ExternalRotator { matching } => {
            let mut its: Vec<_> = target
                .iter()
                .flat_map(|target| target.client_credentials())
                .filter(|credential| is_matched(matching, credential))
                .filter_map(|credential| Some((credential.end, credential.sha1()?)))
                .collect();
            its.sort_unstable();
            Ok(Candidates {
                current: its.last().map(|(_, sha1)| *sha1),
                all: its.into_iter().map(|(_, sha1)| Known::Sha1(sha1)).collect(),
            })
        }
        Issuer::SelfSigned
        | Issuer::CaFile { .. }
        | Issuer::VaultPki { .. }
        | Issuer::KeyVault { .. }
        | Issuer::Csr { .. } => {
            let state = observed.stores.get(&declared.address).map(|store| &store.state);
            match state {
                Some(StoreState::Known(holding)) => Ok(held(holding, target.map(AsRef::as_ref))),
                Some(StoreState::Absent) => Ok(Candidates { current: None, all: Vec::new() }),
                Some(StoreState::Unreadable { reason }) => {
                    Err(Error::new(Kind::Store, format!("reading the store of {}", declared.address))
                        .because(reason))
                }
                None => {
                    Err(Error::new(Kind::Store, format!("the store of {} was not read", declared.address)))
                }
            }
        }
    }
}

/// The current one, and what can sign in beside it: nobody uses what was retired, or was never published.
fn held(holding: &Holding, target: Option<&Target>) -> Candidates {
    let current = holding.current_generation().and_then(|generation| generation.record.thumbprints);
    let live = |thumbprints: &Thumbprints| {
        target.is_some_and(|target| target.client_credentials().any(|one| one.is_of(thumbprints)))
    };
    let all = holding.generations.iter().filter_map(|generation| generation.record.thumbprints);
    let all = all.filter(|one| current == Some(*one) || live(one)).map(Known::Both);
    Candidates { current: current.map(|thumbprints| thumbprints.sha1), all: all.collect() }
}

/// Appends under a lock on the folder, so that two people at once lose nothing.
fn write(path: &Path, entry: &Acknowledgement, world: &World) -> Result<(), Error> {
    let real = world.path(path);
    let folder = real.parent().unwrap_or(&world.cwd);
    let trouble = |error: std::io::Error| {
        Error::new(Kind::Local, format!("writing {}", path.display())).caused_by(&error)
    };
    let lock = File::open(folder).map_err(trouble)?;
    lock.lock().map_err(trouble)?;
    let before = files::read_if_there(&real, path)?;
    let before = before.map(String::from_utf8).transpose().map_err(|_| {
        Error::new(Kind::Input, format!("reading {}", path.display())).because("it is not UTF-8 text")
    })?;
    let after = append(before.as_deref(), entry).map_err(|error| {
        Error::new(Kind::Input, format!("writing {}", path.display()))
            .caused_by(&error)
            .hint(format!("add this under acknowledgements: yourself: {}", error.entry))
    })?;
    files::write(&real, path, after.as_bytes())
}

fn tell(entry: &Acknowledgement, path: &Path, already: bool, global: &Global, world: &World) {
    let shown = path.display().to_string();
    if global.is_json() {
        let value = json!({ "acknowledgement": entry, "file": shown, "already": already });
        world.stdout.write(&json::pretty(&value));
        return;
    }
    let Acknowledgement { address, thumbprint, by, at: _, note: _ } = entry;
    let text = if already {
        format!("{thumbprint} of {address} is acknowledged already; nothing was written.")
    } else {
        format!("Acknowledged {thumbprint} of {address} by {by} in {shown}. Commit that file.")
    };
    world.stdout.write(&format!("{}\n", clean(&text)));
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_text_is_written_that_would_make_the_declaration_unreadable() {
        for text in ["ticket 7\nsee mail", "a\tb", "a\u{202e}b", "a\u{7}"] {
            assert!(super::fit_for_the_file("--note", text).is_err(), "{text:?}");
        }
        assert!(super::fit_for_the_file("--note", "Ticket 7: siehe Mail, von Jörg").is_ok());
    }
}
