package assemble

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/manifest"
)

// StaleLockError says that a lock is not one of the inputs at hand: they have changed since, or somebody edited it.
type StaleLockError struct{ Why string }

func (e *StaleLockError) Error() string { return "the lock is not of this manifest: " + e.Why }

// CheckLock compares a lock with the inputs, as far as that goes without the files: what it says of itself, and that it
// has a row for each thing that they name, and no other. Which packages there must be is known only when they are at hand;
// Fetch sees to them. What does not fit is a *StaleLockError.
func CheckLock(in *manifest.Inputs, lock *manifest.Lock) error {
	digest, err := in.Digest()
	if err != nil {
		return err
	}
	if lock.Inputs != digest {
		return &StaleLockError{"the inputs have changed since it was made"}
	}
	for _, c := range []struct{ what, got, want string }{
		{"name", lock.Name, in.Name},
		{"version", lock.Version, in.Version},
		{"platform", lock.Platform, in.Platform},
	} {
		if c.got != c.want {
			return &StaleLockError{fmt.Sprintf("%s: got %s, want %s", c.what, c.got, c.want)}
		}
	}
	if !maps.Equal(lock.Variables, in.Variables) {
		return &StaleLockError{"its variables have other values"}
	}
	return checkRows(wantedRows(in), lock.Rows)
}

// wantedRows are the rows that the inputs stand for, by path, as far as they are known before anybody is asked: all but
// the packages. An empty URL may be any.
func wantedRows(in *manifest.Inputs) map[string]manifest.Row {
	want := map[string]manifest.Row{}
	for _, r := range source.Releases(in) {
		want[r.Path] = manifest.Row{Kind: r.Kind, URL: r.URL + r.Zip, Mode: "0644"}
		evidence := []string{r.SumsPath(), r.SignaturePath()}
		if r.Key == "" {
			evidence = append(evidence, r.KeyPath())
		}
		for _, p := range evidence {
			want[p] = manifest.Row{Kind: manifest.KindEvidence, Mode: "0644"}
		}
	}
	for _, f := range in.Artifacts.Files {
		want[path.Join(manifest.FilesDir, f.Path)] = manifest.Row{Kind: manifest.KindFile, URL: f.URL, Mode: f.Mode}
	}
	return want
}

func checkRows(want map[string]manifest.Row, rows []manifest.Row) error {
	for _, row := range rows {
		if row.Kind == manifest.KindRPM {
			continue
		}
		w, ok := want[row.Path]
		switch {
		case !ok:
			return &StaleLockError{fmt.Sprintf("%q: the manifest does not ask for it", row.Path)}
		case row.Kind != w.Kind || row.Mode != w.Mode:
			return &StaleLockError{fmt.Sprintf("%q: got kind %s and mode %s, want %s and %s", row.Path, row.Kind, row.Mode, w.Kind, w.Mode)}
		case w.URL != "" && row.URL != w.URL:
			return &StaleLockError{fmt.Sprintf("%q: got URL %s, want %s", row.Path, row.URL, w.URL)}
		}
		delete(want, row.Path)
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		return &StaleLockError{fmt.Sprintf("it has no row for %q", p)}
	}
	return nil
}
