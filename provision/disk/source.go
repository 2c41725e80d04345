package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dustin/go-humanize"
)

// maxSize is what an MBR can address.
const maxSize = 1 << 32 * sectorSize

// suggestedSize is what the cloud says an imported disk should not exceed (facts/ucloud.md, section 5).
const suggestedSize = 50 << 30

// headroom is what is asked for on top of a base's own bytes, for each disk: about what recipes install.
const headroom = 1 << 30

// disk is an open base.
type disk struct {
	file *os.File    // as it was given
	info os.FileInfo // of file, when it was opened
	raw  *os.File    // its sectors: file itself, or what it was converted to
	size int64       // of the disk in bytes; raw may be longer

	part   partition // with the root file system
	system System
}

// openDisk opens the base, converts it in dir if need be, and mounts its root file system.
func openDisk(ctx context.Context, c Config, dir *folder) (_ *disk, err error) {
	d := &disk{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.file, err = os.Open(c.Base); err != nil {
		return nil, err
	}
	if d.info, err = d.file.Stat(); err != nil {
		return nil, err
	}
	if !d.info.Mode().IsRegular() {
		return nil, unusable("not a regular file")
	}
	kind, size, err := formatOf(d.file, d.info.Size())
	if err != nil {
		return nil, err
	}
	d.raw, d.size = d.file, size
	need := allocated(d.info)
	if kind != "" {
		if err := checkForeign(ctx, kind, c.Base); err != nil {
			return nil, err
		}
		if need, err = measure(ctx, kind, c.Base); err != nil {
			return nil, err
		}
	}
	if err := c.haveRoom(dir.path, need, kind != ""); err != nil {
		return nil, err
	}
	if kind != "" {
		if err := d.convert(ctx, kind, dir.file("base.raw")); err != nil {
			return nil, err
		}
	}
	return d, d.mountRoot(ctx, c, dir.root())
}

func (d *disk) close() error {
	if d.raw != nil && d.raw != d.file {
		d.raw.Close() // only read
	}
	if d.file != nil {
		d.file.Close()
	}
	return nil
}

// unchanged fails when the base is not the file any more that was opened: programs were given its name.
func (d *disk) unchanged() error {
	info, err := os.Stat(d.file.Name())
	if err != nil {
		return err
	}
	if !os.SameFile(info, d.info) || info.Size() != d.info.Size() || !info.ModTime().Equal(d.info.ModTime()) {
		return errors.New("it changed while it was read")
	}
	return nil
}

// formatOf tells a disk image's format by its own marks: qemu-img's name of it and 0, or "" and the disk's size where the
// sectors begin the file. It never guesses from the name.
func formatOf(f io.ReaderAt, size int64) (kind string, diskSize int64, err error) {
	head, foot := make([]byte, min(32, size)), make([]byte, min(sectorSize, size))
	if _, err := f.ReadAt(head, 0); err != nil {
		return "", 0, err
	}
	if _, err := f.ReadAt(foot, size-int64(len(foot))); err != nil {
		return "", 0, err
	}
	starts := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case starts("QFI\xfb"):
		return "qcow2", 0, nil
	case starts("KDMV"):
		return "vmdk", 0, nil
	case starts("conectix"):
		return "vpc", 0, nil
	case bytes.HasPrefix(foot, []byte("conectix")):
		diskSize, err := fixedVHD(foot, size)
		return "", diskSize, err
	case starts("# Disk DescriptorFile"):
		return "", 0, unusable("a VMDK that keeps its content in other files; convert it to one file first")
	case starts("vhdxfile"):
		return "", 0, unusable("VHDX, want raw, qcow2, VMDK or VHD")
	case starts("\x1f\x8b"), starts("\xfd7zXZ\x00"), starts("\x28\xb5\x2f\xfd"), starts("BZh"):
		return "", 0, unusable("compressed; unpack it first")
	case size > maxSize:
		return "", 0, unusablef("got %d bytes, want at most %d", size, int64(maxSize))
	}
	return "", size, nil
}

// fixedVHD reads the footer of a fixed VHD, whose sectors begin the file ("Virtual Hard Disk Image Format Specification",
// Hard Disk Footer Format).
func fixedVHD(foot []byte, size int64) (int64, error) {
	current, kind := binary.BigEndian.Uint64(foot[48:]), binary.BigEndian.Uint32(foot[60:])
	if kind != 2 || current == 0 || current > uint64(size-sectorSize) || current > maxSize {
		return 0, unusablef("a VHD of type %d and %d bytes in a file of %d, want type 2 and less", kind, current, size)
	}
	return int64(current), nil
}

