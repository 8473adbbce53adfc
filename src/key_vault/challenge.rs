//! The challenge a vault answers an unknown caller with: who gives tokens for it, and for what.
//!
//! Key Vault documentation (authentication, requests and responses): `401` with `WWW-Authenticate: Bearer authorization="…",
//! resource="…"`; the authority may be called `authorization_uri`, the scope may stand in `scope`; the tenant is the first part of the
//! authority's path. A later `401` may carry `claims` (continuous access evaluation) that the next token has to satisfy.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::Url;

/// What a vault asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Who gives tokens.
    pub(crate) authority: Url,
    /// Tenant named there.
    pub(crate) tenant: String,
    /// Scope of the token.
    pub(crate) scope: String,
}

impl Challenge {
    /// Reads the header. The error says what is wrong with it.
    pub(crate) fn parse(header: &str) -> Result<Challenge, String> {
        let parts = parameters(header).ok_or("it asks for no bearer token")?;
        let value = |name: &str| {
            let found = parts.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        let authority = value("authorization").or(value("authorization_uri"));
        let authority = authority.ok_or("it names no authority")?;
        // Some parsers take a backslash for a slash, and what comes before it for a host.
        if authority.contains('\\') {
            return Err("its authority holds a backslash".to_owned());
        }
        let authority = Url::parse(authority).map_err(|_| "its authority is no URL")?;
        let tenant = authority.path_segments().and_then(|mut parts| parts.next()).unwrap_or_default();
        if tenant.is_empty() {
            return Err("its authority names no tenant".to_owned());
        }
        let scope = match (value("scope"), value("resource")) {
            (Some(scope), _) => scope.to_owned(),
            (None, Some(resource)) => format!("{}/.default", resource.trim_end_matches('/')),
            (None, None) => return Err("it names neither scope nor resource".to_owned()),
        };
        Ok(Challenge { tenant: tenant.to_owned(), authority, scope })
    }

    /// The claims, JSON, that a token has to satisfy which was refused for lack of them. Such a challenge need not repeat who gives tokens,
    /// and for what.
    pub(crate) fn claims(header: &str) -> Result<Option<String>, String> {
        let parts = parameters(header).unwrap_or_default();
        let claims =
            parts.iter().find(|(key, value)| key.eq_ignore_ascii_case("claims") && !value.is_empty());
        claims.map(|(_, value)| decoded(value)).transpose()
    }

    /// Whether the token would be one for that vault: the scope's host is the vault's, or a domain above it. Without this check a
    /// hostile "vault" could collect tokens for other services.
    pub(crate) fn is_for(&self, vault_host: &str) -> bool {
        let Ok(scope) = Url::parse(&self.scope) else { return false };
        let Some(host) = scope.host_str().filter(|host| host.contains('.')) else { return false };
        scope.scheme() == "https" && (vault_host == host || vault_host.ends_with(&format!(".{host}")))
    }
}

fn decoded(claims: &str) -> Result<String, String> {
    let bare = claims.trim_end_matches('=');
    let bytes = URL_SAFE_NO_PAD.decode(bare).or_else(|_| STANDARD_NO_PAD.decode(bare));
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| "its claims are no base64".to_owned())
}

/// `Bearer key="value", key=value`; `None` for another scheme.
fn parameters(header: &str) -> Option<Vec<(String, String)>> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = rest.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').map_or((after, ""), |(value, left)| (value, left)),
        };
        parts.push((key.trim().to_owned(), value.trim().to_owned()));
        rest = left.trim_start().trim_start_matches(',').trim_start();
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_AZURE: &str = "Bearer authorization=\"https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47\", \
                            resource=\"https://vault.azure.net\"";

    #[test]
    fn the_challenge_of_the_documentation_is_read() {
        let challenge = Challenge::parse(OF_AZURE).unwrap();
        assert_eq!(challenge.authority.host_str(), Some("login.microsoftonline.com"));
        assert_eq!(challenge.tenant, "72f988bf-86f1-41af-91ab-2d7cd011db47");
        assert_eq!(challenge.scope, "https://vault.azure.net/.default");
    }

    #[test]
    fn a_token_is_only_for_a_vault_below_the_resource() {
        let challenge = Challenge::parse(OF_AZURE).unwrap();
        assert!(challenge.is_for("contoso.vault.azure.net"));
        for other in ["contoso.vault.azure.net.example.com", "evilvault.azure.net", "example.com", "net"] {
            assert!(!challenge.is_for(other), "{other}");
        }
        let graph = OF_AZURE.replace("vault.azure.net", "graph.microsoft.com");
        assert!(!Challenge::parse(&graph).unwrap().is_for("contoso.vault.azure.net"));
        let whole = OF_AZURE.replace("https://vault.azure.net", "https://net");
        assert!(!Challenge::parse(&whole).unwrap().is_for("contoso.vault.azure.net"), "a whole top level");
    }

    #[test]
    fn claims_of_continuous_access_evaluation_are_read() {
        let header = "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
                      error=\"insufficient_claims\", claims=\"eyJhIjoxfQ==\"";
        assert_eq!(Challenge::claims(header), Ok(Some("{\"a\":1}".to_owned())));
        assert_eq!(Challenge::claims(OF_AZURE), Ok(None));
        assert!(Challenge::claims(&header.replace("eyJ", "{}")).is_err());
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        for (header, problem) in [
            ("Basic realm=\"x\"", "no bearer"),
            ("Bearer resource=\"https://vault.azure.net\"", "no authority"),
            (
                "Bearer authorization=\"https://login.microsoftonline.com\", resource=\"https://a.b\"",
                "no tenant",
            ),
            ("Bearer authorization=\"https://login.microsoftonline.com/t\"", "neither scope nor resource"),
            ("Bearer authorization=\"https://evil.example\\@login.microsoftonline.com/t\"", "backslash"),
        ] {
            let said = Challenge::parse(header).unwrap_err();
            assert!(said.contains(problem), "{header}: {said}");
        }
    }
}
