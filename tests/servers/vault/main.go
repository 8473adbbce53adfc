// A Vault for certroll's tests: HashiCorp Vault's own core and HTTP handler over storage in memory, with only the engines the tests
// need. See README.md. It starts unsealed and empty but for a KV engine of version 2 at secret/, and forgets everything when it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/pki"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

var (
	secrets = map[string]logical.Factory{"kv": kv.Factory, "pki": pki.Factory}
	signIns = map[string]logical.Factory{
		"approle": approle.Factory, "jwt": jwt.Factory, "kubernetes": kubernetes.Factory,
	}
)

type settings struct {
	listen, token, audit string
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:28200", "loopback address and port")
	flag.StringVar(&s.token, "token-file", "", "where the root token is written once everything answers, mode 0600")
	flag.StringVar(&s.audit, "audit-file", "", "where the audit log is written")
	flag.Parse()
	if err := serve(s); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func serve(s settings) error {
	if s.token == "" || s.audit == "" {
		return errors.New("-token-file and -audit-file are needed")
	}
	listener, err := listen(s.listen)
	if err != nil {
		return err
	}
	core, root, err := unsealed()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core:           core,
			ListenerConfig: &configutil.Listener{Address: s.listen},
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := prepare(core, root, s.audit); err != nil {
		return err
	}
	if err := writeWhole(s.token, root); err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
		return errors.Join(server.Close(), core.Shutdown())
	}
}

// listen refuses any address that other machines could reach: whoever reads the token file owns this server.
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

// unsealed makes a new Vault and opens it; the string is its root token.
func unsealed() (*vault.Core, string, error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, "", err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		LogicalBackends:    secrets,
		CredentialBackends: signIns,
		AuditBackends:      map[string]audit.Factory{audit.TypeFile: audit.NewFileBackend},
		BuiltinRegistry:    registry{},
		DisableMlock:       true,
		Logger:             logger,
	})
	if err != nil {
		return nil, "", err
	}
	one := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(context.Background(), &vault.InitParams{BarrierConfig: one, RecoveryConfig: one})
	if err != nil {
		return nil, "", err
	}
	open, err := core.Unseal(made.SecretShares[0])
	if err == nil && !open {
		err = errors.New("one key did not open what one key closed")
	}
	return core, made.RootToken, err
}

// prepare turns the audit log on and mounts secret/, and waits until that takes values.
func prepare(core *vault.Core, root, auditFile string) error {
	ask := func(path string, data map[string]any) error {
		ctx := namespace.RootContext(context.Background())
		request := &logical.Request{Operation: logical.UpdateOperation, ClientToken: root, Path: path, Data: data}
		answer, err := core.HandleRequest(ctx, request)
		if err == nil && answer.IsError() {
			err = answer.Error()
		}
		return err
	}
	log := map[string]any{"type": "file", "options": map[string]any{"file_path": auditFile}}
	if err := ask("sys/audit/file", log); err != nil {
		return err
	}
	engine := map[string]any{"type": "kv", "options": map[string]any{"version": "2"}}
	if err := ask("sys/mounts/secret", engine); err != nil {
		return err
	}
	// A new engine of version 2 first upgrades its own storage, and refuses everything meanwhile.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ask("secret/config", map[string]any{"max_versions": 0})
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// writeWhole lets a reader find the whole text or no file.
func writeWhole(path, text string) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".token-") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// registry tells the core which plugins are compiled in; the maps above are all it is given.
type registry struct{}

func (registry) of(kind consts.PluginType) map[string]logical.Factory {
	switch kind {
	case consts.PluginTypeSecrets:
		return secrets
	case consts.PluginTypeCredential:
		return signIns
	default:
		return nil
	}
}

func (r registry) Contains(name string, kind consts.PluginType) bool {
	_, known := r.of(kind)[name]
	return known
}

func (r registry) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	factory, known := r.of(kind)[name]
	return func() (any, error) { return factory, nil }, known
}

func (r registry) Keys(kind consts.PluginType) []string {
	var names []string
	for name := range r.of(kind) {
		names = append(names, name)
	}
	return names
}

func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
