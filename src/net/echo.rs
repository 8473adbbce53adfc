//! Whether a foreign text repeats a piece of a secret, however it is spelled there: as a form, as JSON, as HTML, in base64, in hex, cut
//! off, or several of these on top of each other.

use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

/// Shortest piece of a secret that counts, in bytes. A shorter secret counts as a whole.
const PIECE: usize = 8;
/// The same in base64, where four characters hold three bytes.
const PIECE_BASE64: usize = 11;
/// The same in hex.
const PIECE_HEX: usize = 2 * PIECE;
/// Spellings on top of each other that are undone.
const LAYERS: usize = 4;

type Spelling = Zeroizing<Vec<u8>>;

/// Whether the text holds a longer piece of any of the secrets.
pub(crate) fn repeats(text: &[u8], secrets: &[&[u8]]) -> bool {
    let spellings: Vec<(Spelling, usize)> = secrets.iter().flat_map(|secret| spellings(secret)).collect();
    let mut pieces: BTreeMap<usize, HashSet<&[u8]>> = BTreeMap::new();
    for (spelling, piece) in spellings.iter().filter(|(spelling, _)| !spelling.is_empty()) {
        let length = spelling.len().min(*piece);
        pieces.entry(length).or_default().extend(spelling.windows(length));
    }
    readings(text).iter().map(|reading| folded(reading)).any(|reading| {
        let holds = |(length, pieces): (&usize, &HashSet<&[u8]>)| {
            reading.windows(*length).any(|window| pieces.contains(window))
        };
        pieces.iter().any(holds)
    })
}

/// What a secret may look like, and how long a piece of that counts.
fn spellings(secret: &[u8]) -> Vec<(Spelling, usize)> {
    let plain = readings(secret).into_iter().map(|reading| (reading, PIECE));
    let base64 = base64_of(secret).into_iter().map(|core| (core, PIECE_BASE64));
    let all = plain.chain(base64).chain([(hex_of(secret), PIECE_HEX)]);
    all.map(|(spelling, piece)| (folded(&spelling), piece)).collect()
}

/// The text as it stands, and with one layer of spelling after the other undone.
fn readings(text: &[u8]) -> Vec<Spelling> {
    let mut readings = vec![Zeroizing::new(text.to_vec())];
    while let Some(last) = readings.last().filter(|_| readings.len() <= LAYERS) {
        let next = undone(last);
        if next == *last {
            break;
        }
        readings.push(next);
    }
    readings
}

/// What does not tell spellings apart: letters of either case, and a blank as forms write it.
fn folded(text: &[u8]) -> Spelling {
    Zeroizing::new(
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { byte.to_ascii_lowercase() }).collect(),
    )
}

/// One layer of percent signs, backslashes and entities undone.
fn undone(text: &[u8]) -> Spelling {
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some(first) = rest.first() {
        let special = match first {
            b'%' => percent(rest),
            b'\\' => backslash(rest),
            b'&' => entity(rest),
            _ => None,
        };
        let (meant, length) = special.unwrap_or((u32::from(*first), 1));
        match (special, char::from_u32(meant)) {
            // What percent signs spell are bytes, not characters.
            (Some(_), Some(c)) if *first != b'%' => plain.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            (_, _) => plain.extend(u8::try_from(meant)),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    plain
}

/// `%2B`.
fn percent(text: &[u8]) -> Option<(u32, usize)> {
    number(text.get(1..3)?, 16).map(|byte| (byte, 3))
}

/// `\"`, `\/` and `\u002b`.
fn backslash(text: &[u8]) -> Option<(u32, usize)> {
    match text.get(1)? {
        b'u' => number(text.get(2..6)?, 16).map(|c| (c, 6)),
        mark if mark.is_ascii_punctuation() => Some((u32::from(*mark), 2)),
        _ => None,
    }
}

/// `&amp;`, `&#43;` and `&#x2b;`.
fn entity(text: &[u8]) -> Option<(u32, usize)> {
    const LONGEST: usize = 10;
    let end = text.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let name = text.get(1..end)?;
    let c = match name {
        b"amp" => u32::from(b'&'),
        b"lt" => u32::from(b'<'),
        b"gt" => u32::from(b'>'),
        b"quot" => u32::from(b'"'),
        b"apos" => u32::from(b'\''),
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        _ => return None,
    };
    Some((c, end + 1))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let plain = digits.iter().all(u8::is_ascii_alphanumeric);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
}

/// The secret inside any longer text in base64, in both alphabets: what its neighbours have no part in.
fn base64_of(secret: &[u8]) -> Vec<Spelling> {
    let at = |before: usize| {
        let text = Zeroizing::new([vec![0; before], secret.to_vec()].concat());
        let whole = Zeroizing::new(STANDARD_NO_PAD.encode(&*text).into_bytes());
        let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        let core = whole.get(from..to).filter(|core| core.len() >= PIECE_BASE64).unwrap_or_default();
        let of_addresses = core.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        });
        [Zeroizing::new(of_addresses.collect()), Zeroizing::new(core.to_vec())]
    };
    (0..3).flat_map(at).collect()
}

