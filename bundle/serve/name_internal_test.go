package serve

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzName holds the file names of keys to what keeps the store safe: each key has one, it stays in the folder, file
// systems take it, and it is read back as the same key.
func FuzzName(f *testing.F) {
	for _, key := range []string{"a", "..", "../..", "/", "a/b", "=a", "+a", "%2F", "\x00", "\xff", strings.Repeat("é", 512), strings.Repeat(".", 401)} {
		f.Add(key)
	}
	d := &disk{dir: "/store"}
	f.Fuzz(func(t *testing.T, key string) {
		name := escapeName(key)
		if back, err := unescapeName(name); err != nil || back != key {
			t.Errorf("%q became %q, then %q, %v", key, name, back, err)
		}
		path := d.path(key)
		if filepath.Clean(path) != path || !strings.HasPrefix(path, "/store/objects/") {
			t.Errorf("%q is at %q", key, path)
		}
		pieces := strings.Split(strings.TrimPrefix(path, "/store/objects/"), "/")
		joined := ""
		for i, piece := range pieces {
			if want := folderPrefix; len(piece) > 255 || i < len(pieces)-1 && piece[:1] != want {
				t.Errorf("%q: piece %q", key, piece)
			}
			joined += piece[1:]
		}
		if pieces[len(pieces)-1][:1] != filePrefix || joined != name {
			t.Errorf("%q is at %q", key, path)
		}
	})
}

func FuzzUnescapeName(f *testing.F) {
	for _, name := range []string{"a", "%2F", "%2f", "%41", "%", "%2", "a/b", "é"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if key, err := unescapeName(name); err == nil && escapeName(key) != name {
			t.Errorf("%q reads as %q, which is written %q", name, key, escapeName(key))
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("hvfkN_qlp_zhXR3cuerq6jd2Z7g=          1              1700000000\n"))
	f.Add(make([]byte, recordSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != recordSize {
			return
		}
		if p, err := parseRecord(b); err == nil && p.ETag == "" && strings.Trim(string(b), "\x00") != "" {
			t.Errorf("%q reads as no part", b)
		}
	})
}
