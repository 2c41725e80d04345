package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/ucloud"
)

// keyPair is the API's; both are empty where nobody gave them.
type keyPair struct{ public, private string }

// cloudKeys are those of the environment, or of a variable file where a manifest's variables are known.
func (a *app) cloudKeys(vars *manifest.Vars) keyPair {
	k := keyPair{a.getenv("UCLOUD_PUBKEY"), a.getenv("UCLOUD_SECRET")}
	if vars != nil {
		all := vars.For("")
		k = keyPair{all["ucloud_public_key"], all["ucloud_private_key"]}
	}
	return k
}

// apiBase is the address of the API; UCLOUD_API_BASE_URL wins, as in the vendor's own tools.
func (a *app) apiBase(target manifest.Cloud) string {
	return cmp.Or(a.getenv("UCLOUD_API_BASE_URL"), target.API, ucloud.DefaultBaseURL)
}

// located is the cloud with the address of the API that is spoken to. It goes into journals: a host must not be looked for
// in another cloud, found missing, and forgotten.
func (a *app) located(c manifest.Cloud) manifest.Cloud {
	c.API = a.apiBase(c)
	return c
}

// owner is the account of a key pair in a journal: enough to tell it from others, and nothing to guess the key from.
func (k keyPair) owner() provision.Owner {
	sum := sha256.Sum256([]byte("offbake journal " + k.public))
	return provision.Owner{Account: hex.EncodeToString(sum[:8])}
}

// ucloudAt is ucloud for what a journal names. Another account would find nothing, and that would be taken for gone.
func (a *app) ucloudAt(t provision.Target, k keyPair) (*ucloud.Cloud, error) {
	if k.public != "" && t.Account != "" && t.Account != k.owner().Account {
		return nil, usagef("hosts in %s of another key pair are left: give the one that made them", t.Region)
	}
	if t.API == "" {
		t.API = a.apiBase(manifest.Cloud{})
	}
	return a.ucloud(manifest.Cloud{API: t.API, Region: t.Region, Zone: t.Zone, Project: t.Project}, k, "")
}

// ucloud makes a builder that speaks to the API of a target that is located, and to hosts, which are addresses, and to
// nothing else.
func (a *app) ucloud(target manifest.Cloud, k keyPair, agent string) (*ucloud.Cloud, error) {
	if k.public == "" || k.private == "" {
		return nil, &usageError{errNoCloudKeys}
	}
	base := target.API
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("the API's address %q is no http(s) URL", transport.Redact(base))
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	client := transport.New(transport.Options{Allow: []string{net.JoinHostPort(u.Hostname(), port)}, Tries: 1,
		Trace: a.trace(), UserAgent: "offbake/" + buildVersion()})
	return ucloud.New(ucloud.Config{PublicKey: k.public, PrivateKey: k.private, BaseURL: base, Client: client, Dial: dialHost,
		Agent: agent, Progress: a.progress(), Verbose: a.verbose}, target)
}

var errNoCloudKeys = errors.New("reaching UCloud: no key pair is given")

// dialHost dials a host by the address that the API told; names are not resolved.
func dialHost(ctx context.Context, network, address string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dialling a host: got %q, want an address and a port", address)
	}
	d := net.Dialer{Timeout: 15 * time.Second}
	return d.DialContext(ctx, network, address)
}

// agentPath is the program that seals hosts: this one, unless another is named.
func agentPath(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the program of the host agent: %w", err)
	}
	return path, nil
}

// urlTTL is how long a host may take to begin with the last of its files.
const urlTTL = 12 * time.Hour

// storeURLs returns a function that makes the address of each file of a pushed bundle.
func storeURLs(s store.Store, x bundle.Index) func(ctx context.Context, path string) (string, error) {
	return func(ctx context.Context, path string) (string, error) {
		return s.URL(ctx, x.Name+"/"+x.Version+"/"+path, urlTTL)
	}
}
