package ufile

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// KeyPair is an API key or token. Private is secret.
type KeyPair struct{ Public, Private string }

// String leaves the private key out, so that no log or error shows it.
func (k KeyPair) String() string { return "key " + k.Public }

// GoString is String for %#v.
func (k KeyPair) GoString() string { return k.String() }

// Request is what a signature covers. The query is never part of it.
type Request struct {
	Method string
	Bucket string
	Key    string // raw, not URL-encoded; "" for listings
	Header http.Header
	// Expires takes the place of the Date header in a presigned URL: Unix seconds, as text.
	Expires string
	// Policy is an upload policy as it is sent, in base64; "" for none.
	Policy string
}

// StringToSign is the text that is signed (ufile-gosdk v1.0.7 auth.go:34; X-UCloud-* headers as the service's
// documentation says: lower-case, sorted, values joined by a comma).
func (r Request) StringToSign() string {
	date := r.Header.Get("Date")
	if r.Expires != "" {
		date = r.Expires
	}
	return strings.ToUpper(r.Method) + "\n" + r.Header.Get("Content-Md5") + "\n" + r.Header.Get("Content-Type") + "\n" +
		date + "\n" + canonicalHeaders(r.Header) + "/" + r.Bucket + "/" + r.Key + r.Policy
}

func canonicalHeaders(h http.Header) string {
	var lines []string
	for name, values := range h {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, "x-ucloud-") {
			continue
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.TrimSpace(v)
		}
		lines = append(lines, name+":"+strings.Join(trimmed, ",")+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Sign returns the signature alone: what a presigned URL carries.
func (k KeyPair) Sign(r Request) string {
	mac := hmac.New(sha1.New, []byte(k.Private))
	mac.Write([]byte(r.StringToSign()))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Verify reports, in constant time, whether signature is k's over r.
func (k KeyPair) Verify(r Request, signature string) bool {
	return hmac.Equal([]byte(k.Sign(r)), []byte(signature))
}

// Authorization is the value of the Authorization header.
func (k KeyPair) Authorization(r Request) string {
	return Authorization{Public: k.Public, Signature: k.Sign(r), Policy: r.Policy}.String()
}

const authScheme = "UCloud "

// Authorization is an Authorization header taken apart.
type Authorization struct {
	Public    string
	Signature string
	Policy    string // "" for none
}

// ParseAuthorization reads a header's value: "UCloud PUBLIC:SIGNATURE" or "UCloud PUBLIC:SIGNATURE:POLICY".
func ParseAuthorization(header string) (Authorization, error) {
	rest, ok := strings.CutPrefix(header, authScheme)
	parts := strings.Split(rest, ":")
	if !ok || len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		// The value is not quoted: a mistyped one may hold a secret.
		return Authorization{}, fmt.Errorf("authorization header: want %q", authScheme+"PUBLICKEY:SIGNATURE[:POLICY]")
	}
	a := Authorization{Public: parts[0], Signature: parts[1]}
	if len(parts) == 3 {
		a.Policy = parts[2]
	}
	return a, nil
}

// String is the header's value.
func (a Authorization) String() string {
	s := authScheme + a.Public + ":" + a.Signature
	if a.Policy != "" {
		s += ":" + a.Policy
	}
	return s
}
