package ucloud_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision/ucloud"
)

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		conn.Close()
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	code := func(n int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { reply(w, "RetCode", n, "Message", "because") }
	}
	status := func(n int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { http.Error(w, "<html>\nbusy", n) }
	}
	for name, c := range map[string]struct {
		fault func(http.ResponseWriter)
		again bool
		kind  ucloud.Kind
		text  string // of the error where the fault is for good
	}{
		"timeout":       {code(110), true, ucloud.Unavailable, "RetCode 110: because"},
		"gateway":       {code(130), true, ucloud.Unavailable, "RetCode 130: because"},
		"unavailable":   {code(150), true, ucloud.Unavailable, "RetCode 150: because"},
		"throttled":     {code(153), true, ucloud.Throttled, "RetCode 153: because"},
		"status 503":    {status(503), true, ucloud.Unavailable, "HTTP status 503"},
		"status 429":    {status(429), true, ucloud.Throttled, "HTTP status 429"},
		"cut":           {cut, true, ucloud.Unavailable, "EOF"},
		"a login page":  {status(200), true, ucloud.Unavailable, "got an answer that is not the API's"},
		"nothing":       {func(w http.ResponseWriter) { w.WriteHeader(200) }, true, ucloud.Unavailable, "got an answer that is not the API's"},
		"status 403":    {status(403), false, ucloud.Other, "HTTP status 403"},
		"signature":     {code(171), false, ucloud.Signature, "RetCode 171: because"},
		"key":           {code(172), false, ucloud.Signature, "RetCode 172: because"},
		"parameters":    {code(230), false, ucloud.Region, "RetCode 230: because"},
		"project":       {code(292), false, ucloud.Region, "RetCode 292: because"},
		"IP":            {code(294), false, ucloud.Refused, "RetCode 294: because"},
		"IAM":           {code(299), false, ucloud.Permission, "RetCode 299: because"},
		"hourly":        {code(8116), false, ucloud.Permission, "RetCode 8116: because"},
		"EIP balance":   {code(4018), false, ucloud.Balance, "RetCode 4018: because"},
		"quota":         {code(8095), false, ucloud.Quota, "RetCode 8095: because"},
		"capacity":      {code(8833), false, ucloud.Capacity, "RetCode 8833: because"},
		"subnet":        {code(8847), false, ucloud.Capacity, "RetCode 8847: because"},
		"real name":     {code(8226), false, ucloud.RealName, "RetCode 8226: because"},
		"images":        {code(8874), false, ucloud.Base, "RetCode 8874: because"},
		"what is that?": {code(77777), false, ucloud.Other, "RetCode 77777: because"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t)
			s.answer = func(w http.ResponseWriter, _ url.Values, try int) bool {
				if try <= 2 {
					c.fault(w)
				}
				return try <= 2
			}
			got, err := s.cloud(t).Bases(t.Context(), nil)
			if again := err == nil && len(got) == 1 && len(s.calls("")) == 3; again != c.again {
				t.Errorf("after two faults: got %v, %v after %d calls, want it again %v", got, err, len(s.calls("")), c.again)
			}
			s.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool { c.fault(w); return true }
			before := len(s.calls(""))
			_, err = s.cloud(t).Bases(t.Context(), nil)
			e, ok := errors.AsType[*ucloud.Error](err)
			if !ok || e.Kind() != c.kind || e.Action != "DescribeImage" || e.Region != region {
				t.Fatalf("for good: got %#v, want kind %q", err, c.kind)
			}
			if want := "listing base images: DescribeImage in cn-bj2: " + c.text; err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
			if n := len(s.calls("")) - before; c.again != (n == 6) || !c.again && n != 1 {
				t.Errorf("for good: got %d calls, again %v", n, c.again)
			}
		})
	}
}

