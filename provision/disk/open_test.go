package disk_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/disk"
)

// tree makes a folder with the given files; a text that begins with "->" is a link.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func centos() map[string]string {
	return map[string]string{
		"usr/sbin/init": "init", "sbin": "->usr/sbin", "usr/lib/os-release": "ID=\"centos\"\nVERSION_ID=\"7\"\n",
		"etc/os-release": "->../usr/lib/os-release", "etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n",
		"etc/fstab": "# /dev/vdb /var ext4\nUUID=1234 / ext4 defaults 1 1\nUUID=5678 /boot ext4 defaults 1 2\n/dev/vda3 none swap\ntmpfs /var/run tmpfs\n/dev/vdb1 /var/x ext4 noauto\nshort\n",
	}
}

// oneSystem makes a small disk with a system in its first partition.
func oneSystem(t testing.TB, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a disk,with=odd:name.img")
	writeDisk(t, path, 10*mib, part{offset: mib, size: 8 * mib, tree: tree(t, files)})
	return path
}

// mounted is the folder where the base of a cloud in work is mounted.
func mounted(t testing.TB, work string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(work, "disks", "base-*", "root"))
	if err != nil || len(found) != 1 {
		t.Fatalf("got mounts %v, %v, want one", found, err)
	}
	return found[0]
}

