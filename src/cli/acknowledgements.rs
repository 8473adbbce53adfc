//! The acknowledgements file: `ack` appends to it, people commit it. Text in, text out.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::desired::Acknowledgement;

/// Its name, beside the declaration.
pub const FILE_NAME: &str = "acknowledgements.yaml";

/// What a new file begins with.
const HEAD: &str = "\
certroll: v1
# Written by certroll ack; commit it.
acknowledgements:
";

/// The file is not one that an entry can be added to without touching the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be appended to it without changing the rest")]
pub struct CannotAppend {
    /// The entry, for adding it by hand.
    pub entry: String,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    acknowledgements: Option<Vec<Value>>,
}

/// The file's text with one entry more. What was there stays as it was, byte for byte.
pub fn append(text: Option<&str>, entry: &Acknowledgement) -> Result<String, CannotAppend> {
    let line = entry_line(entry);
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(format!("{HEAD}  {line}\n"));
    };
    let cannot = || CannotAppend { entry: line.clone() };
    let before = entries(text).ok_or_else(cannot)?;
    let gap = if text.ends_with('\n') { "" } else { "\n" };
    // Where no list ends the file yet, one is begun.
    let candidates = [
        format!("{text}{gap}{}{line}\n", indent_of_last_item(text)),
        format!("{text}{gap}acknowledgements:\n  {line}\n"),
    ];
    candidates
        .into_iter()
        .find(|candidate| {
            entries(candidate).is_some_and(|after| {
                after.len() == before.len() + 1
                    && after[..before.len()] == before[..]
                    && after.last() == value_of(entry).as_ref()
            })
        })
        .ok_or_else(cannot)
}

fn entries(text: &str) -> Option<Vec<Value>> {
    let written: Written = serde_yaml::from_str(text).ok()?;
    Some(written.acknowledgements.unwrap_or_default())
}

/// The entry as it reads back.
fn value_of(entry: &Acknowledgement) -> Option<Value> {
    serde_json::to_value(entry).ok()
}

fn indent_of_last_item(text: &str) -> &str {
    let last = text.lines().rev().find(|line| line.trim_start().starts_with("- "));
    last.map_or("  ", |line| &line[..line.len() - line.trim_start().len()])
}

/// One entry on one line. Texts are quoted: a thumbprint of digits alone would read as a number.
fn entry_line(entry: &Acknowledgement) -> String {
    let Acknowledgement { address, thumbprint, by, at, note } = entry;
    let mut line =
        format!("- {{ address: {address}, thumbprint: \"{thumbprint}\", by: {}, at: \"{at}\"", quoted(by));
    if let Some(note) = note {
        line.push_str(&format!(", note: {}", quoted(note)));
    }
    line.push_str(" }");
    line
}

/// A YAML double-quoted text. JSON's is one, once everything beyond ASCII that could be invisible is escaped.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            c if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' => c.to_string(),
            c => format!("\\U{:08X}", u32::from(c)),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Cuts a moment to whole seconds, as a person would write it.
pub fn whole_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(note: Option<&str>) -> Acknowledgement {
        Acknowledgement {
            address: "contoso/backup".parse().unwrap(),
            thumbprint: "9f2c41d0000000000000000000000000000000aa".parse().unwrap(),
            by: "jo".into(),
            at: "2026-11-20T10:00:00Z".parse().unwrap(),
            note: note.map(str::to_owned),
        }
    }

    const LINE: &str = "- { address: contoso/backup, thumbprint: \"9F2C41D0000000000000000000000000000000AA\", by: \"jo\", at: \"2026-11-20T10:00:00Z\" }\n";

    #[test]
    fn the_first_one_begins_the_file_with_its_version() {
        let text = append(None, &entry(None)).unwrap();
        assert_eq!(text, format!("{HEAD}  {LINE}"));
        assert!(text.starts_with("certroll: v1\n"));
    }

    #[test]
    fn what_is_there_stays_byte_for_byte() {
        for (before, indent, gap) in [
            (
                "certroll: v1\nacknowledgements:\n  # by hand\n  - {address: a/b, thumbprint: x}   \n",
                "  ",
                "",
            ),
            ("certroll: v1\r\nacknowledgements:\n- address: a/b\n  by: \"x\"\n", "", ""),
            ("certroll: v1\nacknowledgements:\n    - address: a/b", "    ", "\n"),
        ] {
            let after = append(Some(before), &entry(None)).unwrap();
            assert_eq!(after, format!("{before}{gap}{indent}{LINE}"));
        }
    }

    #[test]
    fn a_file_without_the_list_gets_one() {
        let before = "certroll: v1\ndefaults: { overlap: 14d }\n";
        let after = append(Some(before), &entry(None)).unwrap();
        assert_eq!(after, format!("{before}acknowledgements:\n  {LINE}"));
    }

    #[test]
    fn a_list_that_is_not_at_the_end_is_left_to_a_person() {
        let before = "certroll: v1\nacknowledgements: [ { address: a/b } ]\ndefaults: { overlap: 14d }\n";
        let refused = append(Some(before), &entry(None)).unwrap_err();
        assert_eq!(format!("{}\n", refused.entry), LINE);
        assert!(append(Some("not: [yaml"), &entry(None)).is_err());
    }

    #[test]
    fn a_note_cannot_break_out_of_its_quotes() {
        for note in ["a \"b\" \\ c", "x\ny", "# no comment", "\u{202e}abc", "ünï 漢", "}, by: nobody", ": "]
        {
            let text = append(None, &entry(Some(note))).unwrap();
            let read = entries(&text).unwrap();
            assert_eq!(read[0]["note"], note, "{text}");
            assert_eq!(read.len(), 1);
        }
    }
}
