package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"software.sslmate.com/src/go-pkcs12"
)

type certificate struct {
	versions []*held
	// The policy of the object, which the last import or create set.
	policy  *azcertificates.CertificatePolicy
	pending *operation
	deleted bool
}

// held is one version: certificate, key and secret of one id.
type held struct {
	id     string
	public *azcertificates.Certificate
	key    *rsa.PrivateKey
	// What the secret hands out; without a key where that does not leave.
	value string
}

type operation struct {
	key   *rsa.PrivateKey
	shown *azcertificates.CertificateOperation
}

// secrets is the other side of the object: what consumers read.
func (o *certificate) secrets() *secret {
	side := &secret{deleted: o.deleted}
	for _, one := range o.versions {
		of := one.public.Attributes
		attributes := &azsecrets.SecretAttributes{
			Enabled: of.Enabled, NotBefore: of.NotBefore, Expires: of.Expires, Created: of.Created, Updated: of.Updated,
		}
		side.versions = append(side.versions, &azsecrets.Secret{
			Attributes: attributes, ContentType: one.public.ContentType, ID: at(azsecrets.ID(*one.public.SID)),
			KID: at(azsecrets.ID(*one.public.KID)), Managed: at(true), Tags: one.public.Tags, Value: at(one.value),
		})
	}
	return side
}

func (o *certificate) at(version string) *held {
	if version == "" && len(o.versions) > 0 {
		return o.versions[len(o.versions)-1]
	}
	for _, one := range o.versions {
		if one.id == version {
			return one
		}
	}
	return nil
}

// existing is the object of that name, unless it was deleted or there is nothing.
func (v *vault) existing(c *call) *certificate {
	key, fits := c.key()
	if !fits {
		return nil
	}
	if found := v.certificates[key]; found != nil && !found.deleted {
		return found
	}
	c.missing("Certificate")
	return nil
}

// writable is the object of that name, a new one if need be, unless something is in the way.
func (v *vault) writable(c *call) *certificate {
	key, fits := c.key()
	if !fits {
		return nil
	}
	found := v.certificates[key]
	switch {
	case v.secrets[key] != nil:
		c.refuse(409, "Conflict", "", "a secret of this name is no certificate's")
		return nil
	case found == nil:
		found = &certificate{}
		v.certificates[key] = found
	case found.deleted:
		c.taken("Certificate")
		return nil
	case found.pending != nil && *found.pending.shown.Status == "inProgress":
		c.refuse(409, "Forbidden", "", "A new key vault certificate can not be created or imported while a pending key vault "+
			"certificate's status is inProgress.")
		return nil
	}
	return found
}

const (
	isPFX = "application/x-pkcs12"
	isPEM = "application/x-pem-file"
)

func (v *vault) importCertificate(c *call) {
	var sent azcertificates.ImportCertificateParameters
	if !c.read(&sent) || !c.tagged(sent.Tags) {
		return
	}
	object := v.writable(c)
	if object == nil {
		return
	}
	policy := sent.CertificatePolicy
	if policy == nil || policy.KeyProperties == nil || policy.SecretProperties == nil || sent.Base64EncodedCertificate == nil {
		c.refuse(400, "BadParameter", "", "this vault wants a value and the whole policy")
		return
	}
	contents, err := base64.StdEncoding.DecodeString(*sent.Base64EncodedCertificate)
	if err != nil {
		c.refuse(400, "BadParameter", "", "the value is no base64")
		return
	}
	var key *rsa.PrivateKey
	var chain []*x509.Certificate
	if *policy.SecretProperties.ContentType == isPEM {
		key, chain, err = fromPEM(contents)
	} else {
		password := ""
		if sent.Password != nil {
			password = *sent.Password
		}
		key, chain, err = fromPFX(contents, password)
	}
	if err == nil && int32(key.N.BitLen()) != *policy.KeyProperties.KeySize {
		err = errors.New("the key has not the size that the policy names")
	}
	if err == nil && !key.PublicKey.Equal(chain[0].PublicKey) {
		err = errors.New("the key is not the certificate's")
	}
	if err != nil {
		c.refuse(400, "BadParameter", "", "The specified content can not be imported: "+err.Error())
		return
	}
	v.append(c, object, policy, key, chain, sent.Tags, 200)
}

