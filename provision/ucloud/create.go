package ucloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"

	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
)

// host is a UHost that is reached over SSH.
type host struct {
	*remote.Host
	id     string
	at     place
	copies []place // where its image is to be copied to
}

// access is how a new host is entered. All of it is secret.
type access struct {
	password string
	identity *remote.Identity // nil where the base has no cloud-init
	userData string           // "" likewise
}

func (a access) secrets() []string { return []string{a.password, a.userData} }

// Create makes a host and waits until it runs, its boot disk is whole and a command runs on it.
//
// Where the base has cloud-init, the host is given a key of ours and takes a user key of ours, so that it is recognised;
// otherwise the first key it shows is taken, with a warning. The password is the var file's, or a random one that nobody
// learns.
func (c *Cloud) Create(ctx context.Context, name string, base provision.Base,
	img manifest.Image) (provision.Host, error) {
	p, err := c.planOf(ctx, base, img)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.places[name] = p.at
	c.mu.Unlock()
	c.setSure(name, false)
	h, err := c.create(ctx, name, p)
	if err == nil {
		c.setSure(name, true)
		return h, nil
	}
	err = fmt.Errorf("making host %q: %w", name, err)
	made := &madeError{}
	until := time.Time{}
	if errors.As(err, &made) || isLost(err) {
		until = time.Now().Add(c.patience.Seen)
	}
	return nil, errors.Join(err, c.afterwards(ctx, func(ctx context.Context) error {
		_, err := c.endCalled(ctx, p.at, name, until)
		c.setSure(name, err == nil)
		return err
	}))
}

// planOf returns what Base found out, or finds it out.
func (c *Cloud) planOf(ctx context.Context, base provision.Base, img manifest.Image) (*plan, error) {
	c.mu.Lock()
	p := c.plans[img.Name]
	c.mu.Unlock()
	if p == nil || p.base.ImageId != base.ID {
		img.Base = manifest.Base{ID: base.ID}
		return c.prepare(ctx, img)
	}
	return p, nil
}

// madeError is a host that is there, and a failure that came later.
type madeError struct{ err error }

func (e *madeError) Error() string { return e.err.Error() }
func (e *madeError) Unwrap() error { return e.err }

// afterwards runs what takes back a failed work, whose own context may be over.
func (c *Cloud) afterwards(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.patience.Stop+c.patience.Gone)
	defer cancel()
	return do(stubborn(ctx))
}

func (c *Cloud) create(ctx context.Context, name string, p *plan) (*host, error) {
	way, err := newAccess(p)
	if err != nil {
		return nil, err
	}
	ask := on(p.at, "CreateUHostInstance", func(a api) (string, error) {
		client := a.uhost()
		resp, err := client.CreateUHostInstance(hostRequest(client, name, p, way))
		if err != nil {
			return "", err
		}
		if len(resp.UHostIds) != 1 {
			return "", errAnswer
		}
		return resp.UHostIds[0], nil
	})
	ask.secrets = way.secrets()
	id, err := create(ctx, c, creation[string]{request: ask, find: func(ctx context.Context) (string, bool, error) {
		list, err := c.hostsCalled(ctx, p.at, name)
		if err != nil || len(list) == 0 {
			return "", false, err
		}
		return list[0].UHostId, true, nil
	}})
	if err != nil {
		return nil, err
	}
	h, err := c.enter(ctx, name, id, p, way)
	if err != nil {
		return nil, &madeError{err}
	}
	return h, nil
}

// enter waits for a host that was made and logs in.
func (c *Cloud) enter(ctx context.Context, name, id string, p *plan, way access) (*host, error) {
	c.say("host %s: %s in %s", name, id, p.at.zone)
	set, err := c.waitRunning(ctx, name, id, p)
	if err != nil {
		return nil, err
	}
	ip := address(set, p.cloud.SSH.PrivateIP)
	conf := remote.Config{Name: name, Address: net.JoinHostPort(ip, strconv.Itoa(p.cloud.SSH.Port)),
		User: p.cloud.SSH.User, Password: way.password, Agent: c.config.Agent, Dial: c.config.Dial,
		Stall: c.patience.Stall, Handshake: c.patience.Login}
	if c.config.Verbose {
		conf.Log = func(line string) { c.say("%s", line) }
	}
	if way.identity != nil {
		conf.Key, conf.HostKey = way.identity.User.Signer(), way.identity.Host.PublicKey()
	} else {
		c.say("warning: host %s: base image %q has no cloud-init: the first key that is seen is taken for the host's",
			name, p.base.ImageName)
	}
	r, err := c.connect(ctx, conf)
	if err != nil {
		return nil, err
	}
	return &host{Host: r, id: id, at: p.at, copies: p.copies}, nil
}

// connect logs in. A host that must have our key may show another one until cloud-init has come to it: nothing is sent
// to such a host, and it is asked again for a while.
func (c *Cloud) connect(ctx context.Context, conf remote.Config) (*remote.Host, error) {
	const most = time.Minute
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, c.patience.SSH, fmt.Errorf("it did not let us in for %v", c.patience.SSH))
	defer cancel()
	for try := 1; ; try++ {
		h, err := remote.Connect(ctx, conf)
		var other *remote.HostKeyError
		if !errors.As(err, &other) || time.Since(start) > most {
			return h, err
		}
		if transport.Sleep(ctx, transport.Delay(c.patience.Retry, try)) != nil {
			return nil, err
		}
	}
}

