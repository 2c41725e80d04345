package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/offbake/offbake/provision/disk"
)

// TestLoop attaches a part of a file in the way of today's kernels and of old ones.
func TestLoop(t *testing.T) {
	path := filepath.Join(newWork(t), "disk")
	writeDisk(t, path, 3*mib)
	overwrite(t, path, 2*mib-512, "before")
	overwrite(t, path, 2*mib, "here")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, attach := range map[string]func(*os.File, int64, int64, bool) (*os.File, error){"new": disk.Attach, "old": disk.AttachOld} {
		for _, write := range []bool{false, true} {
			loop, err := attach(f, 2*mib, 512, write)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := make([]byte, 1024)
			if n, _ := loop.ReadAt(got, 0); n != 512 || string(got[:4]) != "here" {
				t.Errorf("%s: got %d bytes %q, want 512", name, n, got[:4])
			}
			if _, err := loop.WriteAt([]byte("here"), 0); (err == nil) != write {
				t.Errorf("%s, to be written to %t: got %v", name, write, err)
			}
			if err := loop.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if left := leftBehind(path); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
