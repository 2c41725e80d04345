package rpm

import "fmt"

// Dep is one dependency: a name, and the versions of it that count. A rich dependency is kept as its text, which begins
// with "(", in Name.
type Dep struct {
	Name  string
	EVR   *EVR // nil for every version; shared, never to be modified
	Flags Flags
}

// String is the dependency in rpm's notation, "containerd.io >= 1.2.2-3".
func (d Dep) String() string {
	if d.EVR == nil {
		return d.Name
	}
	return d.Name + " " + d.Flags.operator() + " " + d.EVR.String()
}

// Meets says whether a provide d satisfies a requirement: the names are the same and the versions that they mean have one
// in common. A side without a version means every version.
func (d Dep) Meets(required Dep) bool {
	if d.Name != required.Name {
		return false
	}
	if d.EVR == nil || required.EVR == nil {
		return true
	}
	switch c := d.EVR.Compare(*required.EVR); {
	case c < 0:
		return d.Flags&Greater != 0 || required.Flags&Less != 0
	case c > 0:
		return d.Flags&Less != 0 || required.Flags&Greater != 0
	}
	return d.Flags&required.Flags&senseMask != 0
}

// Flags say how a dependency compares versions and when it is needed.
type Flags uint8

// The bits of Flags. Less, Greater and Equal combine, and have the values of RPM's RPMSENSE.
const (
	Pre     Flags = 1 << 0 // needed by a scriptlet before or right after the package is unpacked
	Less    Flags = 1 << 1
	Greater Flags = 1 << 2
	Equal   Flags = 1 << 3

	senseMask = Less | Greater | Equal
)

// String is the notation of repository metadata: "EQ", "LT", "LE", "GT", "GE", or "" when versions are not compared.
func (f Flags) String() string {
	switch f & senseMask {
	case Equal:
		return "EQ"
	case Less:
		return "LT"
	case Less | Equal:
		return "LE"
	case Greater:
		return "GT"
	case Greater | Equal:
		return "GE"
	}
	return ""
}

func (f Flags) operator() string {
	op := ""
	if f&Less != 0 {
		op += "<"
	}
	if f&Greater != 0 {
		op += ">"
	}
	if f&Equal != 0 {
		op += "="
	}
	return op
}

func parseFlags(s string) (Flags, error) {
	switch s {
	case "":
		return 0, nil
	case "EQ":
		return Equal, nil
	case "LT":
		return Less, nil
	case "LE":
		return Less | Equal, nil
	case "GT":
		return Greater, nil
	case "GE":
		return Greater | Equal, nil
	}
	return 0, fmt.Errorf("got comparison %q, want EQ, LT, LE, GT or GE", s)
}

// parseOperator reads a comparison as rpm writes it: "=", "<", "<=", ">", ">=", or "" for none.
func parseOperator(s string) (Flags, error) {
	var flags Flags
	for _, c := range s {
		switch c {
		case '<':
			flags |= Less
		case '>':
			flags |= Greater
		case '=':
			flags |= Equal
		default:
			return 0, fmt.Errorf("got comparison %.20q, want =, <, <=, > or >=", s)
		}
	}
	return flags, nil
}
