package sandbox_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/provision/sandbox"
)

// put stores an object in the sandbox's bucket and returns a URL that is signed for an hour.
func put(t *testing.T, s *sandbox.Sandbox, key string, content []byte) string {
	t.Helper()
	r := s.Ready()
	pair := ufile.KeyPair{Public: r.PublicKey, Private: r.PrivateKey}
	req, err := http.NewRequest(http.MethodPut, r.Endpoint+"/"+key, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Authorization", pair.Authorization(ufile.Request{Method: "PUT", Bucket: r.Bucket, Key: key, Header: req.Header}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("putting %s: got status %s", key, resp.Status)
	}
	expires := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	q := url.Values{"Expires": {expires}, "UCloudPublicKey": {r.PublicKey},
		"Signature": {pair.Sign(ufile.Request{Method: "GET", Bucket: r.Bucket, Key: key, Expires: expires})}}
	return r.Endpoint + "/" + key + "?" + q.Encode()
}

// disk is the beginning of a disk image, with end at its end.
func disk(start, end string) []byte {
	b := make([]byte, 4096)
	copy(b, start)
	copy(b[len(b)-512:], end)
	return b
}

func raw(partition byte) []byte {
	b := disk("", "")
	b[450], b[510], b[511] = partition, 0x55, 0xaa
	return b
}

func TestImport(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	v := values{"ImageName": "disk", "OsType": "CentOS", "OsName": "CentOS 7.9 64位", "Auth": "true", "ImageDescription": "d"}
	for name, c := range map[string]struct {
		link, format, want string
	}{
		"qcow2":      {put(t, s, "a.qcow2", disk("QFI\xfb", "")), "qcow2", "Available"},
		"vmdk":       {put(t, s, "a.vmdk", disk("KDMV", "")), "VMDK", "Available"},
		"vhd":        {put(t, s, "a.vhd", disk("", "conectix")), "VHD", "Available"},
		"raw":        {put(t, s, "a.raw", raw(0x83)), "RAW", "Available"},
		"gpt":        {put(t, s, "g.raw", raw(0xee)), "RAW", "Unavailable"},
		"other":      {put(t, s, "b.qcow2", disk("KDMV", "")), "qcow2", "Unavailable"},
		"short":      {put(t, s, "c.qcow2", []byte("QFI\xfb")), "qcow2", "Unavailable"},
		"not there":  {s.Ready().Endpoint + "/none", "RAW", "Unavailable"},
		"not signed": {s.Ready().Endpoint + "/a.qcow2", "qcow2", "Unavailable"},
	} {
		id := ok(t, s, "ImportCustomImage", v.with("UFileUrl="+c.link, "Format="+c.format)).text("ImageId")
		r := await(t, s, "DescribeImage", values{"ImageId": id}, "ImageSet.0.State", c.want)
		if r.text("ImageSet.0.ImageName") != "disk" || r.text("ImageSet.0.ImageDescription") != "d" {
			t.Errorf("%s: got %v", name, r)
		}
	}
	good := v.with("Format=RAW", "UFileUrl="+put(t, s, "a.raw", raw(0x83)))
	for _, wrong := range []string{"Format=QCOW2", "Format=", "Auth=false", "Auth=", "OsType=Plan9", "OsName=", "ImageName=",
		"UFileUrl=http://127.0.0.1:1/a.raw", "UFileUrl=file:///etc/passwd", "UFileUrl=" + strings.Replace(good["UFileUrl"], "http:", "https:", 1)} {
		if r := call(t, s, "ImportCustomImage", good.with(wrong)); r.code() != 230 {
			t.Errorf("%.30s: got RetCode %d, want 230", wrong, r.code())
		}
	}
	if n := len(s.Images()); n != 9 {
		t.Errorf("got %d images, want 9", n)
	}
}

// TestImportedDoesNotBoot: the sandbox keeps nothing that could.
func TestImportedDoesNotBoot(t *testing.T) {
	p := &park{}
	s := open(t, p, sandbox.Options{})
	id := ok(t, s, "ImportCustomImage", values{"ImageName": "disk", "OsType": "Other", "OsName": "Other", "Auth": "true",
		"Format": "RAW", "UFileUrl": put(t, s, "a.raw", raw(0x83))}).text("ImageId")
	await(t, s, "DescribeImage", values{"ImageId": id}, "ImageSet.0.State", "Available")
	host := ok(t, s, "CreateUHostInstance", create(s).with("ImageId="+id)).text("UHostIds.0")
	hostIs(t, s, host, "Install Fail")
	if len(p.boots) != 0 {
		t.Errorf("got machines %v", p.boots)
	}
}