// fromPEM takes one certificate, one key in PKCS#8, and nothing else (Key Vault documentation: certificate scenarios).
func fromPEM(contents []byte) (*rsa.PrivateKey, []*x509.Certificate, error) {
	var key *rsa.PrivateKey
	var chain []*x509.Certificate
	for rest := contents; ; {
		if !bytes.HasPrefix(bytes.TrimSpace(rest), []byte("-----BEGIN")) && len(bytes.TrimSpace(rest)) > 0 {
			return nil, nil, errors.New("there is text beside the blocks")
		}
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			one, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			chain = append(chain, one)
		case "PRIVATE KEY":
			any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			key, _ = any.(*rsa.PrivateKey)
		default:
			return nil, nil, errors.New("a PEM holds CERTIFICATE and PRIVATE KEY")
		}
	}
	if key == nil || len(chain) != 1 {
		return nil, nil, errors.New("a PEM holds one certificate and its RSA key")
	}
	return key, chain, nil
}

func fromPFX(contents []byte, password string) (*rsa.PrivateKey, []*x509.Certificate, error) {
	any, leaf, above, err := pkcs12.DecodeChain(contents, password)
	if err != nil {
		return nil, nil, err
	}
	key, isRSA := any.(*rsa.PrivateKey)
	if !isRSA {
		return nil, nil, errors.New("the key is not RSA")
	}
	return key, append([]*x509.Certificate{leaf}, above...), nil
}

// append makes a version, the newest at once, and answers it.
func (v *vault) append(c *call, object *certificate, policy *azcertificates.CertificatePolicy, key *rsa.PrivateKey,
	chain []*x509.Certificate, tags map[string]*string, status int,
) {
	exportable := policy.KeyProperties.Exportable == nil || *policy.KeyProperties.Exportable
	value, err := handedOut(*policy.SecretProperties.ContentType, exportable, key, chain)
	if err != nil {
		c.refuse(500, "InternalServerError", "", err.Error())
		return
	}
	id, now, leaf := newID(), v.now(), chain[0]
	thumbprint := sha1.Sum(leaf.Raw)
	path := func(kind string) *azcertificates.ID {
		return at(azcertificates.ID(v.origin + "/" + kind + "/" + c.name() + "/" + id))
	}
	written := &azcertificates.Certificate{
		Attributes: &azcertificates.CertificateAttributes{
			Enabled: at(true), NotBefore: at(leaf.NotBefore), Expires: at(leaf.NotAfter), Created: at(now), Updated: at(now),
			RecoverableDays: at(int32(90)), RecoveryLevel: at("Recoverable+Purgeable"),
		},
		CER: leaf.Raw, ContentType: policy.SecretProperties.ContentType, Tags: tags, ID: path("certificates"),
		KID: path("keys"), SID: path("secrets"), Policy: policy, X509Thumbprint: thumbprint[:],
	}
	object.policy = policy
	object.versions = append(object.versions, &held{id: id, public: written, key: key, value: value})
	c.answer(status, written)
}

// handedOut is the value of the secret: a PFX with an empty password, or a PEM. Where the key stays, certificates alone.
func handedOut(contentType string, exportable bool, key *rsa.PrivateKey, chain []*x509.Certificate) (string, error) {
	var text strings.Builder
	if exportable && contentType == isPEM {
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return "", err
		}
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	} else if exportable {
		pfx, err := pkcs12.LegacyDES.Encode(key, chain[0], chain[1:], "")
		return base64.StdEncoding.EncodeToString(pfx), err
	}
	for _, one := range chain {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.Raw}))
	}
	return text.String(), nil
}

