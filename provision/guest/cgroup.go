package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// controlGroup is the name of the guest's control group, or of its scope where systemd runs this machine.
func controlGroup(name string) string { return "offbake-" + strings.TrimPrefix(name, "offbake-") }

// systemdRuns reports whether systemd is this machine's own init: sd_booted(3).
func systemdRuns() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// removeControlGroups removes what nspawn made and the guest's systemd filled.
func removeControlGroups(ctx context.Context, name string) error {
	if systemdRuns() {
		return stopScope(ctx, controlGroup(name)+".scope")
	}
	var all error
	for _, root := range controlGroupRoots() {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(root, controlGroup(name)), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
		for _, dir := range slices.Backward(dirs) { // children stand after their parents
			err := whileBusy(ctx, func() error { return os.Remove(dir) })
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				all = errors.Join(all, err)
			}
		}
	}
	return all
}

// stopScope waits until systemd has dropped a scope, which it does some time after its last process ended.
func stopScope(ctx context.Context, scope string) error {
	const notLoaded = 5 // systemctl(1), EXIT STATUS
	var exit *exec.ExitError
	out, err := exec.CommandContext(ctx, "systemctl", "stop", scope).CombinedOutput()
	if err == nil || errors.As(err, &exit) && exit.ExitCode() == notLoaded {
		return nil
	}
	return fmt.Errorf("stopping %s: %w (%s)", scope, err, bytes.TrimSpace(out))
}

// controlGroupRoots are the hierarchies in which systemd keeps processes apart: cgroup2 and, of version 1, its own.
func controlGroupRoots() []string {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var roots []string
	for line := range strings.Lines(string(info)) {
		before, after, ok := strings.Cut(line, " - ")
		at, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(at) < 5 || len(kind) < 3 {
			continue
		}
		if kind[0] == "cgroup2" || kind[0] == "cgroup" && strings.Contains(kind[2], "name=systemd") {
			roots = append(roots, unescape(at[4]))
		}
	}
	return roots
}

// unescape undoes the octal escapes of proc_pid_mountinfo(5).
func unescape(s string) string {
	for i := 0; i+3 < len(s); i++ {
		if s[i] == '\\' {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				s = s[:i] + string(rune(c)) + s[i+4:]
			}
		}
	}
	return s
}

// removeNspawnFolder removes the empty folder that systemd-nspawn leaves where /run is no tmpfs, or where it was killed.
func removeNspawnFolder(name string) error {
	err := os.Remove(filepath.Join("/run/systemd/nspawn/propagate", machineName(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// machineName is the guest's name for systemd-nspawn, which takes no more than a host name's 64 bytes.
func machineName(name string) string {
	if len(name) <= 64 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:47] + "-" + hex.EncodeToString(sum[:8])
}
