package disk

import (
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// otherSystem is what the cloud calls systems that it does nothing for.
const otherSystem = "Other"

// smallFile bounds what is read of a file in a base.
const smallFile = 1 << 20

// isSystem reports whether a tree is that of a system which can be booted.
func isSystem(root *os.Root) bool {
	if info, err := root.Stat("etc"); err != nil || !info.IsDir() {
		return false
	}
	return slices.ContainsFunc([]string{"sbin/init", "usr/sbin/init", "usr/lib/systemd", "lib/systemd"},
		func(name string) bool { return exists(root, name) })
}

// exists does not follow name itself: a link to an absolute path leads out of the tree and is there all the same.
func exists(root *os.Root, name string) bool {
	_, err := root.Lstat(name)
	return err == nil
}

// readText reads a small text file of a base; "" where there is none. What is no regular file may do anything when it is
// opened.
func readText(root *os.Root, name string) (string, error) {
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return "", nil //nolint:nilerr // missing, or leading out of the tree
	}
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, smallFile))
	return string(data), err
}

// systemOf reads what a system calls itself (os-release(5)) and says it in the cloud's words.
func systemOf(root *os.Root) (System, error) {
	text, err := readText(root, "etc/os-release")
	if text == "" && err == nil {
		text, err = readText(root, "usr/lib/os-release") // where a link leads by an absolute path
	}
	if err != nil {
		return System{}, err
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	kinds := map[string]string{"centos": "CentOS", "ubuntu": "Ubuntu", "rhel": "RedHat", "debian": "Debian"}
	kind, version := kinds[values["ID"]], values["VERSION_ID"]
	if kind == "" || version == "" {
		return System{otherSystem, otherSystem}, nil
	}
	// Only the old file has the minor number: "CentOS Linux release 7.9.2009 (Core)", "10.13".
	for _, name := range []string{"etc/centos-release", "etc/redhat-release", "etc/debian_version"} {
		text, err := readText(root, name)
		if err != nil {
			return System{}, err
		}
		if v := regexp.MustCompile(`\b\d+\.\d+`).FindString(text); strings.HasPrefix(v, version+".") {
			version = v
		}
	}
	return System{kind, kind + " " + version + " 64位"}, nil
}

// labels reports whether the system in a folder labels its files (SELinux): what is written on this machine has no label
// and could not be read there before the system has labelled all anew, which it does when there is a file /.autorelabel.
func labels(dir string) (bool, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	text, err := readText(root, "etc/selinux/config")
	return regexp.MustCompile(`(?m)^\s*SELINUX\s*=\s*(enforcing|permissive)\s*$`).MatchString(text), err
}

// checkMounts fails when the system keeps a part of its files that a bake needs on another partition (fstab(5)).
func checkMounts(root *os.Root) error {
	text, err := readText(root, "etc/fstab")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || !onDisk(f[0]) {
			continue
		}
		at := path.Clean(f[1])
		if len(f) > 3 && slices.Contains(strings.Split(f[3], ","), "noauto") || !fs.ValidPath(strings.TrimPrefix(at, "/")) {
			continue
		}
		if slices.ContainsFunc([]string{"/usr", "/var", "/etc", "/opt", "/root", "/lib", "/lib64", "/bin", "/sbin"}, func(dir string) bool {
			return at == dir || strings.HasPrefix(at, dir+"/")
		}) {
			return unusablef("%s is on a partition of its own (%s), want one root file system", at, f[0])
		}
	}
	return nil
}

// onDisk reports whether an fstab names a disk.
func onDisk(source string) bool {
	return strings.HasPrefix(source, "/dev/") || strings.HasPrefix(source, "UUID=") || strings.HasPrefix(source, "LABEL=") ||
		strings.HasPrefix(source, "PARTUUID=") || strings.HasPrefix(source, "PARTLABEL=")
}
