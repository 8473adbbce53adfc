# With openssl: openssl x509 -noout -fingerprint -in appliance/current.pem
cat appliance/thumbprint
