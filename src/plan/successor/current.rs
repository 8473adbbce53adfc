//! Which generation consumers read now, and when that cannot be told.

use crate::observed::{Credential, Current, Generation, Identifier};
use crate::plan::reason::Note;
use crate::plan::situation::{CurrentView, Situation, Standing};
use crate::plan::successor::place;

/// Finds the current generation, or why it cannot be told.
pub fn current<'s>(situation: &'s Situation<'_>) -> Result<Option<CurrentView<'s>>, Note> {
    let declared = situation.declared;
    match &situation.holding.current {
        Some(Current::Recorded(sha256)) => {
            let Some(generation) = situation.holding.generation(sha256) else {
                return Err(unknown_current(situation, "its record is not there"));
            };
            let adopted = || {
                let names = |thumbprints| declared.adopt.iter().any(|a| a.thumbprint.names(&thumbprints));
                generation.record.thumbprints.is_some_and(names)
            };
            if situation.is_own_record(&generation.record) || adopted() {
                view_of_generation(situation, generation).map(Some).ok_or_else(|| dates_unknown(generation))
            } else {
                let made_for =
                    format!("it was made for {}/{}", generation.record.owner, generation.record.name);
                Err(unknown_current(situation, &made_for))
            }
        }
        Some(Current::Unrecorded { thumbprints }) => {
            let what = match thumbprints {
                Some(thumbprints) => format!("its thumbprint is {}", thumbprints.sha1),
                None => "its thumbprint cannot be told without reading the key".to_owned(),
            };
            Err(unknown_current(situation, &what))
        }
        None => elsewhere(situation),
    }
}

fn unknown_current(situation: &Situation<'_>, what: &str) -> Note {
    Note::blocked(
        format!(
            "{} holds a current generation that certroll did not make: {what}",
            place(situation.declared)
        ),
        "list it under adopt to take it over, or give the certificate another store name",
    )
}

/// Adopted, and neither the target nor the record knows its dates: without them it can be neither published again nor
/// followed.
fn dates_unknown(generation: &Generation) -> Note {
    let thumbprint = generation.record.thumbprints.map(|t| t.sha1.to_string()).unwrap_or_default();
    Note::blocked(
        format!("the adopted {thumbprint} is not on the target, and when it ends is not known"),
        "upload its certificate to the target, or take it out of the store and out of adopt to have a new one made",
    )
}

fn view_of_generation<'s>(
    situation: &'s Situation<'_>,
    generation: &'s Generation,
) -> Option<CurrentView<'s>> {
    let thumbprints = generation.record.thumbprints?;
    let credentials = situation.credentials_of(generation);
    let life = situation.life_of(Some(&generation.record), &credentials)?;
    Some(CurrentView { generation: Some(generation), sha1: thumbprints.sha1, credentials, life })
}

/// The adopted credential whose key lives elsewhere; the one that ends last if several are named.
fn elsewhere<'s>(situation: &'s Situation<'_>) -> Result<Option<CurrentView<'s>>, Note> {
    let adopted =
        |credential: &&Credential| matches!(situation.standing(credential), Standing::Adopted { .. });
    let newest = situation
        .target
        .client_credentials()
        .filter(adopted)
        .max_by_key(|credential| (credential.end, credential.sha1(), credential.key_id));
    let Some(credential) = newest else { return Ok(None) };
    let Identifier::Sha1(sha1) = credential.identifier else { return Ok(None) };
    if !matches!(situation.standing(credential), Standing::Adopted { elsewhere: true }) {
        return Err(Note::blocked(
            format!("{sha1} is adopted, and {} does not hold its key", place(situation.declared)),
            format!(
                "if its key lives somewhere else, write adopt: [{{ thumbprint: {sha1}, key: elsewhere }}]"
            ),
        ));
    }
    let life = situation.life_of(None, &[credential]);
    Ok(life.map(|life| CurrentView { generation: None, sha1, credentials: vec![credential], life }))
}
