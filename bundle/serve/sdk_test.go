package serve_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ufsdk "github.com/ufilesdk-dev/ufile-gosdk"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

// TestSDKObjects makes every call of ufile-gosdk that concerns one object, with Content-MD5.
func TestSDKObjects(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	data := bytes.Repeat([]byte("0123456789"), 500_000) // two parts
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for key, put := range map[string]func(*ufsdk.UFileRequest, string) error{
		"PutFile":         func(r *ufsdk.UFileRequest, key string) error { return r.PutFile(path, key, "") },
		"PutFileWithData": func(r *ufsdk.UFileRequest, key string) error { return r.PutFileWithData(key, "text/plain", data) },
		"IOPut":           func(r *ufsdk.UFileRequest, key string) error { return r.IOPut(bytes.NewReader(data), key, "a/b") },
		"MPut":            func(r *ufsdk.UFileRequest, key string) error { return r.MPut(path, key, "a/b") },
		"presigned PUT": func(r *ufsdk.UFileRequest, key string) error {
			r.RequestHeader = http.Header{"Content-Type": {"a/b"}}
			req, err := http.NewRequest("PUT", r.GenPresignedURL(key, time.Hour, "PUT"), bytes.NewReader(data))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "a/b")
			resp, err := r.Client.Do(req)
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				return fmt.Errorf("status %d", resp.StatusCode)
			}
			return nil
		},
	} {
		t.Run(key, func(t *testing.T) {
			if err := put(s.sdk(t), key); err != nil {
				t.Fatal(err)
			}
			head := s.sdk(t)
			if err := head.HeadFile(key); err != nil || head.LastResponseHeader.Get("Content-Length") != fmt.Sprint(len(data)) {
				t.Errorf("HeadFile: %v, %v", err, head.LastResponseHeader)
			}
			if !s.sdk(t).CompareFileEtag(key, path) {
				t.Error("CompareFileEtag: another file")
			}
			var got bytes.Buffer
			if err := s.sdk(t).DownloadFile(&got, key); err != nil || !bytes.Equal(got.Bytes(), data) {
				t.Errorf("DownloadFile: %d bytes, %v", got.Len(), err)
			}
			down := s.sdk(t)
			if err := down.Download(down.GetPrivateURL(key, time.Hour)); err != nil || !bytes.Equal(down.LastResponseBody, data) {
				t.Errorf("Download: %d bytes, %v", len(down.LastResponseBody), err)
			}
			if err := s.sdk(t).DeleteFile(key); err != nil {
				t.Errorf("DeleteFile: %v", err)
			}
			if again := s.sdk(t); again.DeleteFile(key) == nil || again.LastResponseStatus != 404 {
				t.Errorf("DeleteFile again: status %d", again.LastResponseStatus)
			}
		})
	}
}

func TestSDKMultipart(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	r := s.sdk(t)
	state, err := r.InitiateMultipartUpload("k", "a/b")
	if err != nil || state.BlkSize != ufile.BlockSize {
		t.Fatalf("%+v, %v", state, err)
	}
	for n, part := range [][]byte{block('a'), []byte("tail")} {
		if err := s.sdk(t).UploadPart(bytes.NewBuffer(part), state, n); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.sdk(t).ListParts(state.UploadID, 0, 0)
	if err != nil || len(list.Parts) != 2 || list.Parts[1].Etag != state.Etags[1] || list.Bucket != "bkt" || list.IsTruncated {
		t.Errorf("ListParts: %+v, %v", list, err)
	}
	if err := r.FinishMultipartUpload(state); err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, "k"); !bytes.Equal(got, append(block('a'), "tail"...)) {
		t.Errorf("got %d other bytes", len(got))
	}
	if state, err = r.InitiateMultipartUpload("aborted", "a/b"); err != nil {
		t.Fatal(err)
	}
	if err := r.AbortMultipartUpload(state); err != nil || r.LastResponseStatus/100 != 2 {
		t.Errorf("AbortMultipartUpload: %v", err)
	}
	// An upload of nothing: the SDK's own calls do that for an empty file.
	if state, err = r.InitiateMultipartUpload("empty", "a/b"); err == nil {
		err = r.FinishMultipartUpload(state)
	}
	if got := s.get(t, "empty"); err != nil || len(got) != 0 {
		t.Errorf("empty: got %q, %v", got, err)
	}
	if head := s.sdk(t); head.HeadFile("empty") != nil || head.LastResponseHeader.Get("ETag") != `"AAAAANo5o-5ea0sNMlW_75VgGJCv2AcJ"` {
		t.Errorf("empty: got %v", head.LastResponseHeader)
	}
}

