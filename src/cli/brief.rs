//! The login service explains a refusal in a paragraph. A person who watches a run needs its number, what it says first and the
//! id by which the sign-in log finds it; `-v` shows the rest.

/// The text with a login service's paragraph cut to one line; every other text as it is.
pub fn brief(text: &str) -> String {
    shortened(text).unwrap_or_else(|| text.to_owned())
}

/// As [`brief`], unless the whole is wanted.
pub fn words(text: &str, whole: bool) -> String {
    if whole { text.to_owned() } else { brief(text) }
}

fn shortened(text: &str) -> Option<String> {
    let at = text.find("AADSTS")?;
    let (before, explained) = text.split_at(at);
    let (code, explanation) = explained.split_once(": ")?;
    if !code["AADSTS".len()..].bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What certroll adds at the end: ` (AADSTS700027, request ID)`.
    let (explanation, id) = match explanation.rsplit_once(&format!(" ({code}")) {
        Some((explanation, ids)) => (explanation, ids.strip_suffix(')')?.strip_prefix(", request ")),
        None => (explanation, None),
    };
    let end = [". ", " ["].iter().filter_map(|mark| explanation.find(mark)).min();
    let first = explanation[..end.unwrap_or(explanation.len())].trim_end_matches('.');
    let reason = explanation.split_once("[Reason - ").map(|(_, reason)| {
        let end = reason.find(['.', ',', ']']).unwrap_or(reason.len());
        format!(" [{}]", &reason[..end])
    });
    let id = id.map(|id| format!(" (correlation id {id})"));
    Some(format!("{before}{code}: {first}{}{}", reason.unwrap_or_default(), id.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn of_a_login_services_paragraph_the_number_the_first_sentence_the_reason_and_the_id_remain() {
        let whole = "signing in as 5c1d: AADSTS700027: The certificate with identifier used to sign the client assertion is not \
                     registered on application. [Reason - The key was not found., Thumbprint of key used by client: 'AB', Please \
                     visit the Azure Portal. Review the documentation at https://docs.microsoft.com] (AADSTS700027, request 9f-2c)";
        assert_eq!(
            brief(whole),
            "signing in as 5c1d: AADSTS700027: The certificate with identifier used to sign the client assertion is not \
             registered on application [The key was not found] (correlation id 9f-2c)"
        );
        assert_eq!(
            brief(
                "signing in: AADSTS53003: Access has been blocked. The access policy does not allow it. (AADSTS53003)"
            ),
            "signing in: AADSTS53003: Access has been blocked"
        );
        assert_eq!(
            brief("AADSTS7000112: The application is disabled."),
            "AADSTS7000112: The application is disabled"
        );
    }

    #[test]
    fn every_other_text_stays_as_it_is() {
        for text in [
            "reading the store: it is damaged. Look at it. (x)",
            "AADSTS",
            "AADSTSabc: x. y",
            "see AADSTS90002",
            "",
        ] {
            assert_eq!(brief(text), text);
        }
    }
}
