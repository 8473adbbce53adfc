package main

import (
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

type secret struct {
	versions []*azsecrets.Secret
	deleted  bool
}

func (v *vault) secretID(name, version string) *azsecrets.ID {
	return at(azsecrets.ID(v.origin + "/secrets/" + name + "/" + version))
}

func properties(s *azsecrets.Secret) *azsecrets.SecretProperties {
	return &azsecrets.SecretProperties{
		Attributes: s.Attributes, ContentType: s.ContentType, ID: s.ID, Managed: s.Managed, Tags: s.Tags,
	}
}

// secret is what stands under that name; of a certificate object, the secret that belongs to it.
func (v *vault) secret(c *call) *secret {
	key, fits := c.key()
	if !fits {
		return nil
	}
	found := v.secrets[key]
	if object := v.certificates[key]; object != nil {
		found = object.secrets()
	}
	if found == nil || found.deleted || len(found.versions) == 0 {
		c.missing("Secret")
		return nil
	}
	return found
}

func (s *secret) at(version string) *azsecrets.Secret {
	if version == "" {
		return s.versions[len(s.versions)-1]
	}
	for _, one := range s.versions {
		if one.ID.Version() == version {
			return one
		}
	}
	return nil
}

func (v *vault) setSecret(c *call) {
	key, fits := c.key()
	var new azsecrets.SetSecretParameters
	if !fits || !c.read(&new) || !c.tagged(new.Tags) {
		return
	}
	if v.certificates[key] != nil {
		c.refuse(403, "Forbidden", "", "the secret belongs to a certificate")
		return
	}
	if new.Value == nil || len(*new.Value) > 25*1024 {
		c.refuse(400, "BadParameter", "", "a value of at most 25 KB is needed")
		return
	}
	kept := v.secrets[key]
	if kept != nil && kept.deleted {
		c.taken("Secret")
		return
	}
	if kept == nil {
		kept = &secret{}
		v.secrets[key] = kept
	}
	attributes := new.SecretAttributes
	if attributes == nil {
		attributes = &azsecrets.SecretAttributes{}
	}
	if attributes.Enabled == nil {
		attributes.Enabled = at(true)
	}
	stamp(attributes, v.now())
	written := &azsecrets.Secret{
		Attributes: attributes, ContentType: new.ContentType, ID: v.secretID(c.name(), newID()), Tags: new.Tags, Value: new.Value,
	}
	kept.versions = append(kept.versions, written)
	c.answer(200, written)
}

func stamp(attributes *azsecrets.SecretAttributes, now time.Time) {
	attributes.Created, attributes.Updated = at(now), at(now)
	attributes.RecoverableDays, attributes.RecoveryLevel = at(int32(90)), at("Recoverable+Purgeable")
}

// getSecret hands out a value, outside its dates, too, as Key Vault does; of a disabled version nothing.
func (v *vault) getSecret(c *call) {
	kept := v.secret(c)
	if kept == nil {
		return
	}
	found := kept.at(c.version())
	switch {
	case found == nil:
		c.missing("Secret")
	case !*found.Attributes.Enabled:
		c.refuse(403, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
	default:
		c.answer(200, found)
	}
}

func (v *vault) updateSecret(c *call) {
	var change azsecrets.UpdateSecretPropertiesParameters
	kept := v.secret(c)
	if kept == nil || !c.read(&change) || !c.tagged(change.Tags) {
		return
	}
	found := kept.at(c.version())
	if found == nil {
		c.missing("Secret")
		return
	}
	if change.Tags != nil {
		found.Tags = change.Tags
	}
	if change.ContentType != nil {
		found.ContentType = change.ContentType
	}
	if given := change.SecretAttributes; given != nil {
		if given.Enabled != nil {
			found.Attributes.Enabled = given.Enabled
		}
		if given.Expires != nil {
			found.Attributes.Expires = given.Expires
		}
		if given.NotBefore != nil {
			found.Attributes.NotBefore = given.NotBefore
		}
	}
	found.Attributes.Updated = at(v.now())
	// The answer has no value.
	shown := *found
	shown.Value = nil
	c.answer(200, &shown)
}

func (v *vault) secretVersions(c *call) {
	kept := v.secret(c)
	if kept == nil {
		return
	}
	all := map[string]*azsecrets.SecretProperties{}
	for _, one := range kept.versions {
		all[one.ID.Version()] = properties(one)
	}
	page(v, c, all)
}

func (v *vault) listSecrets(c *call) {
	all := map[string]*azsecrets.SecretProperties{}
	for name, kept := range v.secrets {
		if !kept.deleted {
			all[name] = withoutVersion(properties(kept.at("")))
		}
	}
	page(v, c, all)
}

func withoutVersion(one *azsecrets.SecretProperties) *azsecrets.SecretProperties {
	id := string(*one.ID)
	one.ID = at(azsecrets.ID(id[:strings.LastIndex(id, "/")]))
	return one
}

func (v *vault) deleteSecret(c *call) {
	kept := v.secret(c)
	if kept == nil {
		return
	}
	newest := kept.at("")
	if newest.Managed != nil {
		c.refuse(403, "Forbidden", "", "the secret belongs to a certificate")
		return
	}
	kept.deleted = true
	c.answer(200, &azsecrets.DeletedSecret{
		Attributes: newest.Attributes, ID: newest.ID, Tags: newest.Tags, DeletedDate: at(v.now()),
		RecoveryID: at(v.origin + "/deletedsecrets/" + c.name()), ScheduledPurgeDate: at(v.clock.AddDate(0, 0, 90)),
	})
}

func (v *vault) deletedSecrets(c *call) {
	all := map[string]*azsecrets.DeletedSecretProperties{}
	for name, kept := range v.secrets {
		if kept.deleted {
			shown := withoutVersion(properties(kept.at("")))
			all[name] = &azsecrets.DeletedSecretProperties{
				Attributes: shown.Attributes, ID: shown.ID, Tags: shown.Tags, RecoveryID: at(v.origin + "/deletedsecrets/" + name),
			}
		}
	}
	page(v, c, all)
}

func (v *vault) purgeSecret(c *call) {
	key := strings.ToLower(c.name())
	if kept := v.secrets[key]; kept == nil || !kept.deleted {
		c.missing("Secret")
		return
	}
	delete(v.secrets, key)
	c.w.WriteHeader(204)
}