func digest(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// newWork is a work folder that must be clean in the end.
func newWork(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(workDir(), "work-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func systemName(t testing.TB, b *disk.Cloud) disk.System {
	t.Helper()
	intent, err := b.Intend(t.Context(), provision.Base{}, manifest.Image{}, provision.Capture{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range intent.Calls {
		if c.Action == "ImportCustomImage" {
			return disk.System{Type: c.Parameters["OsType"], Name: c.Parameters["OsName"]}
		}
	}
	t.Fatalf("got calls %v, want an import", intent.Calls)
	return disk.System{}
}

func TestFormats(t *testing.T) {
	raw := oneSystem(t, centos())
	for _, tt := range []struct{ name, convert string }{
		{"raw", `cp "$1" "$2"`},
		{"qcow2", `qemu-img convert -f raw -O qcow2 -c "$1" "$2"`},
		{"sparse VMDK", `qemu-img convert -f raw -O vmdk "$1" "$2"`},
		{"streamed VMDK", `qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$1" "$2"`},
		{"dynamic VHD", `qemu-img convert -f raw -O vpc "$1" "$2"`},
		{"exact VHD", `qemu-img convert -f raw -O vpc -o force_size=on "$1" "$2"`},
		{"fixed VHD", `qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on "$1" "$2"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, work := filepath.Join(t.TempDir(), "disk"), newWork(t)
			sh(t, tt.convert, raw, path)
			want := digest(t, path)
			b, err := open(t, disk.Config{Base: path, Work: work})
			if err != nil {
				t.Fatal(err)
			}
			base, err := b.Base(t.Context(), manifest.Image{})
			if err != nil || base != (provision.Base{ID: want, Name: "disk"}) {
				t.Errorf("got base %v, %v, want %s", base, err, want)
			}
			root := mounted(t, work)
			if got, err := os.ReadFile(filepath.Join(root, "etc/centos-release")); err != nil || !strings.HasPrefix(string(got), "CentOS") {
				t.Errorf("got %q, %v", got, err)
			}
			if err := os.WriteFile(filepath.Join(root, "new"), nil, 0o644); err == nil {
				t.Error("wrote to the base")
			}
			if got, want := systemName(t, b), (disk.System{Type: "CentOS", Name: "CentOS 7.9 64位"}); got != want {
				t.Errorf("got system %v, want %v", got, want)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if left := leftBehind(work); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
			if got := digest(t, path); got != want {
				t.Errorf("the base was changed: got %s, want %s", got, want)
			}
		})
	}
}

func TestSystems(t *testing.T) {
	with := func(files map[string]string) map[string]string {
		all := centos()
		for path, text := range files {
			delete(all, path)
			if text != "" {
				all[path] = text
			}
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  disk.System
	}{
		{"link to an absolute path", with(map[string]string{"etc/os-release": "->/usr/lib/os-release"}), disk.System{Type: "CentOS", Name: "CentOS 7.9 64位"}},
		{"no minor number", with(map[string]string{"etc/centos-release": ""}), disk.System{Type: "CentOS", Name: "CentOS 7 64位"}},
		{"minor number of another", with(map[string]string{"etc/centos-release": "CentOS release 6.5"}), disk.System{Type: "CentOS", Name: "CentOS 7 64位"}},
		{"Ubuntu", with(map[string]string{"usr/lib/os-release": "NAME=x\nID=ubuntu\nVERSION_ID='20.04'\n"}), disk.System{Type: "Ubuntu", Name: "Ubuntu 20.04 64位"}},
		{"Debian", with(map[string]string{"usr/lib/os-release": "ID=debian\nVERSION_ID=\"10\"\n", "etc/debian_version": "10.13\n"}), disk.System{Type: "Debian", Name: "Debian 10.13 64位"}},
		{"unknown", with(map[string]string{"usr/lib/os-release": "ID=rocky\nVERSION_ID=\"9.1\"\n"}), disk.System{Type: "Other", Name: "Other"}},
		{"no release", with(map[string]string{"usr/lib/os-release": "", "etc/os-release": ""}), disk.System{Type: "Other", Name: "Other"}},
		{"link out of the tree", with(map[string]string{"etc/os-release": "->../../../../../etc/os-release", "usr/lib/os-release": ""}), disk.System{Type: "Other", Name: "Other"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := systemName(t, mustOpen(t, disk.Config{Base: oneSystem(t, tt.files), Work: newWork(t)})); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	b := mustOpen(t, disk.Config{Base: oneSystem(t, centos()), Work: newWork(t), System: disk.System{Name: "CentOS 7.6 64位"}})
	if got, want := systemName(t, b), (disk.System{Type: "CentOS", Name: "CentOS 7.6 64位"}); got != want {
		t.Errorf("given: got %v, want %v", got, want)
	}
}

// TestRootPartition: which of several file systems is taken, and that a whole disk may be one.
func TestRootPartition(t *testing.T) {
	data := map[string]string{"etc/fstab": "", "marker": "data"}
	bare := map[string]string{"etc/fstab": "", "lib/systemd/systemd": "", "marker": "bare"}
	full := centos()
	full["marker"] = "full"
	at := func(i int64, files map[string]string, mkfs ...string) part {
		p := part{offset: i * 4 * mib, size: 4 * mib, tree: tree(t, files)}
		if mkfs != nil {
			p.mkfs = mkfs
		}
		return p
	}
	for _, tt := range []struct {
		name  string
		parts []part
		want  string // marker, or part of the error
	}{
		{"beside data and swap", []part{at(1, data), {offset: 8 * mib, size: mib, kind: 0x82}, at(3, bare)}, "bare"},
		{"the one with a release", []part{at(1, bare), at(2, full), at(3, bare)}, "full"},
		{"beside an extended partition", []part{{offset: 8 * mib, size: 8 * mib, kind: 5}, at(1, full)}, "full"},
		{"two without", []part{at(1, bare), at(2, bare)}, "partition 1 holds a system, partition 2 holds a system"},
		{"two with", []part{at(1, full), at(2, full)}, "partition 1 holds a system, partition 2 holds a system"},
		{"data alone", []part{at(1, data)}, "partition 1 holds other files"},
		{"empty", []part{{offset: mib, size: mib}}, "partition 1 holds nothing known"},
		{"ext3", []part{at(1, full, "mkfs.ext3")}, "full"},
		{"ext2", []part{at(1, full, "mkfs.ext2")}, "ext2, want ext3 or ext4"},
		{"without a journal", []part{at(1, full, "mkfs.ext4", "-O", "^has_journal")}, "full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, work := filepath.Join(t.TempDir(), "disk"), newWork(t)
			writeDisk(t, path, 16*mib, tt.parts...)
			b, err := open(t, disk.Config{Base: path, Work: work})
			if err != nil {
				wantUnusable(t, err, tt.want)
			} else {
				if got, _ := os.ReadFile(filepath.Join(mounted(t, work), "marker")); string(got) != tt.want {
					t.Errorf("got the file system with %q, want %q", got, tt.want)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
			if left := leftBehind(work); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
	t.Run("whole disk", func(t *testing.T) {
		path, work := filepath.Join(t.TempDir(), "disk"), newWork(t)
		writeDisk(t, path, 4*mib, part{size: 4 * mib, tree: tree(t, full)})
		overwrite(t, path, 0, strings.Repeat("\x00", 512)) // mkfs leaves that to boot loaders
		mustOpen(t, disk.Config{Base: path, Work: work})
		if got, _ := os.ReadFile(filepath.Join(mounted(t, work), "marker")); string(got) != "full" {
			t.Errorf("got %q, want full", got)
		}
	})
}

// wantUnusable checks that an error is about the base and says what is wrong.
func wantUnusable(t testing.TB, err error, want string) {
	t.Helper()
	var bad *disk.UnusableError
	if !errors.As(err, &bad) || !strings.Contains(bad.What, want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want a base that is unusable: %q", err, want)
	}
}

func overwrite(t testing.TB, path string, at int64, put string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(put), at); err != nil {
		t.Fatal(err)
	}
}

// TestUnusable edits a good disk (the first argument) into one that must be refused.
func TestUnusable(t *testing.T) {
	for _, tt := range []struct{ name, edit, want string }{
		{"not there any more", `rm "$1"; mkdir "$1"`, "not a regular file"},
		{"empty", `truncate -s 0 "$1"`, "got 0 bytes"},
		{"zeros", `truncate -s 0 "$1"; truncate -s 10M "$1"`, "neither an MBR nor"},
		{"cut off", `truncate -s 5M "$1"`, "cut off"},
		{"of 3 TiB", `truncate -s 3T "$1"`, "at most 2199023255552"},
		{"gzip", `gzip -n "$1"; mv "$1.gz" "$1"`, "compressed"},
		{"xz", `put 0 '\375\067zXZ\000'`, "compressed"},
		{"zstd", `zstd -q --rm "$1"; mv "$1.zst" "$1"`, "compressed"},
		{"VHDX", `qemu-img convert -O vhdx "$1" "$1.x"; mv "$1.x" "$1"`, "VHDX, want raw"},
		{"VMDK of two files", `qemu-img convert -O vmdk -o subformat=monolithicFlat "$1" "$1.x"; mv "$1.x" "$1"`, "in other files"},
		{"qcow2 over another", `mv "$1" "$1.b"; qemu-img create -q -f qcow2 -F raw -b "$1.b" "$1"`, "in another file"},
		{"qcow2 with another file", `mv "$1" "$1.b"; qemu-img convert -O qcow2 -o "data_file=$1.d" "$1.b" "$1"`, "in another file"},
		{"VMDK over another", `qemu-img convert -O vmdk "$1" "$1.b"; rm "$1"; qemu-img create -q -f vmdk -F vmdk -b "$1.b" "$1"`, "in another file"},
		{"qcow2 with a password", `qemu-img convert --object secret,id=s,data=x -O qcow2 -o encrypt.format=aes,encrypt.key-secret=s "$1" "$1.x"; mv "$1.x" "$1"`, "encrypted"},
		{"qcow2 of 4 TiB", `rm "$1"; qemu-img create -q -f qcow2 "$1" 4T`, "got a disk of 4398046511104 bytes"},
		{"qcow2 of nothing", `rm "$1"; qemu-img create -q -f qcow2 "$1" 512`, "got a disk of 512 bytes"},
		{"VHD of another type", `qemu-img convert -O vpc -o subformat=fixed,force_size=on "$1" "$1.x"; mv "$1.x" "$1"; put $((10 * 1024 * 1024 + 63)) '\004'`, "VHD of type 4"},
		{"VHD larger than its file", `qemu-img convert -O vpc -o subformat=fixed,force_size=on "$1" "$1.x"; mv "$1.x" "$1"; put $((10 * 1024 * 1024 + 48)) '\377'`, "VHD of type 2"},
		{"GPT", `put 450 '\356'`, "GPT"},
		{"xfs", `put $((1024 * 1024)) XFSB; put $((1024 * 1024 + 1080)) 'xx'`, "partition 1 holds xfs"},
		{"LVM", `put $((1024 * 1024 + 512)) LABELONE; put $((1024 * 1024 + 1080)) 'xx'`, "partition 1 holds an LVM volume"},
		{"mounted when it was copied", `put $((1024 * 1024 + 1024 + 58)) '\000'`, "not unmounted cleanly"},
		{"a disk and a file system", `put 1080 '\123\357'`, "which of the two counts"},
		{"broken", `debugfs -w -R 'clri /usr' "$2" 2>&1`, "partition 1 holds a broken file system: running e2fsck: exit status 4: \"Entry 'usr'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, work := oneSystem(t, centos()), newWork(t)
			plain := filepath.Join(filepath.Dir(path), "disk.img") // qemu-img's options cannot take every name
			if err := os.Rename(path, plain); err != nil {
				t.Fatal(err)
			}
			sh(t, `put() { printf "$2" | dd of="$f" bs=1 seek="$1" conv=notrunc status=none; }; f=$1; `+tt.edit, plain, plain+"?offset=1048576")
			_, err := open(t, disk.Config{Base: plain, Work: work})
			wantUnusable(t, err, tt.want)
			if left := leftBehind(work); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}

func TestOwnPartitions(t *testing.T) {
	for _, line := range []string{"/dev/vdb1 /var ext4 defaults 0 0", "UUID=1 /usr/local/ xfs", "LABEL=x /opt ext4 ro,nofail"} {
		files := centos()
		files["etc/fstab"] = "UUID=1234 / ext4 defaults 1 1\n" + line + "\n"
		_, err := open(t, disk.Config{Base: oneSystem(t, files), Work: newWork(t)})
		wantUnusable(t, err, "on a partition of its own")
	}
}

func TestOpenFails(t *testing.T) {
	path := oneSystem(t, centos())
	t.Run("no such file", func(t *testing.T) {
		if _, err := open(t, disk.Config{Base: path + "x", Work: newWork(t)}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want %v", err, os.ErrNotExist)
		}
	})
	t.Run("format", func(t *testing.T) {
		if _, err := open(t, disk.Config{Base: path, Work: newWork(t), Format: "VMDK"}); err == nil {
			t.Error("got nil, want an error")
		}
	})
	t.Run("no room", func(t *testing.T) {
		work := newWork(t)
		_, err := open(t, disk.Config{Base: path, Work: work, Parallel: 1 << 20})
		var room *disk.RoomError
		if !errors.As(err, &room) || room.Want < 1<<50 || room.Have <= 0 || room.Have >= room.Want {
			t.Errorf("got %v, want no room", err)
		}
		if left := leftBehind(work); left != "" {
			t.Errorf("left behind:\n%s", left)
		}
	})
	t.Run("programs", func(t *testing.T) {
		qcow2 := filepath.Join(t.TempDir(), "disk.qcow2")
		sh(t, `qemu-img convert -O qcow2 "$1" "$2"`, path, qcow2)
		bin := t.TempDir()
		for _, p := range []string{"cp", "e2fsck", "fstrim", "mount", "rsync", "sync", "umount"} {
			full, err := exec.LookPath(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(full, filepath.Join(bin, p)); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PATH", bin)
		for _, c := range []disk.Config{{Base: qcow2}, {Base: path, Format: disk.QCOW2}} {
			c.Work = newWork(t)
			if _, err := open(t, c); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "qemu-img") {
				t.Errorf("got %v, want that qemu-img is not found", err)
			}
		}
		if b, err := open(t, disk.Config{Base: path, Work: newWork(t)}); err != nil {
			t.Errorf("raw to raw: %v", err)
		} else if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := os.Remove(filepath.Join(bin, "rsync")); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, disk.Config{Base: path, Work: newWork(t)}); !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("without rsync: got %v, want %v", err, exec.ErrNotFound)
		}
	})
}

// TestTwoAtOnce: two processes may bake from one base, and neither takes what the other has for left over.
func TestTwoAtOnce(t *testing.T) {
	path, work := oneSystem(t, centos()), newWork(t)
	first, err := open(t, disk.Config{Base: path, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	root := mounted(t, work)
	second, err := open(t, disk.Config{Base: path, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/fstab")); err != nil {
		t.Errorf("after the other one ended: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if left := leftBehind(work); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