// foreign is what qemu-img says of an image (qemu-img(1), info --output=json).
type foreign struct {
	Size      int64  `json:"virtual-size"`
	Format    string `json:"format"`
	Backing   string `json:"backing-filename"`
	Full      string `json:"full-backing-filename"`
	Encrypted bool   `json:"encrypted"`
	Specific  struct {
		Data struct {
			File    string `json:"data-file"`
			Corrupt bool   `json:"corrupt"`
			Extents []struct {
				File string `json:"filename"`
			} `json:"extents"`
		} `json:"data"`
	} `json:"format-specific"`
}

// checkForeign refuses an image that is not whole in its own file: what it names may be any file of this machine.
func checkForeign(ctx context.Context, kind, path string) error {
	out, err := program{name: "qemu-img", args: []string{"info", "--output=json", "-f", kind, path}}.output(ctx)
	if err != nil {
		return err
	}
	var x foreign
	if err := json.Unmarshal(out, &x); err != nil {
		return err
	}
	s := x.Specific.Data
	other := x.Backing + x.Full + s.File
	for _, e := range s.Extents {
		if filepath.Clean(e.File) != path {
			other += e.File
		}
	}
	switch {
	case x.Format != kind:
		return unusablef("got format %q, want %q", x.Format, kind)
	case other != "":
		return unusablef("a part of it is in another file (%q); convert it to one file first", other)
	case x.Encrypted:
		return unusable("it is encrypted")
	case s.Corrupt:
		return unusable("qemu-img says that it is corrupt")
	case x.Size < 2*superSize || x.Size > maxSize:
		return unusablef("got a disk of %d bytes, want at most %d", x.Size, int64(maxSize))
	}
	return nil
}

// blockdev names an image to qemu-img as a file and nothing else, whatever characters the name has.
func blockdev(kind, path string) string {
	node := map[string]any{"driver": kind, "read-only": true, "file": map[string]any{"driver": "file", "filename": path}}
	switch kind {
	case "qcow2":
		node["backing"] = nil
	case "vpc": // by default it rounds down to cylinders, which cuts off disks that others made
		node["force_size_calc"] = "current_size"
	}
	text, err := json.Marshal(node)
	if err != nil {
		panic(err) // texts and truths only
	}
	return "json:" + string(text)
}

// measure returns how many bytes an image takes as a sparse file of sectors.
func measure(ctx context.Context, kind, path string) (int64, error) {
	out, err := program{name: "qemu-img", args: []string{"measure", "--output=json", "-O", "raw", blockdev(kind, path)}}.output(ctx)
	if err != nil {
		return 0, err
	}
	var x struct {
		Required int64 `json:"required"`
	}
	return x.Required, json.Unmarshal(out, &x)
}

// convert makes a sparse file of the base's sectors.
func (d *disk) convert(ctx context.Context, kind, to string) error {
	args := []string{"convert", "-O", "raw", blockdev(kind, d.file.Name()), to}
	if _, err := (program{name: "qemu-img", args: args}).output(ctx); err != nil {
		return err
	}
	raw, err := os.Open(to)
	if err != nil {
		return err
	}
	d.raw = raw
	info, err := raw.Stat()
	if err != nil {
		return err
	}
	d.size = info.Size()
	return nil
}

// allocated is how many bytes of a file are not holes.
func allocated(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(st.Blocks*512, info.Size()) // the kernel's unit, whatever the file system's
	}
	return info.Size()
}

// haveRoom fails when there is no room in dir for what bakes will write: a copy of the base's need bytes for each image
// that is made at once, another in the wanted format, and one where the base itself is converted.
func (c Config) haveRoom(dir string, need int64, converted bool) error {
	each := need + headroom
	if c.Format != RAW {
		each *= 2
	}
	want := each * int64(max(c.Parallel, 1))
	if converted {
		want += need
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if have := int64(st.Bavail) * st.Bsize; have < want {
		return &RoomError{Folder: filepath.Dir(dir), Have: have, Want: want}
	}
	return nil
}

// RoomError is a folder without room for the disks that would be made.
type RoomError struct {
	Folder     string
	Have, Want int64 // bytes
}

func (e *RoomError) Error() string {
	return "making room in \"" + e.Folder + "\": got " + humanize.IBytes(uint64(e.Have)) + " free, want " + humanize.IBytes(uint64(e.Want))
}

// readerAt reads all of f from its beginning, until ctx ends.
func readerAt(ctx context.Context, f *os.File) io.Reader {
	return reader{ctx, io.NewSectionReader(f, 0, 1<<62)}
}

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
