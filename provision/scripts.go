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
	comment     = regexp.MustCompile(`(?m)(^|[ \t])#.*$`)
	commandEnd  = regexp.MustCompile(`[;&|()\n]`)
	packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
)

// installs are the calls of "yum install" or "dnf install" in a shell script, with the words that are names of packages as
// they stand, or a variable that stands for a package's file. It sees only what a reader sees at a glance: no loops, no
// other variables, no quotes with spaces in them. served are the files that the variables take.
func installs(script string, variables []packageFile, served map[string]string) []solve.Call {
	var out []solve.Call
	script = strings.ReplaceAll(comment.ReplaceAllString(script, ""), "\\\n", " ")
	for _, command := range commandEnd.Split(script, -1) {
		words := strings.Fields(command)
		i := slices.IndexFunc(words, func(s string) bool { return s == "yum" || s == "dnf" })
		j := slices.Index(words, "install")
		if i < 0 || j < i {
			continue
		}
		c := solve.Call{Lenient: true}
		for _, word := range words[j+1:] {
			if strings.ContainsAny(word, "<>") {
				break
			}
			word = strings.Trim(word, `"'`)
			for _, v := range variables {
				name, file := strings.ToUpper(v.variable), served[v.variable]
				if file != "" && (word == "$"+name || word == "${"+name+"}") {
					c.Files = append(c.Files, solve.File{Path: file, Package: v.pkg})
				}
			}
			if packageName.MatchString(word) {
				c.Install = append(c.Install, word)
			}
		}
		if len(c.Install)+len(c.Files) > 0 {
			out = append(out, c)
		}
	}
	return out
}
