package serve_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

// sdkFile writes a file of more than one part for the SDK to send.
func sdkFile(t testing.TB) (path string, content []byte) {
	t.Helper()
	content = append(bytes.Repeat([]byte("0123456789"), 500_000), "\r\n--\r\n"...)
	path = filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// PostFile, with and without Content-MD5, for keys that make its headers hard to read.
func TestSDKPostFile(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	path, content := sdkFile(t)
	for i, key := range []string{"plain.rpm", "dir/中文 b+c.rpm", `quoted "a"; name="file"`, `back\slash`, "semi;colon=1"} {
		if i == 1 { // one large file is enough
			content = content[len(content)-1000:]
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, md5 := range []bool{true, false} {
			r, err := ufsdk.NewFileRequest(&ufsdk.Config{PublicKey: s.key.Public, PrivateKey: s.key.Private, BucketName: "bkt",
				Endpoint: s.URL, VerifyUploadMD5: md5}, s.Client())
			if err != nil {
				t.Fatal(err)
			}
			r.RequestHeader = http.Header{"X-Ufile-Meta-Sha256": {"abc"}}
			if err := r.PostFile(path, key, "application/x-rpm"); err != nil {
				t.Errorf("%q: %v: %s", key, err, r.DumpResponse(true))
				continue
			}
			if etag, _, _ := ufile.ETagOf(bytes.NewReader(content)); r.LastResponseHeader.Get("ETag") != `"`+etag+`"` {
				t.Errorf("%q: got ETag %s", key, r.LastResponseHeader.Get("ETag"))
			}
			var got bytes.Buffer
			down := s.sdk(t)
			if err := down.DownloadFile(&got, key); err != nil || !bytes.Equal(got.Bytes(), content) {
				t.Errorf("%q: got %d other bytes, %v", key, got.Len(), err)
			}
			if h := down.LastResponseHeader; h.Get("Content-Type") != "application/x-rpm" || h.Get("X-Ufile-Meta-Sha256") != "abc" {
				t.Errorf("%q: got headers %v", key, h)
			}
			if err := s.sdk(t).DeleteFile(key); err != nil {
				t.Errorf("%q: %v", key, err)
			}
		}
	}
	if got := append(s.files(t, "objects"), s.files(t, "tmp")...); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestSDKCopies(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	path, content := sdkFile(t)
	const key = "rpms/中文 b+c.rpm"
	if err := s.sdk(t).MPut(path, key, "application/x-rpm"); err != nil {
		t.Fatal(err)
	}
	if err := s.sdk(t).Copy("copied", "bkt", key); err != nil {
		t.Errorf("Copy: %v", err)
	}
	r := s.sdk(t)
	state, err := r.InitiateMultipartUpload("by parts", "a/b")
	if err != nil {
		t.Fatal(err)
	}
	parts, err := ufsdk.SplitFileByPartSize(int64(len(content)), int64(state.BlkSize))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if err := r.UploadPartCopy(state, p.Number, "bkt", key, p.Offset, p.Size); err != nil {
			t.Fatalf("UploadPartCopy: %v: %s", err, r.DumpResponse(true))
		}
	}
	if err := r.FinishMultipartUpload(state); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"copied", "by parts"} {
		var got bytes.Buffer
		if err := s.sdk(t).DownloadFile(&got, key); err != nil || !bytes.Equal(got.Bytes(), content) {
			t.Errorf("%s: got %d other bytes, %v", key, got.Len(), err)
		}
		if !s.sdk(t).CompareFileEtag(key, path) {
			t.Errorf("%s: another ETag", key)
		}
	}
	if missing := s.sdk(t); missing.Copy("x", "bkt", "none") == nil || missing.LastResponseStatus != 404 {
		t.Errorf("a copy of nothing: got status %d", missing.LastResponseStatus)
	}
}

func TestSDKAttributes(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	want := &ufsdk.TagSet{Tags: []ufsdk.Tag{{Key: "role", Value: "consul server"}, {Key: "b", Value: "2"}}}
	if err := s.sdk(t).PutObjectTagging("k", want); err != nil {
		t.Errorf("PutObjectTagging: %v", err)
	}
	got, err := s.sdk(t).GetObjectTagging("k")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("GetObjectTagging: %v (-want +got):\n%s", err, diff)
	}
	if err := s.sdk(t).DeleteObjectTagging("k"); err != nil {
		t.Errorf("DeleteObjectTagging: %v", err)
	}
	if got, err := s.sdk(t).GetObjectTagging("k"); err != nil || len(got.Tags) != 0 {
		t.Errorf("after DeleteObjectTagging: got %v, %v", got, err)
	}
	for _, acl := range []string{"default", "public-read"} {
		if err := s.sdk(t).PutObjectAcl("k", acl); err != nil {
			t.Errorf("PutObjectAcl %s: %v", acl, err)
		}
		if got, err := s.sdk(t).GetObjectAcl("k"); err != nil || got != acl {
			t.Errorf("GetObjectAcl: got %s, %v; want %s", got, err, acl)
		}
	}
	public := s.sdk(t)
	if err := public.Download(public.GetPublicURL("k")); err != nil || string(public.LastResponseBody) != "kept" {
		t.Errorf("public URL: got %q, %v", public.LastResponseBody, err)
	}
	if err := s.sdk(t).Restore("k"); err != nil {
		t.Errorf("Restore: %v", err)
	}
	if err := s.sdk(t).ClassSwitch("k", "IA"); err != nil {
		t.Errorf("ClassSwitch: %v", err)
	}
	s.wantOnly(t, "k", "kept")
}

