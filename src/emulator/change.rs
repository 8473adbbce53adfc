//! What can be asked for at the other door, as types with a JSON form.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::emulator::world::Kind;

/// An application to put into a directory. Ids left out are made up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewApplication {
    /// Object id.
    pub id: Option<Uuid>,
    /// Client id.
    pub app_id: Option<Uuid>,
    /// The display name.
    pub display_name: String,
    /// Any further property, as the directory spells it (`createdDateTime`, `@odata.type`, …).
    pub properties: Map<String, Value>,
    /// Entries as the directory would show them, `key` included. Of members that are absent, the ones that can be
    /// told from the certificate are filled in; members that are null stay null.
    pub key_credentials: Vec<Value>,
    /// Entries with their `secretText`.
    pub password_credentials: Vec<Value>,
    /// Federated identity credentials: `issuer`, `subject`, `audiences`.
    pub federated: Vec<Value>,
    /// Object ids of the service principals that own it.
    pub owners: BTreeSet<Uuid>,
    /// Without a service principal nobody can sign in as it.
    pub without_service_principal: bool,
}

/// A service principal to put into a directory, with or without an application in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewServicePrincipal {
    /// Object id.
    pub id: Option<Uuid>,
    /// Client id.
    pub app_id: Option<Uuid>,
    /// The display name.
    pub display_name: String,
    /// Any further property: `servicePrincipalType` `ManagedIdentity`, `appOwnerOrganizationId` of another
    /// tenant, `preferredSingleSignOnMode`, …
    pub properties: Map<String, Value>,
    /// As in [`NewApplication`].
    pub key_credentials: Vec<Value>,
    /// Entries with their `secretText`.
    pub password_credentials: Vec<Value>,
    /// Object ids of the service principals that own it.
    pub owners: BTreeSet<Uuid>,
}

/// A change made behind everybody's back. `object` is an object id, or the client id of an application; for a
/// service principal give `kind` too.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Change {
    /// Moves the object to the recycle bin.
    Delete {
        /// Which object.
        object: Uuid,
        /// What it is; an application unless said.
        #[serde(default)]
        kind: Option<Kind>,
    },
    /// Brings it back from there.
    Restore {
        /// Which object.
        object: Uuid,
        /// What it is.
        #[serde(default)]
        kind: Option<Kind>,
    },
    /// Removes a certificate, named by key id or by SHA-1 or SHA-256 thumbprint in hexadecimal.
    DeleteCredential {
        /// Which object.
        object: Uuid,
        /// What it is.
        #[serde(default)]
        kind: Option<Kind>,
        /// Key id or thumbprint, or the first characters of one.
        credential: String,
    },
    /// Adds a certificate of somebody else.
    AddForeignCredential {
        /// Which object.
        object: Uuid,
        /// What it is.
        #[serde(default)]
        kind: Option<Kind>,
        /// The display name of the entry.
        #[serde(default)]
        display_name: Option<String>,
    },
    /// Adds an entry exactly as given.
    AddCredential {
        /// Which object.
        object: Uuid,
        /// What it is.
        #[serde(default)]
        kind: Option<Kind>,
        /// The entry, `key` included, as in [`NewApplication`].
        entry: Map<String, Value>,
    },
    /// Adds the three entries of a SAML signing certificate to a service principal.
    AddSamlPair {
        /// Which service principal.
        object: Uuid,
        /// The display name, beginning with `CN=`.
        display_name: String,
    },
    /// Sets properties: locks (`servicePrincipalLockConfiguration`), switches off (`isDisabled`, `accountEnabled`), renames.
    Set {
        /// Which object.
        object: Uuid,
        /// What it is.
        #[serde(default)]
        kind: Option<Kind>,
        /// The properties, as the directory spells them.
        properties: Map<String, Value>,
    },
    /// Replaces the owners of an object.
    Own {
        /// Which object.
        object: Uuid,
        /// What it is.
        #[serde(default)]
        kind: Option<Kind>,
        /// Object ids of service principals.
        owners: BTreeSet<Uuid>,
    },
    /// Replaces the permissions of a client.
    Grant {
        /// Its client id.
        client_id: Uuid,
        /// App-only permissions by name.
        permissions: BTreeSet<String>,
    },
    /// Replaces members of the tenant's default app management policy.
    SetDefaultPolicy {
        /// The members.
        policy: Map<String, Value>,
    },
    /// Makes or replaces an app management policy.
    SetPolicy {
        /// Its id.
        id: Uuid,
        /// The policy as it is read.
        policy: Map<String, Value>,
    },
    /// Assigns policies to an object, in place of those it had.
    AssignPolicies {
        /// Which object.
        object: Uuid,
        /// What it is.
        #[serde(default)]
        kind: Option<Kind>,
        /// Policy ids.
        policies: BTreeSet<Uuid>,
    },
    /// A Conditional Access policy blocks all sign-ins (53003), or no longer does.
    ConditionalAccess {
        /// Whether it blocks.
        blocks: bool,
    },
    /// Makes the keys of a foreign token issuer known.
    TrustIssuer {
        /// The `iss` of its tokens.
        issuer: String,
        /// RSA public keys, base64 of PKCS#1 DER.
        keys: Vec<String>,
    },
    /// Adds a federated identity credential: `issuer`, `subject`, `audiences`.
    AddFederated {
        /// Which application.
        object: Uuid,
        /// The credential.
        credential: Map<String, Value>,
    },
}
