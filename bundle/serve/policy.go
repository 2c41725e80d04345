package serve

import (
	"encoding/base64"
	"encoding/json"
)

// policy is what a store looks at of an upload policy.
type policy struct {
	CallbackURL string `json:"callbackUrl"`
}

// maxPolicy bounds a policy's text.
const maxPolicy = 16 << 10

// parsePolicy reads an upload policy as it is signed and sent: a JSON object in URL-safe base64 (ufile-gosdk v1.0.7
// file.go:297).
func parsePolicy(text string) (policy, error) {
	if len(text) > maxPolicy {
		return policy{}, badRequest("upload policy: got %d bytes, want at most %d", len(text), maxPolicy)
	}
	raw, err := base64.URLEncoding.Strict().DecodeString(text)
	if err != nil {
		return policy{}, badRequest("upload policy: not base64")
	}
	var p *policy // null is no object
	if err := json.Unmarshal(raw, &p); err != nil || p == nil {
		return policy{}, badRequest("upload policy: not a JSON object")
	}
	return *p, nil
}