// TestNoSecretLeaves has the API repeat all that it was sent, as no API should, in each part of an answer.
func TestNoSecretLeaves(t *testing.T) {
	const password = "Correct-Horse-9"
	for name, echo := range map[string]func(w http.ResponseWriter, all string){
		"message":    func(w http.ResponseWriter, all string) { reply(w, "RetCode", 230, "Message", "bad:\n"+all) },
		"page":       func(w http.ResponseWriter, all string) { fmt.Fprintf(w, "<html>%s", all) },
		"wrong type": func(w http.ResponseWriter, all string) { reply(w, "UHostIds", all) },
		"status":     func(w http.ResponseWriter, all string) { http.Error(w, all, http.StatusBadGateway) },
		"redirect": func(w http.ResponseWriter, all string) {
			w.Header().Set("Location", "/?"+url.QueryEscape(all))
			w.WriteHeader(307)
		},
		"cut after all": func(w http.ResponseWriter, all string) {
			w.Header().Set("Content-Length", "99999")
			fmt.Fprint(w, all)
			cut(w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t)
			var sent []string
			s.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
				if form.Get("Action") != "CreateUHostInstance" {
					return false
				}
				raw := form.Encode()
				for _, key := range []string{"Password", "UserData", "Signature", "PublicKey"} {
					if form.Get(key) == "" {
						t.Errorf("got no %s", key)
					}
					sent = append(sent, form.Get(key), url.QueryEscape(form.Get(key)))
				}
				echo(w, raw+" "+fmt.Sprint(form)+" "+password)
				return true
			}
			c := s.cloud(t)
			img := image(func(i *manifest.Image) { i.Cloud.SSH.Password = password })
			base, err := c.Base(t.Context(), img)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Create(t.Context(), "offbake-run-db", base, img)
			if err == nil || len(sent) == 0 {
				t.Fatalf("got %v, want an error", err)
			}
			for _, form := range []string{"%v", "%+v", "%#v", "%q"} {
				text := fmt.Sprintf(form, err)
				for cause := err; cause != nil; cause = errors.Unwrap(cause) {
					text += fmt.Sprintf(form, cause)
				}
				for _, secret := range append(sent, password, privateKey, publicKey) {
					if strings.Contains(text, secret) {
						t.Errorf("%s: %q is in %s", form, secret, text)
					}
				}
			}
			text, _, _ := strings.Cut(err.Error(), "\nending")
			if strings.Contains(text, "\n") || !strings.Contains(text, "CreateUHostInstance in cn-bj2") {
				t.Errorf("got %q, want one line with the action", text)
			}
		})
	}
}

