#!/usr/bin/env bash
# Official client libraries, unchanged, against `certroll emulator serve`. Needs python3 with venv and a package index.
# CERTROLL names a built binary; without it the debug build is made. Nothing is skipped: what is missing is a failure.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
work="$target/clients"
mkdir -p "$work"

if [ -z "${CERTROLL:-}" ]; then
    (cd "$root" && cargo build --quiet --bin certroll)
    CERTROLL="$target/debug/certroll"
fi

venv="$work/venv"
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

state="$(mktemp -d "$work/state.XXXXXX")"
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$state"
}
trap finish EXIT

"$CERTROLL" emulator serve --listen 127.0.0.1:0 --state "$state/emulator.json" --ca-out "$state/ca.pem" >"$state/ready" &
server=$!
for _ in $(seq 100); do
    [ -s "$state/ready" ] && break
    kill -0 "$server" 2>/dev/null || { echo "the emulator did not start" >&2; exit 1; }
    sleep 0.1
done
[ -s "$state/ready" ] || { echo "the emulator was not ready in time" >&2; exit 1; }

EMULATOR_READY="$(head -n 1 "$state/ready")" EMULATOR_CA="$state/ca.pem" PYTHONDONTWRITEBYTECODE=1 \
    "$venv/bin/python" "$here/run.py"

# A key that certroll made: rotated by the real binary on the served emulator, then used by the official clients.
field() { "$venv/bin/python" -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())[sys.argv[2]])' "$state/ready" "$1"; }
export CERTROLL_EMULATOR CERTROLL_CA_FILE AZURE_CLIENT_ID AZURE_CLIENT_SECRET
CERTROLL_EMULATOR="$(field url)"
CERTROLL_CA_FILE="$state/ca.pem"
AZURE_CLIENT_ID="$(field client_id)"
AZURE_CLIENT_SECRET="$(field client_secret)"
"$CERTROLL" emulator seed --applications 1 --declare "$state/declared" >/dev/null
"$CERTROLL" apply -f "$state/declared" --emulator --auto-approve \
    --set sign_in_interval=1s --set read_interval=100ms
client_id="$(sed -n 's/.*app_id: \([0-9a-f-]*\).*/\1/p' "$state/declared/certificates-0001.yaml" | head -n 1)"
EMULATOR_READY="$(head -n 1 "$state/ready")" EMULATOR_CA="$state/ca.pem" PYTHONDONTWRITEBYTECODE=1 \
    "$venv/bin/python" "$here/with_key.py" "$client_id" "$state"/declared/secrets/*/current/*[0-9].pem
echo "1 passed, 0 failed: MSAL, azure-identity and the Graph SDK use a key that certroll made"
