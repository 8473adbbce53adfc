//! What bytes are that are not a certificate, told by their first few elements. Only for a better message: nothing
//! decides on it but the wording of a refusal.

/// Things people send instead of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// PKCS#12.
    Pfx,
    /// PKCS#8 (encrypted or not), PKCS#1 or SEC 1.
    PrivateKey,
    /// PKCS#10.
    Request,
    /// SubjectPublicKeyInfo or a PKCS#1 public key.
    PublicKey,
    /// PKCS#7.
    Bundle,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// 1.2.840.113549.1.7, the arc of PKCS#7 content types.
const PKCS7_ARC: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07];

/// Tells the kind, or `None` when it is nothing known.
pub(super) fn of(bytes: &[u8]) -> Option<Kind> {
    let outer = Element::first(bytes).filter(|e| e.tag == SEQUENCE)?;
    let first = Element::first(outer.contents)?;
    let second = Element::first(first.after);
    let second_tag = second.as_ref().map(|e| e.tag);
    match (first.tag, first.contents, second_tag) {
        (INTEGER, [3], Some(SEQUENCE)) => Some(Kind::Pfx),
        // PKCS#8 and PKCS#1 both begin with a version of 0 or 1, SEC 1 with 1.
        (INTEGER, [0 | 1], Some(SEQUENCE | INTEGER | OCTET_STRING)) => Some(Kind::PrivateKey),
        (INTEGER, _, Some(INTEGER)) => Some(Kind::PublicKey),
        (OBJECT_IDENTIFIER, oid, _) if oid.starts_with(PKCS7_ARC) => Some(Kind::Bundle),
        // An algorithm, then what was encrypted with it.
        (SEQUENCE, _, Some(OCTET_STRING)) => Some(Kind::PrivateKey),
        (SEQUENCE, _, Some(BIT_STRING)) => Some(Kind::PublicKey),
        (SEQUENCE, request, Some(SEQUENCE)) => is_request(request).then_some(Kind::Request),
        _ => None,
    }
}

/// A request's first part is version 0, name, key, attributes; a certificate's begins otherwise.
fn is_request(part: &[u8]) -> bool {
    let version = Element::first(part);
    version.is_some_and(|e| e.tag == INTEGER && e.contents == [0] && e.after.first() == Some(&SEQUENCE))
}

/// One element of DER, or of BER with an indefinite length, which old PFX writers use.
struct Element<'a> {
    tag: u8,
    contents: &'a [u8],
    after: &'a [u8],
}

impl<'a> Element<'a> {
    fn first(bytes: &'a [u8]) -> Option<Element<'a>> {
        let (&tag, rest) = bytes.split_first()?;
        let (&length, rest) = rest.split_first()?;
        if length == 0x80 {
            return Some(Element { tag, contents: rest, after: &[] });
        }
        let (length, rest) = match length {
            0..0x80 => (usize::from(length), rest),
            _ => {
                let count = usize::from(length & 0x7F);
                if count > 4 || rest.len() < count {
                    return None;
                }
                let (digits, rest) = rest.split_at(count);
                (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
            }
        };
        // Cut short is still recognisable.
        let (contents, after) = rest.split_at(length.min(rest.len()));
        Some(Element { tag, contents, after })
    }
}
