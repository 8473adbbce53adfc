# Stands for an appliance: a folder. Certificate and key come on standard input and never anywhere else.
set -eu
umask 077
mkdir -p appliance
cat > appliance/new.pem
mv appliance/new.pem appliance/current.pem
echo "$CERTROLL_THUMBPRINT" > appliance/thumbprint