// createCertificate begins an operation: the key is made here, and somebody else signs.
func (v *vault) createCertificate(c *call) {
	var sent azcertificates.CreateCertificateParameters
	if !c.read(&sent) || !c.tagged(sent.Tags) {
		return
	}
	object := v.writable(c)
	if object == nil {
		return
	}
	policy := sent.CertificatePolicy
	if policy == nil || policy.KeyProperties == nil || policy.SecretProperties == nil || policy.X509CertificateProperties == nil ||
		policy.IssuerParameters == nil || *policy.IssuerParameters.Name != "Unknown" {
		c.refuse(400, "BadParameter", "", "this vault wants the whole policy, and knows no issuer but Unknown")
		return
	}
	wanted := policy.KeyProperties
	hsm := *wanted.KeyType == azcertificates.KeyTypeRSAHSM
	if !hsm && *wanted.KeyType != azcertificates.KeyTypeRSA || hsm && (wanted.Exportable == nil || *wanted.Exportable) {
		c.refuse(400, "BadParameter", "", "RSA, or RSA-HSM that is not exportable")
		return
	}
	subject, err := named(*policy.X509CertificateProperties.Subject)
	if err != nil {
		c.refuse(400, "BadParameter", "", err.Error())
		return
	}
	key, err := rsa.GenerateKey(rand.Reader, int(*wanted.KeySize))
	var csr []byte
	if err == nil {
		csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	}
	if err != nil {
		c.refuse(400, "BadParameter", "", err.Error())
		return
	}
	object.policy = policy
	object.pending = &operation{key: key, shown: &azcertificates.CertificateOperation{
		CSR: csr, CancellationRequested: at(false), IssuerParameters: policy.IssuerParameters, RequestID: at(newID()),
		Status: at("inProgress"), StatusDetails: at("Pending certificate created. Please Perform Merge to complete the request."),
		ID: at(azcertificates.ID(v.origin + "/certificates/" + c.name() + "/pending")),
	}}
	c.w.Header().Set("Location", string(*object.pending.shown.ID)+"?api-version=7.4&request_id="+*object.pending.shown.RequestID)
	c.answer(202, object.pending.shown)
}

// named reads a subject of simple parts.
func named(text string) (pkix.Name, error) {
	var name pkix.Name
	for _, part := range strings.Split(text, ",") {
		kind, value, found := strings.Cut(strings.TrimSpace(part), "=")
		into, known := map[string]*[]string{
			"O": &name.Organization, "OU": &name.OrganizationalUnit, "C": &name.Country, "L": &name.Locality,
		}[kind]
		switch {
		case found && kind == "CN":
			name.CommonName = value
		case found && known:
			*into = append(*into, value)
		default:
			return name, errors.New("the subject cannot be read: " + text)
		}
	}
	return name, nil
}

// waiting is the operation of the name, unless there is none or the request means another one.
func (v *vault) waiting(c *call) (*certificate, *operation) {
	key, fits := c.key()
	if !fits {
		return nil, nil
	}
	object := v.certificates[key]
	asked := c.r.URL.Query().Get("request_id")
	if object == nil || object.deleted || object.pending == nil || asked != "" && asked != *object.pending.shown.RequestID {
		c.refuse(404, "PendingCertificateNotFound", "", "The pending certificate was not found: "+c.name())
		return nil, nil
	}
	return object, object.pending
}

func (v *vault) getPending(c *call) {
	if _, found := v.waiting(c); found != nil {
		c.answer(200, found.shown)
	}
}

func (v *vault) deletePending(c *call) {
	if object, found := v.waiting(c); found != nil {
		object.pending = nil
		c.answer(200, found.shown)
	}
}

func (v *vault) merge(c *call) {
	var sent azcertificates.MergeCertificateParameters
	object, found := v.waiting(c)
	if found == nil || !c.read(&sent) || !c.tagged(sent.Tags) {
		return
	}
	if *found.shown.Status != "inProgress" || len(sent.X509Certificates) == 0 {
		c.refuse(400, "BadParameter", "", "there is nothing to merge, or nothing to merge it with")
		return
	}
	var chain []*x509.Certificate
	for _, der := range sent.X509Certificates {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			c.refuse(400, "BadParameter", "", "Invalid X.509: "+err.Error())
			return
		}
		chain = append(chain, one)
	}
	if !found.key.PublicKey.Equal(chain[0].PublicKey) {
		c.refuse(400, "BadParameter", "", "The public key of the end-entity certificate does not match the pending certificate's.")
		return
	}
	v.append(c, object, object.policy, found.key, chain, sent.Tags, 201)
	found.shown.Status = at("completed")
	found.shown.Target = at(v.origin + "/certificates/" + c.name())
}