func TestRedirectsAreRefused(t *testing.T) {
	other := newScripted(t)
	s := newScripted(t)
	s.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool {
		w.Header().Set("Location", other.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	}
	_, err := s.cloud(t).Bases(t.Context(), nil)
	if e, ok := errors.AsType[*ucloud.Error](err); !ok || e.Status != 307 {
		t.Errorf("got %v, want status 307", err)
	}
	if n := len(other.calls("")); n != 0 || len(s.calls("")) != 1 {
		t.Errorf("got %d requests elsewhere, %d here, want 0 and 1", n, len(s.calls("")))
	}
}

// TestCancelledAndSlow: the SDK knows no context, and its own timeout must still hold.
func TestCancelledAndSlow(t *testing.T) {
	s := newScripted(t)
	entered := make(chan struct{}, 10)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.answer = func(http.ResponseWriter, url.Values, int) bool {
		entered <- struct{}{}
		<-release
		return true
	}
	patience := quick()
	patience.Call = time.Hour
	patient := func() *ucloud.Cloud {
		c, err := ucloud.New(ucloud.Config{PublicKey: publicKey, PrivateKey: privateKey, BaseURL: s.URL, Patience: patience}, place())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	reason := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-entered; cancel(reason) }()
	_, err := patient().Bases(ctx, nil)
	if e, ok := errors.AsType[*ucloud.Error](err); !errors.Is(err, reason) || !ok || e.Kind() != ucloud.Other {
		t.Errorf("cancelled: got %v, want its cause and no kind", err)
	}
	patience.Call = 20 * time.Millisecond
	_, err = patient().Bases(t.Context(), nil)
	e, ok := errors.AsType[*ucloud.Error](err)
	if !ok || e.Kind() != ucloud.Unavailable || !strings.HasSuffix(err.Error(), "in cn-bj2: got no answer in 20ms") {
		t.Errorf("slow: got %v, want a timeout", err)
	}
}

func TestGuardAndDeadServer(t *testing.T) {
	s := newScripted(t)
	guarded := transport.New(transport.Options{Allow: []string{"192.0.2.1:1"}})
	c, err := ucloud.New(ucloud.Config{PublicKey: publicKey, PrivateKey: privateKey, BaseURL: s.URL, Client: guarded,
		Patience: quick()}, place())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Bases(t.Context(), nil); !errors.Is(err, transport.ErrBlocked) || len(s.calls("")) != 0 {
		t.Errorf("guarded: got %v after %d calls, want it blocked before the first", err, len(s.calls("")))
	}
	s.Close()
	_, err = s.cloud(t).Bases(t.Context(), nil)
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "dial" || strings.Contains(err.Error(), "http://") {
		t.Errorf("dead: got %v, want a refused connection and no URL", err)
	}
}

// TestWhere: the variable of the environment wins over the manifest, and a path of it stays.
func TestWhere(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
		reply(w, "ImageSet", []any{}, "TotalCount", 0)
	}))
	defer server.Close()
	for _, c := range []struct{ env, api, want string }{
		{"", server.URL + "/of-manifest", "/of-manifest"},
		{server.URL + "/of-env", "http://192.0.2.1:1/", "/of-env"},
	} {
		at := place()
		at.API = c.api
		cloud, err := ucloud.New(ucloud.Config{PublicKey: publicKey, PrivateKey: privateKey, BaseURL: c.env, Patience: quick()}, at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cloud.Bases(t.Context(), nil); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if got := paths[len(paths)-1]; got != c.want {
			t.Errorf("%+v: got path %q", c, got)
		}
	}
	if _, err := ucloud.New(ucloud.Config{PublicKey: publicKey}, place()); err == nil {
		t.Error("without a private key: got no error")
	}
}

// TestNothingOnStdout: the SDK's logger writes there.
func TestNothingOnStdout(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdout := os.Stdout
	os.Stdout = f
	defer func() { os.Stdout = stdout }()
	s := newScripted(t)
	s.answer = func(w http.ResponseWriter, _ url.Values, try int) bool {
		if try == 1 {
			cut(w)
		} else {
			reply(w, "RetCode", 171, "Message", "no")
		}
		return true
	}
	if _, err := s.cloud(t).Bases(t.Context(), nil); err == nil {
		t.Error("got no error")
	}
	if data, err := os.ReadFile(f.Name()); err != nil || len(data) != 0 {
		t.Errorf("got %q, %v, want nothing", data, err)
	}
}

// TestPages: more images than a page has, a list that grows while it is read, and a server with pages of its own size.
func TestPages(t *testing.T) {
	s := newScripted(t)
	s.images = nil
	for i := range 250 {
		s.images = append(s.images, baseImage(fmt.Sprintf("uimage-%d", i), fmt.Sprintf("CentOS 7.%d", i), i))
	}
	got, err := s.cloud(t).Bases(t.Context(), nil)
	if err != nil || len(got) != 250 || len(s.calls("DescribeImage")) != 3 {
		t.Errorf("got %d images, %v in %d calls, want 250 in 3", len(got), err, len(s.calls("DescribeImage")))
	}
	var once sync.Once
	s.answer = func(_ http.ResponseWriter, form url.Values, _ int) bool {
		if form.Get("Offset") == "100" { // the first goes, all others move up, and one that was to come is passed over
			once.Do(func() { s.images = s.images[1:] })
		}
		return false
	}
	if got, err = s.cloud(t).Bases(t.Context(), nil); err != nil || len(got) != 249 {
		t.Errorf("while one goes: got %d images, %v, want 249", len(got), err)
	}
	s.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
		form.Set("Limit", "7")
		reply(w, "ImageSet", page(s.images, form), "TotalCount", len(s.images))
		return true
	}
	if got, err = s.cloud(t).Bases(t.Context(), nil); err != nil || len(got) != 249 {
		t.Errorf("small pages: got %d images, %v, want 249", len(got), err)
	}
}
