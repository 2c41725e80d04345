package source

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

// ParseSums reads a SHA256SUMS document, as sha256sum writes it: 64 hex digits, two spaces (or a space and a star), a
// plain file name. It returns the digests, lower-case, by name. One line that is anything else spoils it, and so does
// a name with two digests.
func ParseSums(data []byte) (map[string]string, error) {
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" {
			continue
		}
		digest, name, ok := strings.Cut(line, " ")
		name = strings.TrimPrefix(strings.TrimPrefix(name, " "), "*")
		raw, err := hex.DecodeString(digest)
		if !ok || err != nil || len(raw) != 32 || name == "" || strings.ContainsAny(name, "/\\ \t\r") {
			return nil, fmt.Errorf("line %d: want a SHA-256 digest and a file name", n)
		}
		digest = hex.EncodeToString(raw)
		if old, twice := sums[name]; twice && old != digest {
			return nil, fmt.Errorf("line %d: %q has two digests", n, name)
		}
		sums[name] = digest
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return sums, nil
}
