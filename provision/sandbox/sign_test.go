package sandbox_test

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	"github.com/ucloud/ucloud-sdk-go/ucloud"
	"github.com/ucloud/ucloud-sdk-go/ucloud/request"

	"github.com/offbake/offbake/provision/sandbox"
)

// openWithKeys opens a sandbox that has a key pair already.
func openWithKeys(t *testing.T, public, private string) *sandbox.Sandbox {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "keys.json"), `{"public_key":"`+public+`","private_key":"`+private+`"}`)
	return open(t, &park{}, sandbox.Options{Dir: dir})
}

// TestSignatureVectors are the service's own documented one, and one that ufile-gosdk v1.0.7 made.
func TestSignatureVectors(t *testing.T) {
	s := openWithKeys(t, "ucloudsomeone@example.com1296235120854146120", "46f09bb9fab4f12dfc160dae12273d5332b5debe")
	form := "Action=DescribeUHostInstance&Limit=10&PublicKey=ucloudsomeone%40example.com1296235120854146120&Region=cn-bj2"
	for signature, want := range map[string]int{
		"cba5cf5ec4d4233d206b1b54951e3787350a642f": 0,
		"cba5cf5ec4d4233d206b1b54951e3787350a642e": 171,
		"CBA5CF5EC4D4233D206B1B54951E3787350A642F": 171,
		"": 170,
	} {
		r, err := send(http.Post(s.Ready().API, "application/x-www-form-urlencoded", strings.NewReader(form+"&Signature="+signature)))
		if err != nil || r.code() != want || r.text("Action") != "DescribeUHostInstanceResponse" {
			t.Errorf("signature %q: got %v, %v, want RetCode %d", signature, r, err, want)
		}
	}
	s = openWithKeys(t, "TOKEN_demo-public", "demo-private-key")
	r, err := send(http.Get(s.Ready().API + "?Action=DescribeBucket&BucketName=bkt&Limit=20&Offset=0&PublicKey=TOKEN_demo-public" +
		"&Signature=1ec4907949eee27ead6d19df44922c7679e42f59"))
	if err != nil || r.code() != 15010 {
		t.Errorf("GET: got %v, %v, want RetCode 15010 of a bucket that is not there", r, err)
	}
}

func TestGatewayCodes(t *testing.T) {
	s := openWithKeys(t, "pub", "priv")
	_, cred := config(s)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"no action":       {cred.BuildCredentialedQuery(map[string]string{"Region": region}), 160},
		"unknown action":  {cred.BuildCredentialedQuery(map[string]string{"Action": "RebuildTheWorld"}), 161},
		"no public key":   {"Action=GetRegion&Signature=00", 170},
		"unknown user":    {"Action=GetRegion&PublicKey=other&Signature=00", 172},
		"other signature": {"Action=GetRegion&PublicKey=pub&Signature=00", 171},
		"not a form":      {"Action=%zz", 230},
		"project":         {cred.BuildCredentialedQuery(map[string]string{"Action": "GetRegion", "ProjectId": "org-x"}), 292},
		"no region":       {cred.BuildCredentialedQuery(map[string]string{"Action": "DescribeImage"}), 230},
		"region":          {cred.BuildCredentialedQuery(map[string]string{"Action": "DescribeImage", "Region": "mars"}), 230},
		"zone": {cred.BuildCredentialedQuery(map[string]string{"Action": "DescribeImage", "Region": region,
			"Zone": "hk-02"}), 293},
		"all well": {cred.BuildCredentialedQuery(map[string]string{"Action": "GetRegion"}), 0},
	} {
		resp, err := http.Post(s.Ready().API+"any/path", "application/x-www-form-urlencoded", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		id := resp.Header.Get("X-UCLOUD-REQUEST-UUID")
		r, err := send(resp, nil)
		if err != nil || r.code() != c.want || (r.text("Message") == "") != (c.want == 0) {
			t.Errorf("%s: got %v, %v, want RetCode %d and a message for errors alone", name, r, err, c.want)
		}
		if !uuid.MatchString(id) {
			t.Errorf("%s: got request id %q, want a UUID", name, id)
		}
	}
}

// TestJSONRequests has the SDK send JSON, whose signature covers nested values.
func TestJSONRequests(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	conf, cred := config(s)
	c := uhost.NewClient(&conf, &cred)
	r := c.NewCreateUHostInstanceRequest()
	r.Zone, r.ImageId, r.LoginMode = ucloud.String(zone), ucloud.String(s.Ready().Images[0].ID), ucloud.String("Password")
	r.Password, r.CPU, r.Memory = ucloud.String("Y29ycmVjdC1ob3JzZS03"), ucloud.Int(1), ucloud.Int(1024)
	r.Disks = []uhost.UHostDisk{
		{IsBoot: ucloud.String("True"), Size: ucloud.Int(20), Type: ucloud.String("CLOUD_SSD")},
		{IsBoot: ucloud.String("False"), Size: ucloud.Int(30), Type: ucloud.String("CLOUD_SSD"), Encrypted: ucloud.Bool(false)}}
	r.SetEncoder(request.NewJSONEncoder(&conf, &cred))
	made, err := c.CreateUHostInstance(r)
	if err != nil {
		t.Fatal(err)
	}
	if h := sdkHost(t, c, made.UHostIds[0]); len(h.DiskSet) != 2 || h.TotalDiskSpace != 30 || h.CPU != 1 {
		t.Errorf("got host %+v, want the two disks", h)
	}
}
