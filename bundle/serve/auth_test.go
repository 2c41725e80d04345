package serve_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

// presign makes the query of a presigned URL.
func presign(k serve.Key, method, key string, expires time.Time) string {
	at := fmt.Sprint(expires.Unix())
	sig := k.Sign(ufile.Request{Method: method, Bucket: "bkt", Key: key, Expires: at})
	return url.Values{"Expires": {at}, "Signature": {sig}, "UCloudPublicKey": {k.Public}}.Encode()
}

func TestAuthorization(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	stranger := serve.Key{Public: "nobody", Private: "x"}
	forged := serve.Key{Public: testKey.Public, Private: "guessed"}
	header := func(k serve.Key, r ufile.Request) http.Header {
		return http.Header{"Authorization": {k.Authorization(r)}}
	}
	get := ufile.Request{Method: "GET", Bucket: "bkt", Key: "k"}
	for fault, c := range map[string]struct {
		target string
		header http.Header
		code   ufile.RetCode
	}{
		"no signature":           {"/k", nil, ufile.NoAuthorization},
		"unknown key":            {"/k", header(stranger, get), ufile.InvalidSignature},
		"wrong secret":           {"/k", header(forged, get), ufile.InvalidSignature},
		"other method":           {"/k", header(testKey, ufile.Request{Method: "HEAD", Bucket: "bkt", Key: "k"}), ufile.InvalidSignature},
		"other bucket":           {"/k", header(testKey, ufile.Request{Method: "GET", Bucket: "other", Key: "k"}), ufile.InvalidSignature},
		"other key":              {"/k", header(testKey, ufile.Request{Method: "GET", Bucket: "bkt", Key: "j"}), ufile.InvalidSignature},
		"not this scheme":        {"/k", http.Header{"Authorization": {"Basic eDp5"}}, ufile.InvalidSignature},
		"empty signature":        {"/k", http.Header{"Authorization": {"UCloud TOKEN_test:"}}, ufile.InvalidSignature},
		"other content type":     {"/k", http.Header{"Authorization": {testKey.Authorization(get)}, "Content-Type": {"text/plain"}}, ufile.InvalidSignature},
		"unsigned X-UCloud":      {"/k", http.Header{"Authorization": {testKey.Authorization(get)}, "X-Ucloud-A": {"b"}}, ufile.InvalidSignature},
		"expired":                {"/k?" + presign(testKey, "GET", "k", past), nil, ufile.InvalidSignature},
		"presigned HEAD":         {"/k?" + presign(testKey, "HEAD", "k", soon), nil, ufile.InvalidSignature},
		"presigned other key":    {"/k?" + presign(testKey, "GET", "j", soon), nil, ufile.InvalidSignature},
		"presigned forged":       {"/k?" + presign(forged, "GET", "k", soon), nil, ufile.InvalidSignature},
		"later Expires":          {"/k?" + strings.Replace(presign(testKey, "GET", "k", soon), "Expires=1", "Expires=2", 1), nil, ufile.InvalidSignature},
		"Expires no number":      {"/k?Expires=x&Signature=x&UCloudPublicKey=" + testKey.Public, nil, ufile.InvalidSignature},
		"bad header, good query": {"/k?" + presign(testKey, "GET", "k", soon), header(forged, get), ufile.InvalidSignature},
	} {
		a := s.do(t, request{method: "GET", target: c.target, header: c.header, unsigned: true})
		a.want(t, 403, c.code)
		if strings.Contains(string(a.body), "kept") || strings.Contains(string(a.body), testKey.Private) {
			t.Errorf("%s: the answer tells %q", fault, a.body)
		}
		if t.Failed() {
			t.Fatalf("the fault was %s", fault)
		}
	}
	s.do(t, request{method: "GET", target: "/k?" + presign(testKey, "GET", "k", soon), unsigned: true}).want(t, 200, 0)
	s.do(t, request{method: "PUT", target: "/p?" + presign(testKey, "PUT", "p", soon), body: []byte("presigned"), unsigned: true}).want(t, 200, 0)
	if got := s.get(t, "p"); string(got) != "presigned" {
		t.Errorf("got %q", got)
	}
	withDate := http.Header{"Date": {"Thu, 01 Jan 1970 00:00:00 GMT"}, "X-Ucloud-A": {"b"}}
	s.do(t, request{method: "GET", target: "/k", key: "k", header: withDate}).want(t, 200, 0)
}

