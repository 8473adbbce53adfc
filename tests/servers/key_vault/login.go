package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"
)

const (
	tenant   = "8f5e2c0a-1b9d-4f27-9a6e-3c7d5b8e4f10"
	client   = "5c1d8e3a-7f10-4a2b-8c3d-9e4f5a6b7c8d"
	audience = "https://vault.azure.net"
)

// login gives tokens to one client, for Key Vault alone, and knows them again by their signature.
type login struct {
	origin, secret string
	key            *rsa.PrivateKey
	// The client's registered certificate.
	registered *x509.Certificate
}

var b64 = base64.RawURLEncoding

// newLogin also returns the client's certificate and key as PEM.
func newLogin(origin string) (*login, []byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "certroll of the tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &own.PublicKey, own)
	if err != nil {
		return nil, nil, err
	}
	registered, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, err
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	return &login{origin: origin, secret: newID(), key: key, registered: registered}, both, nil
}

// token is the login service's: client credentials with a secret or a signed assertion.
func (l *login) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-ms-request-id", newID())
	c := &call{w: w, r: r}
	refuse := func(code, what string) {
		c.answer(401, map[string]any{"error": code, "error_description": what, "correlation_id": newID()})
	}
	form := func(name string) string { return r.PostFormValue(name) }
	switch {
	case r.PathValue("tenant") != tenant:
		refuse("invalid_request", "AADSTS90002: Tenant not found.")
	case form("grant_type") != "client_credentials":
		refuse("unsupported_grant_type", "AADSTS70003: only client credentials")
	case form("client_id") != client:
		refuse("unauthorized_client", "AADSTS700016: Application was not found in the directory.")
	case form("scope") != audience+"/.default":
		refuse("invalid_resource", "AADSTS500011: The resource principal was not found in the tenant.")
	default:
		if problem := l.known(r); problem != "" {
			refuse("invalid_client", problem)
			return
		}
		c.answer(200, map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": l.sign()})
	}
}

func (l *login) known(r *http.Request) string {
	if given := r.PostFormValue("client_secret"); given != "" {
		if subtle.ConstantTimeCompare([]byte(given), []byte(l.secret)) == 1 {
			return ""
		}
		return "AADSTS7000215: Invalid client secret provided."
	}
	if r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return "AADSTS7000218: neither client_secret nor client_assertion"
	}
	return l.assertion(r.PostFormValue("client_assertion"), l.origin+r.URL.Path)
}

// assertion says what is wrong with one that the client signed with its certificate, PS256 and x5t#S256.
func (l *login) assertion(text, url string) string {
	var head struct {
		Alg  string `json:"alg"`
		X5t  string `json:"x5t#S256"`
		Type string `json:"typ"`
	}
	var claims struct {
		Aud, Iss, Sub, Jti string
		Exp, Nbf           int64
	}
	parts, problem := parse(text, &head, &claims)
	if problem != "" {
		return "AADSTS50027: " + problem
	}
	thumbprint := sha256.Sum256(l.registered.Raw)
	if head.Alg != "PS256" || head.Type != "JWT" || head.X5t != b64.EncodeToString(thumbprint[:]) {
		return "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered."
	}
	public, _ := l.registered.PublicKey.(*rsa.PublicKey)
	digest := sha256.Sum256([]byte(parts.signed))
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	if rsa.VerifyPSS(public, crypto.SHA256, digest[:], parts.signature, options) != nil {
		return "AADSTS700027: Client assertion failed signature validation."
	}
	now := time.Now().Unix()
	if claims.Aud != url || claims.Iss != client || claims.Sub != client || claims.Jti == "" ||
		claims.Nbf > now || claims.Exp <= now {
		return fmt.Sprintf("AADSTS700023: Client assertion audience claim or dates do not match: %+v", claims)
	}
	return ""
}

func (l *login) sign() string {
	now := time.Now().Unix()
	part := func(value any) string {
		text, _ := json.Marshal(value) // maps of strings and numbers
		return b64.EncodeToString(text)
	}
	signed := part(map[string]any{"alg": "RS256", "typ": "JWT"}) + "." +
		part(map[string]any{"iss": l.origin + "/" + tenant + "/v2.0", "aud": audience, "exp": now + 3599, "jti": newID()})
	digest := sha256.Sum256([]byte(signed))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, l.key, crypto.SHA256, digest[:]) // fails for too small a key only
	return signed + "." + b64.EncodeToString(signature)
}

// check says what is wrong with a token that a request brings.
func (l *login) check(header string) string {
	token, bearer := strings.CutPrefix(header, "Bearer ")
	if !bearer {
		return "Request is missing a Bearer or PoP token."
	}
	var head struct{ Alg string }
	var claims struct {
		Iss, Aud string
		Exp      int64
	}
	parts, problem := parse(token, &head, &claims)
	if problem != "" {
		return problem
	}
	digest := sha256.Sum256([]byte(parts.signed))
	switch {
	case head.Alg != "RS256" || rsa.VerifyPKCS1v15(&l.key.PublicKey, crypto.SHA256, digest[:], parts.signature) != nil:
		return "Error validating token: the signature is not the issuer's"
	case claims.Iss != l.origin+"/"+tenant+"/v2.0" || claims.Aud != audience:
		return "Error validating token: issuer or audience"
	case claims.Exp <= time.Now().Unix():
		return "Error validating token: it has expired"
	}
	return ""
}

type signedText struct {
	signed    string
	signature []byte
}

// parse takes a JWT apart, without looking at its signature.
func parse(text string, head, claims any) (signedText, string) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return signedText{}, "it is no JWT"
	}
	signature, err := b64.DecodeString(parts[2])
	for i, into := range []any{head, claims} {
		bytes, failed := b64.DecodeString(parts[i])
		if failed == nil {
			failed = json.Unmarshal(bytes, into)
		}
		if failed != nil {
			err = failed
		}
	}
	if err != nil {
		return signedText{}, "it is no JWT: " + err.Error()
	}
	return signedText{parts[0] + "." + parts[1], signature}, ""
}
