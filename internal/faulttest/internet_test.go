package faulttest_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/offbake/offbake/internal/faulttest"
)

const sums = "https://releases.hashicorp.com/consul/1.6.1/consul_1.6.1_SHA256SUMS"

func newInternet(t *testing.T) *faulttest.Internet {
	t.Helper()
	n, err := faulttest.NewInternet("one")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.PutProduct("consul", "1.6.1", []byte("consul")); err != nil {
		t.Fatal(err)
	}
	if err := n.PutProvider("null", "2.1.2", 4, []byte("null")); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestInternetIsAFunctionOfItsSeed(t *testing.T) {
	a, b := newInternet(t), newInternet(t)
	keyA, errA := a.Key()
	keyB, errB := b.Key()
	if errA != nil || errB != nil || !bytes.Equal(keyA, keyB) {
		t.Errorf("one seed gave two keys: %v, %v", errA, errB)
	}
	if len(a.Addresses()) != 6 || !slices.Equal(a.Addresses(), b.Addresses()) {
		t.Errorf("got %q and %q, want the same six addresses", a.Addresses(), b.Addresses())
	}
	for _, address := range a.Addresses() {
		if !bytes.Equal(a.Get(address), b.Get(address)) || len(a.Get(address)) == 0 {
			t.Errorf("%s: got other bytes from the same seed, or none", address)
		}
	}
	if other, err := faulttest.NewInternet("two"); err != nil || other.KeyID() == a.KeyID() {
		t.Errorf("another seed gave the same key, %v", err)
	}
}

func TestInternetServesWhatItsVendorSigned(t *testing.T) {
	n := newInternet(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.rpm"), []byte("rpm"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.PutFolder("https://vendor.example/el7/", dir); err != nil {
		t.Fatal(err)
	}
	server := faulttest.NewServer(t, n)
	rt, err := n.RoundTripper(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func(address string) (int, []byte) {
		t.Helper()
		resp, err := (&http.Client{Transport: rt}).Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	_, doc := get(sums)
	_, sig := get(server.URL + "/releases.hashicorp.com/consul/1.6.1/consul_1.6.1_SHA256SUMS.sig")
	key, err := n.Key()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openpgp.CheckDetachedSignature(ring, bytes.NewReader(doc), bytes.NewReader(sig), nil); err != nil {
		t.Errorf("the vendor's signature: %v", err)
	}
	if code, body := get("https://vendor.example/el7/x.rpm"); code != 200 || string(body) != "rpm" {
		t.Errorf("a file of a folder: got %d %q", code, body)
	}
	n.Remove(sums)
	if code, _ := get(sums); code != 404 {
		t.Errorf("a removed address: got %d, want 404", code)
	}
	if want := []string{"https://releases.hashicorp.com/", "https://vendor.example/"}; !slices.Equal(n.Hosts(), want) {
		t.Errorf("got hosts %q, want %q", n.Hosts(), want)
	}
}
