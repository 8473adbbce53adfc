//! Where the sources on the service contradict each other, or where it may do either: one switch each.

use serde::{Deserialize, Serialize};

/// How the emulator decides where the facts about the service are disputed or open.
///
/// The defaults are the strict choice: a client that passes against them works either way. The JSON form has
/// the fields below; a missing field has its default, an unknown one is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Lists that select `keyCredentials` return the certificate in `key`. Default: it is null.
    pub key_in_list: bool,
    /// A retained entry may carry its certificate again. Default: refused, `KeyValueMustBeNull`.
    pub accept_resent_key: bool,
    /// A retained entry counts as unchanged when its times are equal to the microsecond and its
    /// `customKeyIdentifier` is equal or left out. Default: any difference is refused, `KeyNotUpdatable`.
    pub accept_retyped_entries: bool,
    /// Sending an expired entry back is refused with `KeyCredentialsInvalidEndDate`. Default: accepted.
    pub refuse_expired_resent: bool,
    /// A new entry may not start in the past. Default: it may.
    pub refuse_past_start: bool,
    /// A new entry may start before its certificate does. Default: refused (unconfirmed).
    pub accept_start_before_certificate: bool,
    /// A new entry may last at most one year from its start. Default: no such limit.
    pub refuse_over_one_year: bool,
    /// Assertions with padded thumbprints, times that are no integers, `kid` in place of `x5t`, or `x5c` as
    /// one string are refused. Default: accepted, because official clients send them.
    pub refuse_odd_assertions: bool,
    /// Certificates with keys other than RSA are refused on upload. Default: only at sign-in.
    pub refuse_ec_certificates: bool,
    /// `error_description` ends in lines, as it did until 2023. Default: single spaces.
    pub crlf_error_tail: bool,
    /// From when a lifetime limited by policy is counted.
    pub policy_lifetime: PolicyLifetime,
    /// `addKey` keeps the display name and the dates it is given. Default: it sets its own.
    pub add_key_keeps_fields: bool,
    /// A lock on service principals binds in other tenants only. Default: in the home tenant too.
    pub lock_spares_home_tenant: bool,
    /// Credentials of managed identities can be written. Default: refused.
    pub managed_identities_writable: bool,
    /// The shape of a `customKeyIdentifier` the service fills in.
    pub custom_key_identifier: CustomKeyIdentifier,
    /// The largest page any list returns, whatever `$top` asks for; 1 to 999.
    pub page_size_max: usize,
    /// Lists come in a fixed shuffled order. Default: yes.
    pub shuffle_lists: bool,
    /// Objects carry a property nobody has documented. Default: yes.
    pub extra_fields: bool,
    /// Credential entries carry a property nobody has documented, which must come back like all others.
    pub extra_entry_fields: bool,
    /// `$batch` answers in another order than it was asked. Default: yes.
    pub shuffle_batches: bool,
    /// How long access tokens last, in seconds.
    pub token_lifetime_seconds: u32,
}

/// From when the lifetime of a credential is counted when a policy limits it (the service: unconfirmed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyLifetime {
    /// End minus start.
    FromStart,
    /// End minus now.
    FromNow,
    /// The longer of the two: the strict choice.
    Either,
}

/// The shapes of `customKeyIdentifier` met in the wild.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomKeyIdentifier {
    /// Base64 of the 20 bytes of the SHA-1 thumbprint.
    Sha1,
    /// The 40 hexadecimal characters placed straight into the field.
    HexLiteral,
    /// Base64 of the 40 ASCII characters of the hexadecimal thumbprint.
    HexAscii,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            key_in_list: false,
            accept_resent_key: false,
            accept_retyped_entries: false,
            refuse_expired_resent: false,
            refuse_past_start: false,
            accept_start_before_certificate: false,
            refuse_over_one_year: false,
            refuse_odd_assertions: false,
            refuse_ec_certificates: false,
            crlf_error_tail: false,
            policy_lifetime: PolicyLifetime::Either,
            add_key_keeps_fields: false,
            lock_spares_home_tenant: false,
            managed_identities_writable: false,
            custom_key_identifier: CustomKeyIdentifier::Sha1,
            page_size_max: 999,
            shuffle_lists: true,
            extra_fields: true,
            extra_entry_fields: false,
            shuffle_batches: true,
            token_lifetime_seconds: 3600,
        }
    }
}

impl Settings {
    /// The settings under which the typed clients of other vendors can write: everything that is accepted
    /// somewhere is accepted.
    pub fn lenient() -> Settings {
        Settings {
            key_in_list: true,
            accept_resent_key: true,
            accept_retyped_entries: true,
            accept_start_before_certificate: true,
            lock_spares_home_tenant: true,
            managed_identities_writable: true,
            add_key_keeps_fields: true,
            policy_lifetime: PolicyLifetime::FromStart,
            ..Settings::default()
        }
    }
}
