package solve

// String is the step as a person would say it.
func (s Step) String() string {
	by := ""
	if s.By != nil {
		by = s.By.NEVRA()
		if s.Installed {
			by = "installed " + by
		}
	}
	switch s.How {
	case Asked:
		return s.Package.NEVRA() + " was asked for as \"" + s.Spec + "\""
	case Conflicts:
		return by + " excludes the version that is installed, by " + s.Dep.String()
	case Displaces:
		return by + " takes the place of " + s.Old.NEVRA() + ", of which the installed version requires " + s.Dep.String()
	case Accompanies:
		return by + " needs it in the same version"
	case Supplements:
		return "it supplements " + by + " by " + s.Dep.String()
	}
	return by + " " + string(s.How) + " " + s.Dep.String()
}
