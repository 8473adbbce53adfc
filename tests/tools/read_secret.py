"""Reads a Secret with the official Kubernetes client and says what a consumer finds in it, as JSON.

    read_secret.py KUBECONFIG NAMESPACE NAME          a Secret of type kubernetes.io/tls
"""

import base64
import hashlib
import json
import ssl
import sys
import tempfile

from kubernetes import client, config

kubeconfig, namespace, name = sys.argv[1:]
config.load_kube_config(kubeconfig)
secret = client.CoreV1Api().read_namespaced_secret(name, namespace)
certificate, key = (base64.b64decode(secret.data[field]) for field in ("tls.crt", "tls.key"))

# OpenSSL refuses a key that does not belong to the certificate.
with tempfile.NamedTemporaryFile() as pair:
    pair.write(certificate + key)
    pair.flush()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.name)

leaf = certificate.decode().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
managers = sorted({entry.manager for entry in secret.metadata.managed_fields if "f:data" in entry.fields_v1})
print(
    json.dumps(
        {
            "type": secret.type,
            "fields": sorted(secret.data),
            "thumbprint": hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest().upper(),
            "managers": managers,
        }
    )
)
