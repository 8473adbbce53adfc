"""MSAL Python, unchanged."""

import tempfile

import msal

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

import world


def client(client_id, credential, **more):
    """A new application object each time: MSAL remembers answers that were 400."""
    more.setdefault("instance_discovery", False)
    authority = f"{world.BASE}/{world.TENANT}"
    return msal.ConfidentialClientApplication(client_id, credential, authority=authority, verify=world.CA, **more)


def sign_in(client_id, credential, **more):
    return client(client_id, credential, **more).acquire_token_for_client([world.SCOPE])


def test_a_secret_signs_in_and_reads():
    got = sign_in(world.OPERATOR, world.SECRET)
    assert "access_token" in got, got
    status, body = world.call("GET", "/v1.0/applications?$top=1", token=got["access_token"])
    assert status == 200 and len(body["value"]) == 1, body


def test_discovery_through_the_emulator_itself_works():
    got = sign_in(world.OPERATOR, world.SECRET, instance_discovery=world.BASE + "/common/discovery/instance")
    assert "access_token" in got, got


def test_a_wrong_secret_is_refused_with_its_number():
    got = sign_in(world.OPERATOR, "wrong")
    assert got["error"] == "invalid_client" and got["error_codes"] == [7000215], got


def test_a_certificate_signs_in_in_every_form_msal_has():
    identity = world.Identity("msal")
    _, client_id = world.application("msal forms", identity.entry("first"))
    world.allow_reading(client_id)
    pfx = pkcs12.serialize_key_and_certificates(
        b"msal", identity.key, identity.certificate, None, BestAvailableEncryption(b"pass")
    )
    with tempfile.NamedTemporaryFile(suffix=".pfx") as file:
        file.write(pfx)
        file.flush()
        forms = {
            "thumbprint": {"private_key": identity.key_pem, "thumbprint": identity.sha1},
            "thumbprint and chain": {
                "private_key": identity.key_pem,
                "thumbprint": identity.sha1,
                "public_certificate": identity.pem,
            },
            "certificate only": {"private_key": identity.key_pem, "public_certificate": identity.pem},
            "pfx": {"private_key_pfx_path": file.name, "passphrase": "pass"},
            "pfx and chain": {"private_key_pfx_path": file.name, "passphrase": "pass", "public_certificate": True},
        }
        for name, credential in forms.items():
            got = sign_in(client_id, credential)
            assert "access_token" in got, (name, got)


def test_an_unregistered_certificate_is_not_found():
    identity = world.Identity("stranger")
    _, client_id = world.application("msal stranger")
    got = sign_in(client_id, {"private_key": identity.key_pem, "thumbprint": identity.sha1})
    assert got["error"] == "invalid_client" and got["error_codes"] == [700027], got
    assert "The key was not found." in got["error_description"] and identity.sha1 in got["error_description"], got


def test_an_unknown_client_is_told_so():
    got = sign_in("11111111-2222-4333-8444-555555555555", "secret")
    assert got["error"] == "unauthorized_client" and got["error_codes"] == [700016], got
