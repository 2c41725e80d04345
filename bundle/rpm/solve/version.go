package solve

import (
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

const senseMask = rpm.Less | rpm.Greater | rpm.Equal

// comparePackages orders versions of packages. Unlike rpm.EVR.Compare it counts a missing release as older.
func comparePackages(a, b rpm.EVR) int {
	if c := a.Compare(b); c != 0 || (a.Release == "") == (b.Release == "") {
		return c
	}
	if a.Release == "" {
		return -1
	}
	return 1
}

// sameEVR says whether two versions are written alike, which is more than to compare as equal.
func sameEVR(a, b rpm.EVR) bool { return normalEVR(a) == normalEVR(b) }

// normalEVR leaves out an epoch of 0, so that the ways to write it are one.
func normalEVR(e rpm.EVR) rpm.EVR {
	if e.Epoch != "" && strings.Trim(e.Epoch, "0") == "" {
		e.Epoch = ""
	}
	return e
}

// meets says whether a provide satisfies what is required of its name: the versions that the two mean have one in common.
// Release counts where both have one; where only one has, the other means all releases of its version, which its comparison
// has to include (libsolv pool.c, pool_match_flags_evr).
func meets(provide, require rpm.Dep) bool {
	if provide.EVR == nil || require.EVR == nil {
		return true
	}
	has, want := provide.Flags&senseMask, require.Flags&senseMask
	switch {
	case has == 0 || want == 0:
		return false
	case has == senseMask || want == senseMask || has&want&(rpm.Less|rpm.Greater) != 0:
		return true
	}
	if provide.EVR == require.EVR {
		return has&want&rpm.Equal != 0
	}
	switch c := provide.EVR.Compare(*require.EVR); {
	case c < 0:
		return want&rpm.Less != 0 || has&rpm.Greater != 0
	case c > 0:
		return want&rpm.Greater != 0 || has&rpm.Less != 0
	case provide.EVR.Release == "" && require.EVR.Release != "":
		return has&rpm.Equal != 0
	case provide.EVR.Release != "" && require.EVR.Release == "":
		return want&rpm.Equal != 0
	}
	return has&want&rpm.Equal != 0
}

// obsoletesEVR says whether a package of version evr is one that an obsolete of its name means.
func obsoletesEVR(evr rpm.EVR, obs rpm.Dep) bool {
	if obs.EVR == nil {
		return true
	}
	return meets(rpm.Dep{EVR: &evr, Flags: rpm.Equal}, obs)
}
