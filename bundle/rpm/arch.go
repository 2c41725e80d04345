package rpm

import "strings"

// Arch is RPM's word for the architecture of a platform such as "linux/amd64".
func Arch(platform string) string {
	if strings.HasSuffix(platform, "/arm64") {
		return "aarch64"
	}
	return "x86_64"
}

// Archs are the architectures whose packages a host of arch can run, its own first and then from better to worse, noarch
// apart (libsolv poolarch.c, as Debian builds it).
func Archs(arch string) []string {
	switch arch {
	case "x86_64":
		return []string{"x86_64", "i686", "i586", "i486", "i386"}
	case "i686":
		return []string{"i686", "i586", "i486", "i386"}
	case "i586":
		return []string{"i586", "i486", "i386"}
	case "s390x":
		return []string{"s390x", "s390"}
	case "ppc64":
		return []string{"ppc64", "ppc"}
	case "armv7hl":
		return []string{"armv7hl", "armv6hl"}
	}
	return []string{arch}
}
