package serve_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/ufile"
)

func (s *service) tags(t testing.TB, key string) string {
	t.Helper()
	a := s.do(t, request{method: "GET", target: "/" + key + "?tagging", key: key})
	a.want(t, 200, 0)
	return string(a.body)
}

func TestTags(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	head := s.do(t, request{method: "HEAD", target: "/k", key: "k"}).Header
	put := func(body string) *answer {
		return s.do(t, request{method: "PUT", target: "/k?tagging", key: "k", body: []byte(body)})
	}
	if got := s.tags(t, "k"); got != `{"Tags":[]}` {
		t.Errorf("got %s", got)
	}
	const two = `{"Tags":[{"Key":"role","Value":"consul server"},{"Key":"a+-=._:/@","Value":"1"}]}`
	put(two).want(t, 200, 0)
	eleven := make([]string, 11)
	for i := range eleven {
		eleven[i] = fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i)
	}
	for fault, body := range map[string]string{
		"not JSON": "x", "a list": "[]", "a number": `{"Tags":1}`, "empty body": "",
		"no key":     `{"Tags":[{"Key":"","Value":"v"}]}`,
		"no value":   `{"Tags":[{"Key":"k"}]}`,
		"twice":      `{"Tags":[{"Key":"k","Value":"v"},{"Key":"k","Value":"w"}]}`,
		"long key":   `{"Tags":[{"Key":"` + strings.Repeat("k", 129) + `","Value":"v"}]}`,
		"long value": `{"Tags":[{"Key":"k","Value":"` + strings.Repeat("v", 257) + `"}]}`,
		"character":  `{"Tags":[{"Key":"k","Value":"<"}]}`,
		"not ASCII":  `{"Tags":[{"Key":"k","Value":"ä"}]}`,
		"too many":   `{"Tags":[` + strings.Join(eleven, ",") + `]}`,
		"too large":  strings.Repeat(" ", 70_000) + two,
	} {
		if a := put(body); a.StatusCode != 400 {
			t.Errorf("%s: got status %d, want 400", fault, a.StatusCode)
		}
	}
	if got := s.tags(t, "k"); got != two {
		t.Errorf("got %s, want %s", got, two)
	}
	put(`{"Tags":[`+strings.Join(eleven[:10], ",")+`]}`).want(t, 200, 0)
	s.do(t, request{method: "DELETE", target: "/k?tagging", key: "k"}).want(t, 204, 0)
	if got := s.tags(t, "k"); got != `{"Tags":[]}` {
		t.Errorf("after DELETE: got %s", got)
	}
	for method, body := range map[string]string{"PUT": `{"Tags":[]}`, "GET": "", "DELETE": ""} {
		s.do(t, request{method: method, target: "/none?tagging", key: "none", body: []byte(body)}).want(t, 404, ufile.FileNotExist)
	}
	after := s.do(t, request{method: "HEAD", target: "/k", key: "k"}).Header
	if after.Get("ETag") != head.Get("ETag") || after.Get("Last-Modified") != head.Get("Last-Modified") {
		t.Errorf("the object changed: got %v, want %v", after, head)
	}
	s.wantOnly(t, "k", "kept")
}

