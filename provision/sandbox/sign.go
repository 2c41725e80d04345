package sandbox

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/bundle/ufile"
)

// authorize checks who asks. The codes are those of the service's gateway.
func authorize(tree map[string]any, key ufile.KeyPair) error {
	public, _ := tree["PublicKey"].(string)
	got, _ := tree["Signature"].(string)
	if public == "" || got == "" {
		return &apiError{170, "Missing signature"}
	}
	if public != key.Public {
		return &apiError{172, "User not found"}
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(sign(tree, key.Private))) != 1 {
		return &apiError{171, "Signature VerifyAC Error"}
	}
	return nil
}

// sign computes the signature of a request's parameters: the hex SHA-1 of all names and values, sorted by name, without
// Signature, and the private key (ucloud-sdk-go v0.22.98 ucloud/auth/signature.go).
func sign(tree map[string]any, private string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if name != "Signature" {
			b.WriteString(name)
			writeSigned(&b, tree[name])
		}
	}
	b.WriteString(private)
	sum := sha1.Sum([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// writeSigned writes one value as it is signed: maps by sorted name, lists in order, numbers without an exponent.
func writeSigned(b *strings.Builder, v any) {
	switch v := v.(type) {
	case string:
		b.WriteString(v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case json.Number:
		b.WriteString(plainNumber(v))
	case []any:
		for _, e := range v {
			writeSigned(b, e)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(name)
			writeSigned(b, v[name])
		}
	}
}

func plainNumber(n json.Number) string {
	if !strings.ContainsAny(n.String(), ".eE") {
		return n.String()
	}
	f, err := n.Float64()
	if err != nil {
		return n.String()
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
