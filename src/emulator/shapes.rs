//! The properties every object has, with the values they begin with. Objects hold only what differs, which keeps
//! directories of ten thousand applications small.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::emulator::wire::members;
use crate::emulator::world::Kind;

static APPLICATION: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    members(json!({
        "deletedDateTime": null, "displayName": null, "createdDateTime": null, "description": null,
        "disabledByMicrosoftStatus": null, "isDisabled": null, "groupMembershipClaims": null,
        "identifierUris": [], "isDeviceOnlyAuthSupported": null, "isFallbackPublicClient": null,
        "nativeAuthenticationApisEnabled": null, "notes": null, "publisherDomain": null,
        "serviceManagementReference": null, "signInAudience": "AzureADMyOrg", "tags": [],
        "tokenEncryptionKeyId": null, "uniqueName": null, "samlMetadataUrl": null,
        "servicePrincipalLockConfiguration": null, "addIns": [], "appRoles": [],
        "api": {}, "info": {}, "web": {}, "spa": {}, "publicClient": {}, "optionalClaims": null,
        "requiredResourceAccess": [], "verifiedPublisher": {}, "parentalControlSettings": {},
        "certification": null, "defaultRedirectUri": null, "requestSignatureVerification": null,
    }))
});

static SERVICE_PRINCIPAL: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    members(json!({
        "deletedDateTime": null, "accountEnabled": true, "alternativeNames": [], "appDisplayName": null,
        "appDescription": null, "appOwnerOrganizationId": null, "appRoleAssignmentRequired": false,
        "applicationTemplateId": null, "createdDateTime": null, "description": null,
        "disabledByMicrosoftStatus": null, "displayName": null, "homepage": null, "loginUrl": null,
        "logoutUrl": null, "notes": null, "notificationEmailAddresses": [], "preferredSingleSignOnMode": null,
        "preferredTokenSigningKeyThumbprint": null, "replyUrls": [], "servicePrincipalNames": [],
        "servicePrincipalType": "Application", "signInAudience": "AzureADMyOrg", "tags": [],
        "tokenEncryptionKeyId": null, "samlSingleSignOnSettings": null, "addIns": [], "appRoles": [],
        "info": {}, "oauth2PermissionScopes": [], "resourceSpecificApplicationPermissions": [],
        "verifiedPublisher": {}, "isDisabled": null,
    }))
});

/// The properties of a kind, in the order they are read in.
pub(crate) fn defaults(kind: Kind) -> &'static Map<String, Value> {
    match kind {
        Kind::Application => &APPLICATION,
        Kind::ServicePrincipal => &SERVICE_PRINCIPAL,
    }
}