func TestSDKPolicy(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	path, content := sdkFile(t)
	const policy = `{"callbackUrl":"http://127.0.0.1:1/called","callbackBody":"key=$(key)"}`
	for key, put := range map[string]func(*ufsdk.UFileRequest, string) error{
		"PutFileWithPolicy": func(r *ufsdk.UFileRequest, key string) error { return r.PutFileWithPolicy(path, key, "a/b", policy) },
		"MPutWithPolicy":    func(r *ufsdk.UFileRequest, key string) error { return r.MPutWithPolicy(path, key, "a/b", policy) },
	} {
		if err := put(s.sdk(t), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if got := s.get(t, key); !bytes.Equal(got, content) {
			t.Errorf("%s: got %d other bytes", key, len(got))
		}
		if r := s.sdk(t); put(r, "../"+key) == nil {
			t.Errorf("%s: stored outside", key)
		}
	}
}

// The program in testdata makes every call of ufile-gosdk v1.0.1, which the released Packer plugin has, and those of
// v1.0.7 that upload at once from several goroutines: they race inside the SDK, so that they cannot run in here.
func TestSDKProgram(t *testing.T) {
	// v1.0.1 makes its host of the bucket and a domain: "127" and "0.0.1:PORT" are an address of ours.
	s, err := serve.Store(serve.StoreOptions{Dir: t.TempDir(), Bucket: "127", Keys: []serve.Key{testKey}, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	srv := httptest.NewServer(s)
	defer srv.Close()
	path, content := sdkFile(t)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".")
	cmd.Dir = filepath.Join("testdata", "sdkprogram")
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "SDK_PORT="+port, "SDK_FILE="+path,
		"SDK_PUBLIC="+testKey.Public, "SDK_PRIVATE="+testKey.Private)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	client, err := ufsdk.NewFileRequest(&ufsdk.Config{PublicKey: testKey.Public, PrivateKey: testKey.Private, BucketName: "127", Endpoint: srv.URL}, srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.ListObjects("", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, o := range list.Contents {
		got = append(got, o.Key)
		if err := client.Download(client.GetPrivateURL(o.Key, time.Minute)); err != nil || !bytes.Equal(client.LastResponseBody, content) {
			t.Errorf("%s: got %d other bytes, %v", o.Key, len(client.LastResponseBody), err)
		}
	}
	want := []string{"old AsyncMPut", "old AsyncUploadWithPolicy", "old Copy", "old IOMutipartAsyncUpload", "old IOPut", "old MPut", "old MPutWithPolicy",
		"old PostFile", "old PutFile", "old PutFileWithPolicy", "old Rename done", "old UploadHit",
		"new AsyncMPut", "new AsyncUploadWithPolicy", "new IOMutipartAsyncUpload"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}
