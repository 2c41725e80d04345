package assemble

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"time"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/manifest"
)

//go:embed page.html
var pageHTML string

// page is index.html: what a person sees who serves the bundle, or opens its folder. It lists every file but itself.
func page(lock *manifest.Lock, files []bundle.File) ([]byte, error) {
	t, err := template.New("index.html").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("reading the page's template: %w", err)
	}
	var total int64
	for _, f := range files {
		total += f.Size
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Lock    *manifest.Lock
		Created string
		Files   []bundle.File
		Bytes   int64
	}{lock, lock.Created.UTC().Format(time.RFC3339), files, total})
	if err != nil {
		return nil, fmt.Errorf("writing %q: %w", "index.html", err)
	}
	return b.Bytes(), nil
}