fn hex_of(secret: &[u8]) -> Spelling {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = secret.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Zeroizing::new(digits.map(|digit| DIGITS[usize::from(digit)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = r#"aB+c/d=e&f%g~"h<iJ kLm\No'Pq>RsTüuVw"#;

    /// Made with Python's urllib.parse, json, html, base64 and str methods.
    const SPELLINGS: &[(&str, &str)] = &[
        ("as it is", r#"aB+c/d=e&f%g~"h<iJ kLm\No'Pq>RsTüuVw"#),
        ("quote", "aB%2Bc/d%3De%26f%25g~%22h%3CiJ%20kLm%5CNo%27Pq%3ERsT%C3%BCuVw"),
        ("quote_plus", "aB%2Bc%2Fd%3De%26f%25g~%22h%3CiJ+kLm%5CNo%27Pq%3ERsT%C3%BCuVw"),
        ("quote in small letters", "ab%2bc%2fd%3de%26f%25g~%22h%3cij+klm%5cno%27pq%3erst%c3%bcuvw"),
        (
            "quote twice",
            "aB%252Bc/d%253De%2526f%2525g~%2522h%253CiJ%2520kLm%255CNo%2527Pq%253ERsT%25C3%25BCuVw",
        ),
        ("json.dumps", r#""aB+c/d=e&f%g~\"h<iJ kLm\\No'Pq>RsT\u00fcuVw""#),
        ("html.escape", r#"aB+c/d=e&amp;f%g~&quot;h&lt;iJ kLm\No&#x27;Pq&gt;RsTüuVw"#),
        ("json.dumps of html.escape", r#""aB+c/d=e&amp;f%g~&quot;h&lt;iJ kLm\\No&#x27;Pq&gt;RsT\u00fcuVw""#),
        ("b64encode", "YUIrYy9kPWUmZiVnfiJoPGlKIGtMbVxObydQcT5Sc1TDvHVWdw=="),
        ("b64encode of id:secret", "aWQ6YUIrYy9kPWUmZiVnfiJoPGlKIGtMbVxObydQcT5Sc1TDvHVWdw=="),
        ("b64encode of x:secret", "eDphQitjL2Q9ZSZmJWd+Img8aUoga0xtXE5vJ1BxPlJzVMO8dVZ3"),
        ("urlsafe_b64encode of x:secret", "eDphQitjL2Q9ZSZmJWd-Img8aUoga0xtXE5vJ1BxPlJzVMO8dVZ3"),
        ("hex", "61422b632f643d65266625677e22683c694a206b4c6d5c4e6f2750713e527354c3bc755677"),
        ("swapcase", r#"Ab+C/D=E&F%G~"H<Ij KlM\nO'pQ>rStÜUvW"#),
        ("the first eight", "aB+c/d=e"),
        ("eight in the middle", "J kLm\\No"),
        ("the last eight", "RsT%C3%BCuVw"),
    ];

    #[test]
    fn p3_a_secret_is_found_in_every_spelling() {
        for (how, spelled) in SPELLINGS {
            for text in
                [format!("x {spelled} y"), format!("client_secret={spelled}&a=b"), (*spelled).to_owned()]
            {
                assert!(repeats(text.as_bytes(), &[b"other", SECRET.as_bytes()]), "{how}: {text}");
            }
        }
        assert!(repeats(b"hunter2", &[b"hunter2"]), "a short one counts as a whole");
    }

    #[test]
    fn what_holds_no_piece_of_a_secret_is_left_alone() {
        for text in [
            "",
            "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is the secret value.",
            "aB+c/d=f&f%g~\"i<iJ kLl\\",
            "% %2 %zz & &; &#; &#x110000; \\ \\u \\ud800 %ff",
            "hunter",
        ] {
            assert!(!repeats(text.as_bytes(), &[SECRET.as_bytes(), b"hunter2", b""]), "{text}");
        }
    }
}
