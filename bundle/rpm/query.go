package rpm

// Query is the command that prints the package set of a host: for each package a line P (name, epoch, version, release,
// architecture), then what it provides (p), requires (r), conflicts with (c), obsoletes (o), and its files (f). It is the
// form of rpms.base in a manifest. It works from rpm 4.11 on; depflags prints the sign of a comparison, or nothing.
func Query() []string {
	return []string{"rpm", "-qa", "--qf", `P|%{NAME}|%{EPOCHNUM}|%{VERSION}|%{RELEASE}|%{ARCH}\n` +
		`[p|%{PROVIDENAME}|%{PROVIDEFLAGS:depflags}|%{PROVIDEVERSION}\n]` +
		`[r|%{REQUIRENAME}|%{REQUIREFLAGS:depflags}|%{REQUIREVERSION}\n]` +
		`[c|%{CONFLICTNAME}|%{CONFLICTFLAGS:depflags}|%{CONFLICTVERSION}\n]` +
		`[o|%{OBSOLETENAME}|%{OBSOLETEFLAGS:depflags}|%{OBSOLETEVERSION}\n]` +
		`[f|%{FILENAMES}\n]`}
}