// allRequests is one of each kind.
var allRequests = []request{
	{method: "PUT", target: "/k", key: "k", body: []byte("evil")},
	{method: "DELETE", target: "/k", key: "k"},
	{method: "POST", target: "/k?uploads", key: "k"},
	{method: "PUT", target: "/k?partNumber=0&uploadId=x", key: "k", body: []byte("evil")},
	{method: "POST", target: "/k?uploadId=x", key: "k"},
	{method: "DELETE", target: "/k?uploadId=x", key: "k"},
	{method: "GET", target: "/?list"},
	{method: "GET", target: "/?listobjects"},
	{method: "GET", target: "/?muploadpart&uploadId=x"},
	{method: "GET", target: "/?muploadid"},
	{method: "PUT", target: "/k", key: "k", header: http.Header{ufile.CopySource: {"/bkt/k"}}},
	{method: "PUT", target: "/k?partNumber=0&uploadId=x", key: "k", header: http.Header{ufile.CopySource: {"/bkt/k"}}},
	{method: "PUT", target: "/k?restore", key: "k"},
	{method: "PUT", target: "/k?storageClass=IA", key: "k"},
	{method: "PUT", target: "/k?tagging", key: "k", body: []byte(`{"Tags":[]}`)},
	{method: "GET", target: "/k?tagging", key: "k"},
	{method: "DELETE", target: "/k?tagging", key: "k"},
	{method: "PUT", target: "/k?acl", key: "k", header: http.Header{ufile.ObjectACL: {"public-read"}}},
	{method: "GET", target: "/k?acl", key: "k"},
	{method: "POST", target: "/k?opmeta", key: "k", body: []byte(`{"op":"set","metak":"mimetype","metav":"a/b"}`)},
	{method: "PUT", target: "/k?newFileName=j&force=true", key: "k"},
	{method: "POST", target: "/uploadhit?FileName=k&FileSize=4&Hash=x", key: "k"},
}

// A presigned URL covers a method and a key: nothing else that its holder could add to it is done.
func TestPresignedGrantsNoMore(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	s.put(t, "secret", []byte("secret"))
	id := s.initiate(t, "k")
	soon := time.Now().Add(time.Hour)
	for _, q := range []request{
		{method: "PUT", target: "/k?", header: http.Header{ufile.CopySource: {"/bkt/secret"}}},
		{method: "PUT", target: "/k?partNumber=0&uploadId=" + id + "&", header: http.Header{ufile.CopySource: {"/bkt/secret"}}},
		{method: "PUT", target: "/k?newFileName=secret&force=true&"},
		{method: "PUT", target: "/k?acl&", header: http.Header{ufile.ObjectACL: {"public-read"}}},
		{method: "PUT", target: "/k?tagging&", body: []byte(`{"Tags":[{"Key":"a","Value":"b"}]}`)},
		{method: "DELETE", target: "/k?tagging&"},
		{method: "PUT", target: "/k?restore&"},
		{method: "PUT", target: "/k?storageClass=IA&"},
		{method: "POST", target: "/k?opmeta&", body: []byte(`{"op":"set","metak":"mimetype","metav":"a/b"}`)},
		{method: "POST", target: "/uploadhit?FileName=k&FileSize=6&Hash=AQAAAOXptRtZV8aczlqQ_7TgGAmJVQvk&"},
	} {
		q.target += presign(testKey, q.method, "k", soon)
		q.unsigned = true
		s.do(t, q).want(t, 403, ufile.InvalidSignature)
	}
	if got := s.get(t, "k"); string(got) != "kept" {
		t.Errorf("the object is now %q", got)
	}
	if got := s.keys(t, 10); len(got) != 2 {
		t.Errorf("the store has %q", got)
	}
	s.do(t, request{method: "GET", target: "/k", unsigned: true}).want(t, 403, ufile.NoAuthorization)
	for _, attribute := range []string{"tagging", "acl"} { // who may read the object may read these
		s.do(t, request{method: "GET", target: "/k?" + attribute + "&" + presign(testKey, "GET", "k", soon), unsigned: true}).want(t, 200, 0)
	}
}

func TestPublicReads(t *testing.T) {
	s := start(t, serve.StoreOptions{Public: true})
	s.put(t, "k", []byte("kept"))
	for _, method := range []string{"GET", "HEAD"} {
		s.do(t, request{method: method, target: "/k", unsigned: true}).want(t, 200, 0)
		s.do(t, request{method: method, target: "/absent", unsigned: true}).want(t, 404, 0)
	}
	for _, q := range allRequests {
		q.unsigned = true
		s.do(t, q).want(t, 403, ufile.NoAuthorization)
	}
	expired := "/k?" + presign(testKey, "GET", "k", time.Now().Add(-time.Minute))
	s.do(t, request{method: "GET", target: expired, unsigned: true}).want(t, 403, ufile.InvalidSignature)
	if got := s.get(t, "k"); string(got) != "kept" {
		t.Errorf("the object is now %q", got)
	}
}

func TestNoKeys(t *testing.T) {
	s := startExactly(t, serve.StoreOptions{Dir: t.TempDir(), Bucket: "bkt", Public: true})
	s.key = serve.Key{} // signs with an empty pair
	for _, q := range allRequests {
		s.do(t, q).want(t, 403, ufile.InvalidSignature)
		q.unsigned = true
		s.do(t, q).want(t, 403, ufile.NoAuthorization)
	}
	s.do(t, request{method: "GET", target: "/k", unsigned: true}).want(t, 404, ufile.FileNotExist)
	if got := s.files(t, "objects"); len(got) != 0 {
		t.Errorf("the store has %q", got)
	}
}

func TestBucketByHost(t *testing.T) {
	s := start(t, serve.StoreOptions{Domain: "ufile.test"})
	s.put(t, "k", []byte("x"))
	for host, status := range map[string]int{
		"bkt.ufile.test": 200, "BKT.ufile.test:80": 200, "10.0.0.1:9000": 200, "localhost": 200, "ufile.test": 200,
		"other.ufile.test": 404, "a.bkt.ufile.test": 404, "other.ufile.test:9000": 404,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/k?"+presign(testKey, "GET", "k", time.Now().Add(time.Hour)), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: got status %d, want %d", host, resp.StatusCode, status)
		}
	}
}
