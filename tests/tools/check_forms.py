"""Opens forms certroll wrote, with Python's cryptography, and prints what it found as JSON.

    check_forms.py pfx FILE          password in the environment variable PASSWORD; unset means none
    check_forms.py pem FILE...       certificate and key in one file or two
    check_forms.py assertion FILE    a client assertion; the certificate's PEM in the variable CERTIFICATE
"""

import base64
import hashlib
import json
import os
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12


def thumbprint(certificate):
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def pair(key, certificate, chain):
    return {
        "thumbprint": thumbprint(certificate),
        "chain": [thumbprint(each) for each in chain],
        "bits": key.key_size,
        "pair": key.public_key().public_numbers() == certificate.public_key().public_numbers(),
    }


def pfx(path):
    password = os.environ.get("PASSWORD")
    data = open(path, "rb").read()
    try:
        found = pkcs12.load_pkcs12(data, None if password is None else password.encode())
    except ValueError:
        return {"opens": False}
    name = found.cert.friendly_name
    out = pair(found.key, found.cert.certificate, [each.certificate for each in found.additional_certs])
    return out | {"opens": True, "friendly_name": name and name.decode()}


def pem(*paths):
    data = b"".join(open(path, "rb").read() for path in paths)
    certificates = x509.load_pem_x509_certificates(data)
    key = load_pem_private_key(data[data.index(b"-----BEGIN PRIVATE KEY") :], None)
    return pair(key, certificates[0], certificates[1:])


def part(text):
    assert "=" not in text, "padded"
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def assertion(path):
    certificate = x509.load_pem_x509_certificate(os.environ["CERTIFICATE"].encode())
    der = certificate.public_bytes(encoding=Encoding.DER)
    head, claims, signature = open(path).read().split(".")
    header = json.loads(part(head))
    if header["alg"] == "PS256":
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
        assert part(header["x5t#S256"]) == hashlib.sha256(der).digest()
    else:
        scheme = padding.PKCS1v15()
        assert part(header["x5t"]) == hashlib.sha1(der).digest()
    certificate.public_key().verify(part(signature), f"{head}.{claims}".encode(), scheme, hashes.SHA256())
    return {"header": header, "claims": json.loads(part(claims))}


print(json.dumps({"pfx": pfx, "pem": pem, "assertion": assertion}[sys.argv[1]](*sys.argv[2:])))
