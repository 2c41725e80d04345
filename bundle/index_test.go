package bundle_test

import (
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle"
)

// TestHostileIndex signs indexes that break a rule with a trusted key: a signature makes no path safe.
func TestHostileIndex(t *testing.T) {
	t.Parallel()
	o := mustSample(t)
	good, err := o.Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	tarBytes := readFile(t, writeTar(t, o))
	for fault, change := range indexFaults() {
		t.Run(fault, func(t *testing.T) {
			data := change(string(good))
			if data == string(good) {
				t.Fatal("the fault changes nothing")
			}
			x, err := bundle.ParseIndex([]byte(data))
			var format *bundle.FormatError
			if !errors.As(err, &format) || !bundle.Refused(err) {
				t.Fatalf("got %+v, %v, want a FormatError", x, err)
			}
			sig, err := key(t).Sign([]byte(data), bundle.TrustedComment(o.Index))
			if err != nil {
				t.Fatal(err)
			}
			all := entries(t, tarBytes)
			all[0].data, all[0].Size = data, int64(len(data))
			all[1].data, all[1].Size = string(sig), int64(len(sig))
			refused(t, writeFile(t, filepath.Join(t.TempDir(), "x.tar"), assemble(t, all), 0o644))
		})
	}
}

func indexFaults() map[string]func(string) string {
	faults := map[string]func(string) string{
		"empty":               func(string) string { return "" },
		"null":                func(string) string { return "null\n" },
		"no line end":         func(s string) string { return strings.TrimSuffix(s, "\n") },
		"two line ends":       func(s string) string { return s + "\n" },
		"two values":          func(s string) string { return s + s },
		"space":               swap(`{"schema"`, `{ "schema"`),
		"HTML escaping":       swap("<1&2>", `\u003c1\u00262\u003e`),
		"unknown field":       swap(`"platform"`, `"extra":1,"platform"`),
		"field twice":         swap(`"platform"`, `"name":"test","platform"`),
		"field in other case": swap(`"platform"`, `"Platform"`),
		"field missing":       swap(`"platform":"linux/amd64",`, ""),
		"files null":          func(s string) string { return s[:strings.Index(s, `"files":`)] + `"files":null}` + "\n" },
		"variables null":      swap(`{"v":"<1&2>"}`, "null"),
		"invalid UTF-8":       swap("<1&2>", "\xff"),
		"control in variable": swap("<1&2>", `\u0001`),
		"other schema":        swap("offbake/bundle/1", "offbake/bundle/2"),
		"name empty":          swap(`"name":"test"`, `"name":""`),
		"name upper case":     swap(`"name":"test"`, `"name":"Test"`),
		"name a path":         swap(`"name":"test"`, `"name":"../x"`),
		"version short":       swap("1.2.3-rc.1", "1.2"),
		"version with v":      swap("1.2.3-rc.1", "v1.2.3"),
		"version empty":       swap("1.2.3-rc.1", ""),
		"platform":            swap("linux/amd64", "linux"),
		"created with offset": swap("07:08:09Z", "07:08:09+00:00"),
		"created fraction":    swap("07:08:09Z", "07:08:09.5Z"),
		"created no date":     swap("2024-05-06T07:08:09Z", ""),
		"inputs":              swap(`"inputs":"e`, `"inputs":"E`),
		"size negative":       swap(`"size":512`, `"size":-1`),
		"size with exponent":  swap(`"size":512`, `"size":512e0`),
		"size a fraction":     swap(`"size":512`, `"size":512.0`),
		"size out of range":   swap(`"size":512`, `"size":9223372036854775808`),
		"sum short":           swap(`"sha256":"`, `"sha256":"0`),
		"sum upper case":      swap(`"sha256":"`+sum([]byte(strings.Repeat("b", 512))), `"sha256":"`+strings.ToUpper(sum([]byte(strings.Repeat("b", 512))))),
		"mode":                swap(`"mode":"0755"`, `"mode":"4755"`),
		"kind":                swap(`"kind":"file"`, `"kind":"evil"`),
		"kind missing":        swap(`"kind":"file"`, `"kind":""`),
		"origin control":      swap(`"kind":"file"`, `"kind":"file","origin":"\u001b[2J"`),
		"verified control":    swap(`"kind":"file"`, `"kind":"file","verified":"\u0000"`),
		"evidence missing":    swap(`"kind":"file"`, `"kind":"file","evidence":["none"]`),
		"evidence twice":      swap(`"kind":"file"`, `"kind":"file","evidence":["bin/tool","bin/tool"]`),
		"evidence empty":      swap(`"kind":"file"`, `"kind":"file","evidence":[]`),
	}
	maps.Copy(faults, pathFaults())
	return faults
}

func pathFaults() map[string]func(string) string {
	path := func(to string) func(string) string {
		quoted, err := json.Marshal(to)
		if err != nil {
			panic(err)
		}
		return swap(`"manifest.yaml"`, string(quoted))
	}
	return map[string]func(string) string{
		"path empty":             path(""),
		"path of dot":            path("."),
		"path absolute":          path("/manifest"),
		"path above":             path("../manifest"),
		"path above inside":      path("files/../../manifest"),
		"path not clean":         path("m//manifest"),
		"path ends in slash":     path("m/"),
		"path with dot":          path("./m"),
		"path with backslash":    path(`m\..\evil`),
		"path with newline":      path("m\nx"),
		"path with escape":       path("m\x1b"),
		"path with NUL":          path("m\x00"),
		"path turns text":        path("m\u202egnp"),
		"path zero width":        path("m\u200b"),
		"path line separator":    path("m\u2028"),
		"path decomposed":        path("n\u0061\u0308"),
		"path too long":          path("m/" + strings.Repeat("n/", 600) + "x"),
		"name too long":          path(strings.Repeat("m", 256)),
		"path out of order":      path("a"),
		"path twice":             path("files/two words"),
		"path of the index":      path("bundle.json"),
		"path of a signature":    path("bundle.json.minisig"),
		"path like a signature":  path("bundle.json.later.minisig"),
		"path below the index":   path("bundle.json/x"),
		"index in other case":    swap(`"bin/tool"`, `"Bundle.JSON"`),
		"sums in other case":     path("sha256sums"),
		"path differs by case":   swap(`"files/block"`, `"files/BLOCKS"`),
		"folder differs by case": path("filEs/x"),
		"file is a folder":       path("files/two words/x"),
	}
}

func swap(from, to string) func(string) string {
	return func(s string) string { return strings.Replace(s, from, to, 1) }
}
