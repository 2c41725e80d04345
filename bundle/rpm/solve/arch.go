package solve

import (
	"strings"

	"github.com/offbake/offbake/bundle/rpm"
)

// archRank orders architectures as libsolv's arch policies do: 0 cannot run, 1 is noarch, then a lower one is better. The
// upper half is the class: two of different classes do not take each other's place.
type archRank uint32

const (
	rankNone   archRank = 0
	rankNoarch archRank = 1

	rankClass = 0xffff0000
)

// archRanks are the architectures that a host of arch can run, with their ranks.
func archRanks(arch string) map[string]archRank {
	ranks := map[string]archRank{"noarch": rankNoarch}
	for i, a := range rpm.Archs(arch) {
		ranks[a] = archRank(0x10001 + i*0x10000)
	}
	return ranks
}

// sameClass says whether a package of rank a may take the place of one of rank b.
func sameClass(a, b archRank) bool { return (a^b)&rankClass == 0 }

// color is the width of what an architecture runs: packages of one name and different colors may stand side by side, as
// libraries for 32 and 64 bits do.
type color uint8

const (
	color32  color = 1
	color64  color = 2
	colorAny       = color32 | color64
)

func (e *entry) color() color {
	switch {
	case e.rank <= rankNoarch:
		return colorAny
	case e.Arch == "s390x" || strings.Contains(e.Arch, "64"):
		return color64
	}
	return color32
}

// sameColor says whether two packages of one name would take each other's place.
func (p *Pool) sameColor(a, b pid) bool {
	x, y := &p.pkgs[a], &p.pkgs[b]
	return x.Arch == y.Arch || x.color()&y.color() != 0
}

// illegalArch says whether replacing the installed package a by b would change its architecture.
func (p *Pool) illegalArch(a, b pid) bool {
	ra, rb := p.pkgs[a].rank, p.pkgs[b].rank
	if p.pkgs[a].Arch == p.pkgs[b].Arch || ra == rankNoarch || rb == rankNoarch {
		return false
	}
	return !sameClass(ra, rb)
}
