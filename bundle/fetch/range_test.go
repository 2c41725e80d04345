package fetch_test

import (
	"testing"

	"github.com/offbake/offbake/bundle/fetch"
)

func TestContentRange(t *testing.T) {
	for text, want := range map[string]struct {
		first, total int64
		ok           bool
	}{
		"bytes 10-15/16": {10, 16, true},
		"bytes 0-0/1":    {0, 1, true},
		"bytes 10-15/*":  {10, -1, true},
		"bytes 9223372036854775806-9223372036854775806/9223372036854775807": {9223372036854775806, 9223372036854775807, true},
		"":                         {},
		"bytes */16":               {}, // of a 416
		"bytes 10-15":              {},
		"bytes 15-10/16":           {},
		"bytes 10-16/16":           {}, // past the end
		"bytes 10-15/-1":           {},
		"bytes +10-15/16":          {},
		"bytes -5/16":              {},
		"bytes 10-15/16 ":          {},
		"bytes  10-15/16":          {},
		"Bytes 10-15/16":           {},
		"bytes 10-15/16, 20-25/26": {},
		"items 10-15/16":           {},
		"bytes 9223372036854775808-9223372036854775808/*": {}, // over int64
	} {
		first, total, err := fetch.ParseContentRange(text)
		if (err == nil) != want.ok || want.ok && (first != want.first || total != want.total) {
			t.Errorf("%q: got %d, %d, %v, want %+v", text, first, total, err, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 10-15/16")
	f.Add("bytes 10-15/*")
	f.Fuzz(func(t *testing.T, text string) {
		first, total, err := fetch.ParseContentRange(text)
		if err != nil {
			return
		}
		if first < 0 || total != -1 && total <= first {
			t.Errorf("%q: got %d, %d", text, first, total)
		}
	})
}