func TestACL(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	s.put(t, "j", []byte("private"))
	set := func(key, acl string) *answer {
		return s.do(t, request{method: "PUT", target: "/" + key + "?acl", key: key, header: http.Header{ufile.ObjectACL: {acl}}})
	}
	want := func(grant string, unsigned int) {
		t.Helper()
		a := s.do(t, request{method: "GET", target: "/k?acl", key: "k"})
		a.want(t, 200, 0)
		if !strings.Contains(string(a.body), `"AccessControlList":{"Grant":"`+grant+`"}`) {
			t.Errorf("got %s, want %s", a.body, grant)
		}
		for _, method := range []string{"GET", "HEAD"} {
			s.do(t, request{method: method, target: "/k", unsigned: true}).want(t, unsigned, 0)
		}
	}
	want("default", 403)
	set("k", "public-read-write").want(t, 400, 0)
	set("k", "").want(t, 400, 0)
	set("none", "public-read").want(t, 404, ufile.FileNotExist)
	set("k", "public-read").want(t, 200, 0)
	want("public-read", 200)
	for _, q := range allRequests { // reading the object is all that it grants
		q.unsigned = true
		s.do(t, q).want(t, 403, ufile.NoAuthorization)
	}
	for _, target := range []string{"/j", "/none", "/k/..", "/" + strings.Repeat("k", 5000)} {
		s.do(t, request{method: "GET", target: target, unsigned: true}).want(t, 403, ufile.NoAuthorization)
	}
	s.do(t, request{method: "PUT", target: "/copy", key: "copy", header: copyFrom("/bkt/k")}).want(t, 200, 0)
	s.do(t, request{method: "GET", target: "/copy", unsigned: true}).want(t, 403, ufile.NoAuthorization)
	set("k", "default").want(t, 200, 0)
	want("default", 403)
	set("k", "public-read").want(t, 200, 0)
	s.put(t, "k", []byte("new")) // another object
	want("default", 403)
}

func TestClassesAndType(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("kept"))
	for query, status := range map[string]int{"restore": 200, "storageClass=IA": 200, "storageClass=ARCHIVE": 200, "storageClass=STANDARD": 200,
		"storageClass=COLD": 400, "storageClass=": 400} {
		s.do(t, request{method: "PUT", target: "/k?" + query, key: "k"}).want(t, status, 0)
	}
	for _, query := range []string{"restore", "storageClass=IA"} {
		s.do(t, request{method: "PUT", target: "/none?" + query, key: "none"}).want(t, 404, ufile.FileNotExist)
	}
	setType := func(key, body string) *answer {
		return s.do(t, request{method: "POST", target: "/" + key + "?opmeta", key: key, body: []byte(body), header: http.Header{"Content-Type": {"application/json"}}})
	}
	for body, status := range map[string]int{
		`{"op":"set","metak":"mimetype","metav":"text/css"}`:                           200,
		`{"op":"del","metak":"mimetype","metav":"a/b"}`:                                400,
		`{"op":"set","metak":"etag","metav":"a/b"}`:                                    400,
		`{"op":"set","metak":"mimetype","metav":""}`:                                   400,
		`{"op":"set","metak":"mimetype","metav":"a/b\r\nX: y"}`:                        400,
		`{"op":"set","metak":"mimetype","metav":"a/` + strings.Repeat("b", 300) + `"}`: 400,
		`nonsense`: 400,
	} {
		setType("k", body).want(t, status, 0)
	}
	setType("none", `{"op":"set","metak":"mimetype","metav":"a/b"}`).want(t, 404, ufile.FileNotExist)
	if got := s.do(t, request{method: "HEAD", target: "/k", key: "k"}).Header.Get("Content-Type"); got != "text/css" {
		t.Errorf("got type %q", got)
	}
	s.wantOnly(t, "k", "kept")
}

// Attributes change while the object is replaced and deleted: what was answered is not undone by an older content.
func TestAttributesTogether(t *testing.T) {
	s := start(t, serve.StoreOptions{})
	s.put(t, "k", []byte("first"))
	s.put(t, "gone", []byte("first"))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for _, key := range []string{"k", "gone"} {
				body := fmt.Sprintf(`{"Tags":[{"Key":"n","Value":"%d"}]}`, i)
				a := s.do(t, request{method: "PUT", target: "/" + key + "?tagging", key: key, body: []byte(body)})
				if a.StatusCode != 200 && (a.StatusCode != 404 || key == "k") && a.StatusCode != 409 {
					t.Errorf("%s: got status %d", key, a.StatusCode)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 5 {
			s.put(t, "k", fmt.Append(nil, "content ", i))
		}
	})
	wg.Go(func() { s.do(t, request{method: "DELETE", target: "/gone", key: "gone"}).want(t, 204, 0) })
	wg.Wait()
	s.wantAbsent(t, "gone")
	s.wantOnly(t, "k", "content 4")
}