// newAccess makes the secrets of one host.
func newAccess(p *plan) (access, error) {
	way := access{password: p.cloud.SSH.Password}
	if way.password == "" {
		way.password = newPassword()
	}
	if !hasFeature(p.base, cloudInit) {
		return way, nil
	}
	var err error
	if way.identity, err = remote.NewIdentity(); err != nil {
		return access{}, err
	}
	way.userData, err = userData(way.identity)
	return way, err
}

// userData is cloud-init's configuration, as JSON, which is YAML: host and user key, and root may log in.
func userData(id *remote.Identity) (string, error) {
	const most = 16 << 10 // of CreateUHostInstance, before base64
	keys := map[string]string{"ecdsa_private": id.Host.PrivateKey(), "ecdsa_public": id.Host.AuthorizedKey()}
	data, err := json.Marshal(map[string]any{"disable_root": false, "ssh_deletekeys": true, "ssh_keys": keys,
		"ssh_authorized_keys": []string{id.User.AuthorizedKey()}})
	if err == nil && len(data) > most {
		err = fmt.Errorf("got %d bytes of user data, want at most %d", len(data), most)
	}
	return "#cloud-config\n" + string(data) + "\n", err
}

// hostRequest is what makes a host.
func hostRequest(client *uhost.UHostClient, name string, p *plan, way access) *uhost.CreateUHostInstanceRequest {
	req := client.NewCreateUHostInstanceRequest()
	req.Zone, req.Name, req.Tag = sdk.String(p.at.zone), sdk.String(name), sdk.String(tag)
	req.ImageId, req.LoginMode, req.Password = sdk.String(p.base.ImageId), sdk.String("Password"), sdk.String(way.password)
	if way.userData != "" {
		req.UserData = sdk.String(base64.StdEncoding.EncodeToString([]byte(way.userData)))
	}
	req.CPU, req.Memory, req.MachineType = sdk.Int(p.machine.cpu), sdk.Int(p.machine.memory), sdk.String(p.machine.family)
	req.MinimalCpuPlatform = sdk.String("Intel/Auto")
	req.Disks = bootDisks(p)
	req.ChargeType = sdk.String(p.cloud.ChargeType)
	if p.cloud.ChargeType != "Dynamic" {
		req.Quantity = sdk.Int(1) // 0 would be to the end of the month, none a month and a renewal
	}
	req.SecurityGroupId, req.VPCId, req.SubnetId = sdk.String(p.firewall), optional(p.cloud.VPC), optional(p.cloud.Subnet)
	if !p.cloud.SSH.PrivateIP {
		eip := &uhost.CreateUHostInstanceParamNetworkInterfaceEIP{Bandwidth: sdk.Int(p.cloud.EIP.Bandwidth),
			PayMode: sdk.String("Traffic"), OperatorName: sdk.String(operator(p.at.region))}
		req.NetworkInterface = []uhost.CreateUHostInstanceParamNetworkInterface{{EIP: eip}}
	}
	return req
}

func bootDisks(p *plan) []uhost.UHostDisk {
	return []uhost.UHostDisk{{IsBoot: sdk.String("True"), Size: sdk.Int(p.disk.size), Type: sdk.String(p.disk.kind)}}
}

// operator is the line of public addresses of a region.
func operator(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "Bgp"
	}
	return "International"
}

// waitRunning waits until a host runs with a boot disk that is whole and has the address that we need. A listing may not
// have it yet.
func (c *Cloud) waitRunning(ctx context.Context, name, id string, p *plan) (hostSet, error) {
	var last hostSet
	what := fmt.Sprintf("host %q", name)
	start := time.Now()
	running := func(want string, until func(hostSet) bool) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			set, ok, err := c.host(ctx, p.at, id)
			if err != nil {
				return false, err
			}
			last = set
			switch {
			case !ok && time.Since(start) > c.patience.Seen:
				return false, &StateError{What: what, Want: want, After: c.patience.Seen}
			case set.State == "Install Fail" || set.State == "ResizeFail":
				return false, &StateError{What: what, State: set.State, Want: want}
			}
			return ok && until(set), nil
		}
	}
	err := c.poll(ctx, c.patience.Boot, running(hostRunning, func(s hostSet) bool {
		return s.State == hostRunning && address(s, p.cloud.SSH.PrivateIP) != ""
	}))
	if errors.Is(err, errTooLong) {
		return last, &StateError{What: what, State: last.State, Want: hostRunning + " with an address", After: c.patience.Boot}
	}
	if err != nil {
		return last, err
	}
	err = c.poll(ctx, c.patience.Disk, running("its boot disk "+diskNormal, func(s hostSet) bool {
		return s.BootDiskState == diskNormal
	}))
	if errors.Is(err, errTooLong) {
		what = "the boot disk of " + what
		return last, &StateError{What: what, State: last.BootDiskState, Want: diskNormal, After: c.patience.Disk}
	}
	return last, err
}

// address returns the host's private address, or its public one, "" while it has none.
func address(s hostSet, private bool) string {
	found := ""
	for _, ip := range s.IPSet {
		if (ip.Type == "Private") == private && ip.IPMode != "IPv6" && net.ParseIP(ip.IP) != nil {
			found = ip.IP
			if private {
				break // the first is the host's own; further ones are of other interfaces
			}
		}
	}
	return found
}