// Answers to parts are empty, so that the SDK, which does not read them, keeps its connections.
func TestSDKKeepsConnections(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	var conns atomic.Int32
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conns.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	r := s.sdk(t)
	r.Client = &http.Client{Transport: transport}
	state, err := r.InitiateMultipartUpload("k", "a/b")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := r.UploadPart(bytes.NewBufferString("x"), state, n); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n > 3 {
		t.Errorf("got %d connections for 21 requests", n)
	}
}

func TestSDKLists(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	keys := []string{"a", "a-b", "a/1", "a/2", "a/b/c", "a0", "b", "ä", "a%2F", "B", "a+b", "a b"}
	for _, key := range keys {
		r := s.sdk(t)
		r.RequestHeader = http.Header{"X-Ufile-Meta-Sha256": {"of " + key}}
		if err := r.PutFileWithData(key, "text/plain", []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(keys)
	for _, page := range []int{1, 3, 1000} {
		if diff := cmp.Diff(keys, s.keys(t, page)); diff != "" {
			t.Errorf("ListObjects by %d (-want +got):\n%s", page, diff)
		}
		got := []string{}
		for marker := ""; ; {
			list, err := s.sdk(t).PrefixFileList("", marker, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range list.DataSet {
				got = append(got, d.FileName)
				if want, _, _ := ufile.ETagOf(bytes.NewBufferString(d.FileName)); d.Hash != want || d.Size != len(d.FileName) || d.MimeType != "text/plain" {
					t.Errorf("got %+v", d)
				}
			}
			if marker = list.NextMarker; marker == "" {
				break
			}
		}
		if diff := cmp.Diff(keys, got); diff != "" {
			t.Errorf("PrefixFileList by %d (-want +got):\n%s", page, diff)
		}
	}
	for _, c := range []struct {
		prefix, delimiter string
		want              []string
	}{
		{"a/", "", []string{"a/1", "a/2", "a/b/c"}},
		{"a/", "/", []string{"a/1", "a/2", "a/b/*"}},
		{"", "/", []string{"B", "a", "a b", "a%2F", "a+b", "a-b", "a/*", "a0", "b", "ä"}},
		{"a0", "/", []string{"a0"}},
		{"none", "/", []string{}},
	} {
		for _, page := range []int{1, 2, 1000} {
			got := []string{}
			for marker := ""; ; {
				list, err := s.sdk(t).ListObjects(c.prefix, marker, c.delimiter, page)
				if err != nil {
					t.Fatal(err)
				}
				if list.MaxKeys != fmt.Sprint(page) || len(list.Contents)+len(list.CommonPrefixes) > page {
					t.Errorf("got %+v", list)
				}
				for _, o := range list.Contents {
					got = append(got, o.Key)
					if o.UserMeta["Sha256"] != "of "+o.Key || o.Size != fmt.Sprint(len(o.Key)) || o.Etag == "" {
						t.Errorf("got %+v", o)
					}
				}
				for _, p := range list.CommonPrefixes {
					got = append(got, p.Prefix+"*")
				}
				if !list.IsTruncated {
					break
				}
				marker = list.NextMarker
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q by %d (-want +got):\n%s", c.prefix, page, diff)
			}
		}
	}
	for _, query := range []string{"listobjects&max-keys=0", "listobjects&max-keys=x", "listobjects&delimiter=-", "list&limit=-1"} {
		s.do(t, request{method: "GET", target: "/?" + query}).want(t, 400, 0)
	}
}

// More than the longest page, from files written as docs/store-layout.md says.
func TestListThousands(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	var want []string
	for i := range 1234 {
		key := fmt.Sprintf("n/%d", i)
		want = append(want, key)
		about := fmt.Sprintf(`{"key":%q,"size":2,"etag":"x","type":"a/b","modified":1}`+"\n", key)
		text := fmt.Sprintf("hi%s%08x offbake\n", about, len(about))
		if err := os.WriteFile(filepath.Join(s.dir, "objects", fmt.Sprintf("=n%%2F%d", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, s.keys(t, 5000)); diff != "" { // more than 1000 are not given
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := s.get(t, "n/7"); string(got) != "hi" {
		t.Errorf("got %q", got)
	}
}

// A reader of what is being replaced gets one object or the other, whole.
func TestReplaceWhileRead(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	a, b := bytes.Repeat([]byte("a"), 3<<20), bytes.Repeat([]byte("b"), 2<<20)
	s.put(t, "k", a)
	resp, err := s.Client().Get(s.URL + "/k?" + presign(testKey, "GET", "k", time.Now().Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.put(t, "k", b)
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, a) {
		t.Errorf("got %d bytes, %v; want the first object", len(got), err)
	}
	if got := s.get(t, "k"); !bytes.Equal(got, b) {
		t.Errorf("got %d bytes, want the second object", len(got))
	}
}
