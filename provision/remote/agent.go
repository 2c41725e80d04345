package remote

import (
	"debug/elf"
	"fmt"
)

// CheckAgent fails unless the file is a program that a host of the platform can run. Connect does it too; callers that
// make a host first do it before.
func CheckAgent(path, platform string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("checking agent %q: %w", path, err)
	}
	defer f.Close()
	machines := map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}
	want, known := machines[platform]
	switch {
	case !known:
		return fmt.Errorf("checking agent %q: there is none for platform %q", path, platform)
	case f.Machine != want:
		return fmt.Errorf("checking agent %q: got a program for %v, want %v", path, f.Machine, want)
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return fmt.Errorf("checking agent %q: got ELF type %v, want a program", path, f.Type)
	}
	return nil
}