func (v *vault) getCertificate(c *call) {
	if object := v.existing(c); object != nil {
		if found := object.at(c.version()); found != nil {
			c.answer(200, found.public)
			return
		}
		c.missing("Certificate")
	}
}

func (v *vault) getPolicy(c *call) {
	if object := v.existing(c); object != nil {
		c.answer(200, object.policy)
	}
}

func (v *vault) updateCertificate(c *call) {
	var change azcertificates.UpdateCertificateParameters
	object := v.existing(c)
	if object == nil || !c.read(&change) || !c.tagged(change.Tags) {
		return
	}
	found := object.at(c.version())
	if found == nil {
		c.missing("Certificate")
		return
	}
	if change.Tags != nil {
		found.public.Tags = change.Tags
	}
	if given := change.CertificateAttributes; given != nil && given.Enabled != nil {
		found.public.Attributes.Enabled = given.Enabled
	}
	found.public.Attributes.Updated = at(v.now())
	c.answer(200, found.public)
}

func (v *vault) certificateVersions(c *call) {
	object := v.existing(c)
	if object == nil {
		return
	}
	all := map[string]*azcertificates.CertificateProperties{}
	for _, one := range object.versions {
		all[one.id] = &azcertificates.CertificateProperties{
			Attributes: one.public.Attributes, ID: one.public.ID, Tags: one.public.Tags, X509Thumbprint: one.public.X509Thumbprint,
		}
	}
	page(v, c, all)
}

func (v *vault) deleteCertificate(c *call) {
	object := v.existing(c)
	if object == nil {
		return
	}
	object.deleted = true
	c.answer(200, &azcertificates.DeletedCertificate{
		RecoveryID: at(v.origin + "/deletedcertificates/" + c.name()), DeletedDate: at(v.now()),
		ScheduledPurgeDate: at(v.clock.AddDate(0, 0, 90)), Policy: object.policy,
	})
}

func (v *vault) deletedCertificates(c *call) {
	all := map[string]*azcertificates.DeletedCertificateProperties{}
	for name, object := range v.certificates {
		if object.deleted {
			all[name] = &azcertificates.DeletedCertificateProperties{
				ID: at(azcertificates.ID(v.origin + "/certificates/" + name)), RecoveryID: at(v.origin + "/deletedcertificates/" + name),
			}
		}
	}
	page(v, c, all)
}

func (v *vault) purgeCertificate(c *call) {
	key := strings.ToLower(c.name())
	if object := v.certificates[key]; object == nil || !object.deleted {
		c.missing("Certificate")
		return
	}
	delete(v.certificates, key)
	c.w.WriteHeader(204)
}

// sign signs a digest with the key of a version.
func (v *vault) sign(c *call) {
	var sent azkeys.SignParameters
	object := v.existing(c)
	if object == nil || !c.read(&sent) {
		return
	}
	found := object.at(c.version())
	if found == nil || sent.Algorithm == nil || len(sent.Value) != 32 {
		c.refuse(400, "BadParameter", "", "no such key, or no digest of 32 bytes")
		return
	}
	if !*found.public.Attributes.Enabled {
		c.refuse(403, "Forbidden", "KeyDisabled", "Operation sign is not allowed on a disabled key.")
		return
	}
	var signature []byte
	var err error
	switch *sent.Algorithm {
	case azkeys.SignatureAlgorithmPS256:
		signature, err = rsa.SignPSS(rand.Reader, found.key, crypto.SHA256, sent.Value, &rsa.PSSOptions{SaltLength: 32})
	case azkeys.SignatureAlgorithmRS256:
		signature, err = rsa.SignPKCS1v15(rand.Reader, found.key, crypto.SHA256, sent.Value)
	default:
		err = errors.New("PS256 or RS256")
	}
	if err != nil {
		c.refuse(400, "BadParameter", "", err.Error())
		return
	}
	c.answer(200, &azkeys.KeyOperationResult{KID: at(azkeys.ID(*found.public.KID)), Result: signature})
}
