package serve_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/serve"
)

func curl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("curl", append([]string{"-sS", "--fail", "--noproxy", "*", "--max-time", "30"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("curl %q: %v: %s", args, err, stderr.Bytes())
	}
	return string(out)
}

// Stock curl, as hosts have it: presigned and public URLs, a range, a resumed download, an upload to a presigned URL.
func TestCurl(t *testing.T) {
	private, public := start(t, serve.StoreOptions{}), start(t, serve.StoreOptions{Public: true})
	body := bytes.Repeat([]byte("0123456789"), 300_000)
	dir := t.TempDir()
	soon := time.Now().Add(time.Hour)
	for name, url := range map[string]string{
		"presigned": private.URL + "/rpms/libstdc%2B%2B%20a.rpm?" + presign(testKey, "GET", "rpms/libstdc++ a.rpm", soon),
		"public":    public.URL + "/rpms/libstdc++%20a.rpm",
	} {
		for _, s := range []*service{private, public} {
			if err := s.sdk(t).PutFileWithData("rpms/libstdc++ a.rpm", "application/x-rpm", body); err != nil {
				t.Fatal(err)
			}
		}
		if got := curl(t, url); got != string(body) {
			t.Errorf("%s: got %d other bytes", name, len(got))
		}
		if got := curl(t, "--compressed", "-r", "10-14", url); got != "01234" {
			t.Errorf("%s: range: got %q", name, got)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, body[:1_234_567], 0o600); err != nil {
			t.Fatal(err)
		}
		curl(t, "-C", "-", "-o", path, url)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: resumed: got %d bytes, %v", name, len(got), err)
		}
	}
	if got := curl(t, "-I", public.URL+"/rpms/libstdc++%20a.rpm"); !strings.Contains(got, "Content-Length: 3000000\r\n") {
		t.Errorf("HEAD: got %s", got)
	}
	path := filepath.Join(dir, "presigned")
	curl(t, "-T", path, private.URL+"/up?"+presign(testKey, "PUT", "up", soon))
	if got := private.get(t, "up"); !bytes.Equal(got, body) {
		t.Errorf("uploaded: got %d other bytes", len(got))
	}
}
