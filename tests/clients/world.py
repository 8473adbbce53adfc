"""A running emulator, its other door, and certificates made without certroll."""

import base64
import datetime
import json
import os
import ssl
import urllib.request
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

READY = json.loads(os.environ["EMULATOR_READY"])
CA = os.environ["EMULATOR_CA"]
BASE = READY["url"]
TENANT = READY["tenant"]
OPERATOR = READY["client_id"]
SECRET = READY["client_secret"]
SCOPE = BASE + "/.default"

# The variables would win over the trust that the scripts configure.
for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
    os.environ.pop(name, None)
os.environ["NO_PROXY"] = "localhost,127.0.0.1"

_TLS = ssl.create_default_context(cafile=CA)


def call(method, path, body=None, token=None):
    """A plain request; answers status and decoded body."""
    request = urllib.request.Request(BASE + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", "Bearer " + token)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_TLS)
    )
    try:
        with opener.open(request) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()


def door(method, path, body=None):
    """The emulator's other door; fails loudly."""
    status, answer = call(method, "/_emulator/" + path, body)
    assert status == 200, (status, answer)
    return answer


def settings(**changes):
    """The default settings with these changes."""
    door("PUT", "settings", changes)


class Identity:
    """An RSA key with a self-signed certificate for a year."""

    def __init__(self, name):
        self.key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self.start, self.end = now - datetime.timedelta(hours=1), now + datetime.timedelta(days=365)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.start)
            .not_valid_after(self.end)
            .sign(self.key, hashes.SHA256())
        )
        self.der = self.certificate.public_bytes(serialization.Encoding.DER)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.key_pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.sha1 = self.certificate.fingerprint(hashes.SHA1()).hex().upper()

    def entry(self, name):
        """What a client sends for a new credential."""
        spelt = "%Y-%m-%dT%H:%M:%SZ"
        return {
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "keyId": str(uuid.uuid4()),
            "displayName": name,
            "startDateTime": (self.start + datetime.timedelta(seconds=1)).strftime(spelt),
            "endDateTime": (self.end - datetime.timedelta(seconds=1)).strftime(spelt),
            "key": base64.b64encode(self.der).decode(),
        }


def application(name, *entries):
    """An application that carries these entries; answers object id and client id."""
    made = door("POST", "application?tenant=" + TENANT, {"display_name": name, "key_credentials": list(entries)})
    return made["id"], made["app_id"]


def allow_reading(client_id):
    """Lets a client read applications."""
    change = {"change": "grant", "client_id": client_id, "permissions": ["Application.Read.All"]}
    door("POST", "change?tenant=" + TENANT, change)
