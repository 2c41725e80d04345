package provision

import (
	"regexp"
	"slices"
	"strings"
)

var (
	comment   = regexp.MustCompile(`(?m)(^|[ \t])#.*$`)
	quoted    = regexp.MustCompile(`'[^'\n]*'|"[^"\n]*"`)
	special   = regexp.MustCompile("[;&|()<>`]")
	redirect  = regexp.MustCompile(`[0-9]*[<>]&[0-9-]?|&>>?`)
	operator  = regexp.MustCompile(`&&|\|\||;;|[;|&()\n]`)
	interpret = regexp.MustCompile(`^#![^\n]*sh\b`)
	// foreign is what may bring packages from elsewhere, or make a repository.
	foreign = regexp.MustCompile(`\.rpm\b|\.repo\b|repos\.d\b|createrepo|add-repo`)
)

// command is one simple command of a shell script.
type command struct {
	words []string // as they stand, quotes included; those that belong to the structure left out
	// plain says that the script gets there as it is run from its beginning and foresees no failure: at the top level, in no
	// pipe or list that deals with failure, and after nothing that makes it doubtful.
	plain bool

	before, after string // operators, "" at the ends
	inside        bool   // of a compound command or a function
	opens         bool   // begins with a word of structure
	doubt         bool
}

// commands are the commands of a script as a reader sees them at a glance. It is no shell: where it does not understand, it
// says of none after it that they are plain.
func commands(script string) []command {
	doubt := strings.HasPrefix(script, "#!") && !interpret.MatchString(script)
	script = strings.ReplaceAll(comment.ReplaceAllString(script, ""), "\\\n", " ")
	script = quoted.ReplaceAllStringFunc(script, func(s string) string {
		if special.MatchString(s) { // an argument that is not one word, whatever it is
			return s[:1] + "-" + s[:1]
		}
		return s
	})
	script = redirect.ReplaceAllString(script, " > ")
	var out []command
	var open nesting
	before := ""
	add := func(text, after string) {
		c := command{words: strings.Fields(text), before: before, after: after, inside: len(open) > 0}
		if after == "\n" && len(c.words) == 0 && slices.Contains([]string{"&&", "||", "|"}, before) {
			return // the list goes on
		}
		c.opens = open.enter(&c.words)
		c.inside = c.inside || len(open) > 0
		doubt = doubt || strings.Contains(text, "<<") || strings.Count(text, `"`)%2 != 0 || strings.Count(text, "'")%2 != 0 ||
			strings.Contains(text, "`") || foreign.MatchString(text)
		c.doubt = doubt
		doubt = doubtful(c.words, doubt)
		out = append(out, c)
		if before = after; after == "(" || after == ")" {
			open.paren(after)
		}
	}
	for {
		at := operator.FindStringIndex(script)
		if at == nil {
			break
		}
		add(script[:at[0]], script[at[0]:at[1]])
		script = script[at[1]:]
	}
	add(script, "")
	for i := range out {
		out[i].plain = !out[i].doubt && !out[i].inside && follows(out[:i+1]) && stands(out[i:])
	}
	return out
}

// nesting are the words that began the compound commands that are open.
type nesting []string

// enter takes words of structure off the front of a command and keeps count of what they open and close.
func (n *nesting) enter(words *[]string) (structure bool) {
	for w := *words; len(w) > 0; w = w[1:] {
		*words = w
		switch w[0] {
		case "if", "while", "until", "{":
			*n = append(*n, w[0])
		case "for", "case", "select":
			*n = append(*n, w[0])
			return true
		case "function":
			if w[len(w)-1] == "{" {
				*n = append(*n, "{")
			}
			return true
		case "fi", "done", "esac", "}":
			*n = (*n)[:max(len(*n)-1, 0)]
		case "then", "else", "elif", "do", "!", "time":
		default:
			return structure
		}
		structure = true
	}
	return structure
}

// paren counts parentheses; that after a pattern of case closes nothing.
func (n *nesting) paren(p string) {
	if p == "(" {
		*n = append(*n, p)
	} else if last := len(*n) - 1; last >= 0 && (*n)[last] == "(" {
		*n = (*n)[:last]
	}
}

// doubtful says whether it is uncertain what happens after a command: it may have ended the script, or told the shell to go
// on after failures.
func doubtful(words []string, before bool) bool {
	if len(words) == 0 {
		return before
	}
	arg := strings.Join(words[1:], " ")
	switch words[0] {
	case "exit", "return":
		return before || arg == "" || arg == "0" || strings.HasPrefix(arg, "$")
	case "exec":
		return before || arg != "" && !strings.ContainsAny(arg, "<>")
	case "set":
		return before || strings.HasPrefix(arg, "+") && strings.Contains(arg, "e")
	}
	return before
}

// follows says whether the last of the commands is reached whatever those before it in its list do, or unless a call of the
// package manager fails.
func follows(all []command) bool {
	c := all[len(all)-1]
	switch c.before {
	case "", ";", "\n", "&":
		return !c.opens
	case "|":
		return !c.opens && follows(all[:len(all)-1])
	case "&&":
		left := all[len(all)-2]
		return !c.opens && changes(left.words) && follows(all[:len(all)-1])
	}
	return false
}

// changes says whether words are a call of the package manager that is no question.
func changes(words []string) bool {
	at, verb := manager(words)
	return at && slices.Contains([]string{"install", "update", "upgrade", "makecache", "clean", "remove", "erase"}, verb)
}

// manager says whether words call yum or dnf and nothing else, and with which verb.
func manager(words []string) (is bool, verb string) {
	for len(words) > 0 && (words[0] == "sudo" || assigns.MatchString(words[0])) {
		if words = words[1:]; len(words) > 0 && words[0] == "-E" {
			words = words[1:]
		}
	}
	if len(words) == 0 || words[0] != "yum" && words[0] != "dnf" {
		return false, ""
	}
	for _, word := range arguments(words[1:]) {
		return true, word
	}
	return true, ""
}

var assigns = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// stands says whether a failure of the first of the commands is left to the shell.
func stands(all []command) bool {
	switch c := all[0]; c.after {
	case "", ";", "\n":
		return true
	case "&&":
		return len(all) > 1 && !all[1].opens && stands(all[1:])
	}
	return false
}
