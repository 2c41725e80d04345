package provision

import (
	"regexp"
	"slices"
	"strings"

	"github.com/offbake/offbake/bundle/rpm/solve"
)

// maxScript bounds what is read of a script, bytes.
const maxScript = 1 << 20

var (
	packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
	// takesValue are options of yum and dnf whose value may be the next word.
	takesValue = regexp.MustCompile(`^(-[cdeRx]|--(config|debuglevel|errorlevel|randomwait|exclude|excludepkgs|enablerepo|disablerepo|repo|` +
		`repoid|repofrompath|installroot|releasever|setopt|rpmverbosity|color|downloaddir|destdir|comment|forcearch|enableplugin|disableplugin))$`)
	// forgives are options with which a name that nothing has need not matter, or not to this host.
	forgives = regexp.MustCompile(`^--(skip-broken|installroot|repofrompath|assumeno|help|version|setopt)\b`)
)

// installs are the calls of "yum install" or "dnf install" in a shell script, with the words that are names of packages as
// they stand, or a variable that stands for a package's file. It sees only what a reader sees at a glance: no loops, no
// other variables, no quotes with spaces in them. served are the files that the variables take. Calls are lenient but for
// those that the script makes in any case and without regard to their failure.
func installs(script string, variables []packageFile, served map[string]string) []solve.Call {
	var out []solve.Call
	for _, command := range commands(script) {
		words := command.words
		i := slices.IndexFunc(words, func(s string) bool { return s == "yum" || s == "dnf" })
		j := slices.Index(words, "install")
		if i < 0 || j < i {
			continue
		}
		is, verb := manager(words)
		c := solve.Call{Lenient: !command.plain || !is || verb != "install" || slices.ContainsFunc(words, forgives.MatchString)}
		for _, word := range arguments(words[j+1:]) {
			word = strings.Trim(word, `"'`)
			file := solve.File{}
			for _, v := range variables {
				name := strings.ToUpper(v.variable)
				if path := served[v.variable]; path != "" && (word == "$"+name || word == "${"+name+"}") {
					file = solve.File{Path: path, Package: v.pkg}
				}
			}
			switch {
			case file.Path != "":
				c.Files = append(c.Files, file)
			case packageName.MatchString(word):
				c.Install = append(c.Install, word)
			default: // it may be what makes another name good
				c.Lenient = true
			}
		}
		if len(c.Install)+len(c.Files) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// arguments are the words of a call of yum or dnf that are no options, up to where its output is sent.
func arguments(words []string) []string {
	var out []string
	for i := 0; i < len(words) && !strings.ContainsAny(words[i], "<>"); i++ {
		switch {
		case takesValue.MatchString(words[i]):
			i++
		case !strings.HasPrefix(words[i], "-"):
			out = append(out, words[i])
		}
	}
	return out
}
