//! PEM text (RFC 7468): blocks of base64 between BEGIN and END lines.
//!
//! Own code because blocks can be private keys: what is decoded is zeroised, and no error quotes the input.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// Longest text that is read, in bytes. Certificates and keys are thousands.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Base64 of lines: padding is optional on the way in.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text is not PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("it is larger than {} KiB", TEXT_BYTES_MAX / 1024)]
    TooLarge,
    /// No BEGIN line.
    #[error("there is no -----BEGIN line in it")]
    NoBlock,
    /// A block that does not end.
    #[error("the block that begins in line {line} has no matching -----END line")]
    NotClosed {
        /// Line of its beginning, from 1.
        line: usize,
    },
    /// A block that is not base64.
    #[error("the block that begins in line {line} is not base64")]
    NotBase64 {
        /// Line of its beginning, from 1.
        line: usize,
    },
}

/// One block.
pub struct Block {
    /// What stands after BEGIN, such as `CERTIFICATE`.
    pub label: String,
    /// Whether the block says it is encrypted (`Proc-Type: 4,ENCRYPTED`).
    pub encrypted: bool,
    /// The decoded bytes; may be a key.
    pub contents: Zeroizing<Vec<u8>>,
}

impl Block {
    /// Whether this is a certificate, under any of its three names.
    pub fn is_certificate(&self) -> bool {
        matches!(self.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    }

    /// Whether this is a private key of any kind, encrypted or not.
    pub fn is_private_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({}, {} bytes)", self.label, self.contents.len())
    }
}

/// Every block of a text, at least one. Text between blocks, such as OpenSSL's "Bag Attributes", is passed over.
pub fn blocks(text: &[u8]) -> Result<Vec<Block>, PemError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(PemError::TooLarge);
    }
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).enumerate();
    let mut found = Vec::new();
    while let Some((index, line)) = lines.next() {
        if let Some(label) = boundary(line, b"-----BEGIN ") {
            found.push(block(label, index + 1, lines.by_ref().map(|(_, line)| line))?);
        }
    }
    if found.is_empty() { Err(PemError::NoBlock) } else { Ok(found) }
}

fn boundary<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a str> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    std::str::from_utf8(label).ok()
}

fn block<'a>(label: &str, line: usize, lines: impl Iterator<Item = &'a [u8]>) -> Result<Block, PemError> {
    // Grows only through `reserve`, so that no copy of a key is left behind in freed memory.
    let mut base64 = Zeroizing::new(Vec::new());
    let mut encrypted = false;
    for text in lines {
        if let Some(end) = boundary(text, b"-----END ") {
            let closed = end == label;
            if !closed {
                return Err(PemError::NotClosed { line });
            }
            let mut contents = Zeroizing::new(vec![0; base64.len() / 4 * 3 + 3]);
            let length =
                BASE64.decode_slice(&*base64, &mut contents).map_err(|_| PemError::NotBase64 { line })?;
            contents.truncate(length);
            return Ok(Block { label: label.to_owned(), encrypted, contents });
        }
        // Header lines (RFC 1421) exist only before the base64, and only around encrypted keys.
        if text.contains(&b':') {
            encrypted |= text.starts_with(b"Proc-Type:") && text.ends_with(b"ENCRYPTED");
        } else {
            reserve(&mut base64, text.len());
            base64.extend_from_slice(text);
        }
    }
    Err(PemError::NotClosed { line })
}

/// What the base64 of an RSA 4096 key fits into.
const KEY_CHARS: usize = 4096;

/// Makes room as `Vec` would, but wipes what it leaves.
fn reserve(buffer: &mut Zeroizing<Vec<u8>>, further: usize) {
    if buffer.capacity() - buffer.len() < further {
        let capacity = (2 * (buffer.len() + further)).max(KEY_CHARS);
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
}

/// One block, 64 characters to a line, line feeds only, one at the end.
pub fn encode(label: &str, contents: &[u8]) -> Zeroizing<String> {
    let base64 = base64_line(contents);
    let length = base64.len() + base64.len() / 64 + 2 * label.len() + 64;
    let mut text = Zeroizing::new(String::with_capacity(length));
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

/// Base64 with padding on one line, and nothing after it.
pub fn base64_line(contents: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(contents.len() / 3 * 4 + 4));
    base64::engine::general_purpose::STANDARD.encode_string(contents, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &[u8]) -> PemError {
        blocks(text).unwrap_err()
    }

    #[test]
    fn blocks_are_read_whatever_the_line_ends_and_the_text_between() {
        let text = b"\xEF\xBB\xBFBag Attributes\r\n    friendlyName: \xFF\r\n-----BEGIN A-----\r\nAQID\r\nBA==\r\n-----END A-----\r\n\n -----BEGIN B C-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nBQY=\n-----END B C-----";
        let found = blocks(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].label.as_str(), found[0].encrypted, &found[0].contents[..]),
            ("A", false, &[1, 2, 3, 4][..])
        );
        assert_eq!(
            (found[1].label.as_str(), found[1].encrypted, &found[1].contents[..]),
            ("B C", true, &[5, 6][..])
        );
    }

    #[test]
    fn what_was_encoded_is_read_again() {
        for length in [0, 1, 2, 3, 47, 48, 49, 96, 1000, 200_000] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let text = encode("PRIVATE KEY", &bytes);
            assert!(text.lines().all(|line| line.len() <= 64), "{length}");
            assert_eq!(*blocks(text.as_bytes()).unwrap()[0].contents, bytes, "{length}");
        }
    }

    #[test]
    fn broken_text_is_refused_without_being_quoted() {
        assert_eq!(refusal(b""), PemError::NoBlock);
        assert_eq!(refusal(b"MIIB"), PemError::NoBlock);
        assert_eq!(refusal(b"\n-----BEGIN A-----\nAQID"), PemError::NotClosed { line: 2 });
        assert_eq!(refusal(b"-----BEGIN A-----\nAQID\n-----END B-----"), PemError::NotClosed { line: 1 });
        assert_eq!(refusal(b"-----BEGIN A-----\nhunter2!\n-----END A-----"), PemError::NotBase64 { line: 1 });
        assert_eq!(refusal(&vec![b'x'; TEXT_BYTES_MAX + 1]), PemError::TooLarge);
    }

    #[test]
    fn debug_shows_no_contents() {
        let text = encode("PRIVATE KEY", b"secret");
        assert_eq!(format!("{:?}", blocks(text.as_bytes()).unwrap()), "[Block(PRIVATE KEY, 6 bytes)]");
    }
}
