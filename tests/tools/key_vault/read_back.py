"""Reads with the official clients what certroll wrote into a Key Vault, and prints what it found as JSON.

    read_back.py http://127.0.0.1:PORT        a vault of the test's own
    read_back.py https://HOST:PORT CA NAME    any other: CA is a PEM file, NAME what the names begin with;
                                              LOGIN, TENANT, CLIENT and CLIENT_SECRET in the environment

For a vault of the test's own the clients speak to https://contoso-prod.vault.azure.net; only the last step, the socket, goes to the given
address. What could not be verified is an error.
"""

import base64
import hashlib
import json
import os
import sys

from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.certificates import CertificateClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from azure.keyvault.secrets import SecretClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import pkcs12
import requests

OWN = len(sys.argv) == 2
BASE = sys.argv[1]
VAULT = "https://contoso-prod.vault.azure.net" if OWN else BASE
HOST = "contoso-prod.vault.azure.net"
CA = True if OWN else sys.argv[2]
PREFIX = "" if OWN else sys.argv[3] + "-"
LOGIN = os.environ.get("LOGIN", BASE)
TENANT = os.environ.get("TENANT", "8f5e2c0a-1b9d-4f27-9a6e-3c7d5b8e4f10")
CLIENT = os.environ.get("CLIENT", "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d")
CLIENT_SECRET = os.environ.get("CLIENT_SECRET", "the-clients-secret-of-the-test")


class Loopback(RequestsTransport):
    def send(self, request, **kwargs):
        assert request.url.startswith(VAULT), request.url
        meant = request.url
        request.url = BASE + meant[len(VAULT):]
        request.headers["Host"] = HOST
        try:
            return super().send(request, **kwargs)
        finally:
            # The client sends the same request again after the challenge.
            request.url = meant


class Credential:
    """Asks the test's login service, for the scope and tenant that the client learnt from the challenge."""

    def get_token(self, *scopes, **kwargs):
        assert kwargs["tenant_id"] == TENANT, kwargs
        form = {
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "grant_type": "client_credentials",
            "scope": scopes[0],
        }
        url = f"{LOGIN}/{TENANT}/oauth2/v2.0/token"
        answer = requests.post(url, data=form, timeout=10, verify=CA).json()
        return AccessToken(answer["access_token"], 4102444800)


def settings():
    common = {"credential": Credential(), "api_version": "7.4"}
    if OWN:
        return common | {"transport": Loopback()}
    # Its host is not below vault.azure.net.
    return common | {"connection_verify": CA, "verify_challenge_resource": False}


def sha1(certificate):
    return certificate.fingerprint(hashes.SHA1()).hex().upper()


def opened(pfx, password):
    key, certificate, _ = pkcs12.load_key_and_certificates(pfx, password)
    assert key.public_key() == certificate.public_key(), "the key is not the certificate's"
    return sha1(certificate)


def main():
    found = {}
    secrets = SecretClient(VAULT, **settings())
    certificates = CertificateClient(VAULT, **settings())

    # A secret object: one JSON value holds the PFX and its password.
    secret = secrets.get_secret(PREFIX + "billing")
    assert secret.properties.content_type == "application/json"
    value = json.loads(secret.value)
    found["secret"] = opened(base64.b64decode(value["certificate"]), value["password"].encode())
    assert any(name.startswith("certroll-record-") for name in secret.properties.tags)
    versions = list(secrets.list_properties_of_secret_versions(PREFIX + "billing"))
    assert all(version.expires_on and version.not_before for version in versions)

    # A certificate object whose key can leave: the PFX behind it has an empty password.
    exported = certificates.get_certificate(PREFIX + "export")
    behind = secrets.get_secret(PREFIX + "export")
    assert behind.properties.content_type == "application/x-pkcs12"
    found["exportable"] = opened(base64.b64decode(behind.value), b"")
    assert exported.properties.x509_thumbprint.hex().upper() == found["exportable"]
    policy = certificates.get_certificate_policy(PREFIX + "export")
    assert policy.exportable and policy.issuer_name == "Unknown" and not policy.lifetime_actions

    # One whose key never leaves: the vault signs with it, and the certificate verifies it.
    stays = certificates.get_certificate(PREFIX + "stays")
    leaf = x509.load_der_x509_certificate(bytes(stays.cer))
    policy = certificates.get_certificate_policy(PREFIX + "stays")
    assert not policy.exportable and policy.key_type == "RSA"
    crypto = CryptographyClient(stays.key_id, **settings())
    # Without the right to read the key the client signs in the vault, as consumers do.
    message = b"signed by a key that never leaves"
    signature = crypto.sign(SignatureAlgorithm.ps256, hashlib.sha256(message).digest()).signature
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    leaf.public_key().verify(signature, message, pss, hashes.SHA256())
    found["stays"] = sha1(leaf)
    print(json.dumps(found))


main()
