"""Reads with hvac what certroll wrote at a path of the KV engine of version 2 at secret/, and says what is there, as JSON.

    VAULT_TOKEN=... read_back.py ADDRESS PATH

What it could not verify is an error.
"""

import json
import os
import sys

import hvac
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

address, path = sys.argv[1:]
kv = hvac.Client(url=address, token=os.environ["VAULT_TOKEN"]).secrets.kv.v2


def read(name):
    try:
        return kv.read_secret_version(name, mount_point="secret", raise_on_deleted_version=True)["data"]
    except hvac.exceptions.InvalidPath:
        return None


live, waiting, records = (read(name) for name in (path, f"{path}-next", f"{path}-certroll"))
data = live["data"]
text = (data["certificate"] + data.get("key", "")).encode()
certificates = x509.load_pem_x509_certificates(text)
key = serialization.load_pem_private_key(text[text.index(b"-----BEGIN PRIVATE KEY") :], None)
leaf, chain = certificates[0], certificates[1:]
assert key.public_key() == leaf.public_key(), "the key is not the certificate's"
for below, above in zip(certificates, chain):
    below.verify_directly_issued_by(above)
found = {
    "fields": sorted(data),
    "version": live["metadata"]["version"],
    "thumbprint": leaf.fingerprint(hashes.SHA256()).hex().upper(),
    "chain": [above.subject.rfc4514_string() for above in chain],
    "waiting": waiting and sorted(waiting["data"]),
    "records": sorted(records["data"]),
    "keys in the records": json.dumps(records["data"]).count("PRIVATE KEY"),
    "custom metadata": sorted({json.dumps(value["metadata"]["custom_metadata"]) for value in (live, records)}),
}
print(json.dumps(found))
