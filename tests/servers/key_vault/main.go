// A Key Vault for certroll's tests, with the login service before it. See README.md. What goes over the wire is read and written by
// Microsoft's own models; what the vault does with it follows Microsoft's documentation. It forgets everything when it ends.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

type vault struct {
	mu sync.Mutex
	// By name in lower case, since names do not tell case apart.
	secrets      map[string]*secret
	certificates map[string]*certificate
	// What the next version is created at, so that each write is of a second of its own and no test waits for one.
	clock time.Time
	login *login
	// One line for each request that was let in: method and path.
	journal *os.File
	origin  string
}

func main() {
	listen := flag.String("listen", "127.0.0.1:28300", "loopback address and port")
	folder := flag.String("folder", "", "where journal, ca.pem, client.pem, client-secret and, last, ready are written, mode 0600")
	flag.Parse()
	if err := serve(*listen, *folder); err != nil {
		fmt.Fprintln(os.Stderr, "key_vault:", err)
		os.Exit(1)
	}
}

func serve(address, folder string) error {
	if folder == "" {
		return errors.New("-folder is needed")
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	listener, err := listen(address)
	if err != nil {
		return err
	}
	authority, identity, err := identities()
	if err != nil {
		return err
	}
	origin := "https://localhost:" + port
	login, client, err := newLogin(origin)
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(filepath.Join(folder, "journal"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	v := &vault{
		secrets: map[string]*secret{}, certificates: map[string]*certificate{}, clock: time.Now(), login: login,
		journal: journal, origin: origin,
	}
	server := &http.Server{
		Handler: v.routes(), TLSConfig: &tls.Config{Certificates: []tls.Certificate{identity}},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(os.Stderr, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	// The last one says that all are there.
	for _, file := range []struct {
		name     string
		contents []byte
	}{{"ca.pem", authority}, {"client.pem", client}, {"client-secret", []byte(login.secret)}, {"ready", []byte("ready\n")}} {
		if err := os.WriteFile(filepath.Join(folder, file.name), file.contents, 0o600); err != nil {
			return err
		}
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
		return errors.Join(server.Close(), journal.Close())
	}
}

// listen refuses any address that other machines could reach.
func listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address", host)
	}
	return net.Listen("tcp", address)
}

// identities makes a CA, as PEM, and the server's certificate below it.
func identities() ([]byte, tls.Certificate, error) {
	var none tls.Certificate
	caKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, none, err
	}
	from, to := time.Now().Add(-time.Hour), time.Now().AddDate(0, 1, 0)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Key Vault of the tests"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, none, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, none, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: from, NotAfter: to,
		DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, none, err
	}
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return encoded, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// routes knows the paths of Key Vault's REST description that are served; every other one is 404.
func (v *vault) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", v.login.token)
	for pattern, handler := range map[string]func(*call){
		"GET /secrets":                            v.listSecrets,
		"PUT /secrets/{name}":                     v.setSecret,
		"DELETE /secrets/{name}":                  v.deleteSecret,
		"GET /secrets/{name}/versions":            v.secretVersions,
		"GET /secrets/{name}/{version}":           v.getSecret,
		"PATCH /secrets/{name}/{version}":         v.updateSecret,
		"DELETE /deletedsecrets/{name}":           v.purgeSecret,
		"DELETE /deletedcertificates/{name}":      v.purgeCertificate,
		"GET /deletedsecrets":                     v.deletedSecrets,
		"POST /certificates/{name}/import":        v.importCertificate,
		"POST /certificates/{name}/create":        v.createCertificate,
		"GET /certificates/{name}/pending":        v.getPending,
		"DELETE /certificates/{name}/pending":     v.deletePending,
		"POST /certificates/{name}/pending/merge": v.merge,
		"GET /certificates/{name}/policy":         v.getPolicy,
		"GET /certificates/{name}/versions":       v.certificateVersions,
		"GET /certificates/{name}/{version}":      v.getCertificate,
		"PATCH /certificates/{name}/{version}":    v.updateCertificate,
		"DELETE /certificates/{name}":             v.deleteCertificate,
		"GET /deletedcertificates":                v.deletedCertificates,
		"POST /keys/{name}/{version}/sign":        v.sign,
	} {
		mux.HandleFunc(pattern, v.guarded(handler))
	}
	// The newest version is asked for with an empty one, with the slash or without.
	for path, handler := range map[string]func(*call){"secrets": v.getSecret, "certificates": v.getCertificate} {
		mux.HandleFunc("GET /"+path+"/{name}", v.guarded(handler))
		mux.HandleFunc("GET /"+path+"/{name}/{$}", v.guarded(handler))
	}
	return mux
}

// guarded lets in who has a token for Key Vault and names an API version, one after the other.
func (v *vault) guarded(handle func(*call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-ms-request-id", newID())
		c := &call{w: w, r: r}
		if problem := v.login.check(r.Header.Get("Authorization")); problem != "" {
			challenge := fmt.Sprintf(`Bearer authorization="%s/%s", resource="%s"`, v.origin, tenant, audience)
			w.Header().Set("WWW-Authenticate", challenge)
			c.refuse(401, "Unauthorized", "", "AKV10000: "+problem)
			return
		}
		if version := r.URL.Query().Get("api-version"); !apiVersions[version] {
			c.refuse(400, "BadParameter", "", "The specified version ("+version+") is not recognized.")
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		fmt.Fprintln(v.journal, r.Method, r.URL.Path)
		handle(c)
	}
}

// now is the moment of a write: a second that no write before it had.
func (v *vault) now() time.Time {
	v.clock = v.clock.Add(time.Second)
	return v.clock
}

func newID() string {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes) // never fails (crypto/rand)
	return hex.EncodeToString(bytes)
}
