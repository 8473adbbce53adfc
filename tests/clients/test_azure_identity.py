"""azure-identity for Python, unchanged."""

import os
import tempfile

from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential, ManagedIdentityCredential

import world

SETTINGS = {
    "authority": world.BASE,
    "disable_instance_discovery": True,
    "connection_verify": world.CA,
}


def test_a_secret_signs_in_and_reads():
    token = ClientSecretCredential(world.TENANT, world.OPERATOR, world.SECRET, **SETTINGS).get_token(world.SCOPE)
    status, _ = world.call("GET", "/v1.0/servicePrincipals?$top=1", token=token.token)
    assert status == 200


def test_a_certificate_signs_in_with_and_without_its_chain():
    identity = world.Identity("azure-identity")
    _, client_id = world.application("azure-identity", identity.entry("first"))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(identity.key_pem + identity.pem)
        file.flush()
        for chain in (False, True):
            credential = CertificateCredential(
                world.TENANT, client_id, file.name, send_certificate_chain=chain, **SETTINGS
            )
            assert credential.get_token(world.SCOPE).token


def test_a_removed_certificate_no_longer_signs_in():
    identity = world.Identity("removed")
    object_id, client_id = world.application("removed", identity.entry("first"))
    change = {"change": "delete_credential", "object": object_id, "credential": identity.sha1}
    world.door("POST", "change?tenant=" + world.TENANT, change)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(identity.key_pem + identity.pem)
        file.flush()
        credential = CertificateCredential(world.TENANT, client_id, file.name, **SETTINGS)
        try:
            credential.get_token(world.SCOPE)
        except ClientAuthenticationError as error:
            assert "AADSTS700027" in str(error), error
        else:
            raise AssertionError("signed in with a key that is gone")


def test_a_managed_identity_of_app_service_gets_a_token():
    properties = {"servicePrincipalType": "ManagedIdentity"}
    made = world.door(
        "POST", "service-principal?tenant=" + world.TENANT, {"display_name": "vm", "properties": properties}
    )
    os.environ["IDENTITY_ENDPOINT"] = world.BASE + "/msi/token"
    os.environ["IDENTITY_HEADER"] = "emulator-identity-header"
    try:
        credential = ManagedIdentityCredential(client_id=made["app_id"], connection_verify=world.CA)
        assert credential.get_token("https://graph.microsoft.com/.default").token
    finally:
        del os.environ["IDENTITY_ENDPOINT"], os.environ["IDENTITY_HEADER"]
