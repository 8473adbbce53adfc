"""Signs in with a key that certroll made, with two official clients, and reads with the Graph SDK what it published.

    EMULATOR_READY=… EMULATOR_CA=… with_key.py CLIENT_ID COMBINED.pem

EMULATOR_READY is the line `certroll emulator serve` printed; COMBINED.pem holds the private key and its certificate.
Prints the display name of the entry that carries the certificate.
"""

import asyncio
import sys

from azure.identity import CertificateCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import test_azure_identity
import test_graph_sdk
import test_msal
import world


def main(client_id, path):
    pem = open(path, "rb").read()
    certificate = x509.load_pem_x509_certificate(pem)
    key = serialization.load_pem_private_key(pem, None)
    assert key.public_key() == certificate.public_key(), "the key is not the certificate's"
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

    got = test_msal.sign_in(client_id, {"private_key": private, "public_certificate": public})
    assert "access_token" in got, got
    credential = CertificateCredential(world.TENANT, client_id, path, **test_azure_identity.SETTINGS)
    assert credential.get_token(world.SCOPE).token

    async def read():
        return await test_graph_sdk.graph().applications_with_app_id(client_id).get()

    application = asyncio.run(read())
    sha1 = certificate.fingerprint(hashes.SHA1())
    found = [entry for entry in application.key_credentials if entry.custom_key_identifier == sha1]
    assert len(found) == 1, [entry.display_name for entry in application.key_credentials]
    print(found[0].display_name)


if __name__ == "__main__":
    main(*sys.argv[1:])
