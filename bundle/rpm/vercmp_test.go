package rpm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

// versions are those that rpm holds its own comparison to (rpm's tests/rpmvercmp.at), and some that are as nasty.
func versions() []string {
	return strings.Fields(`1.0 2.0 2.0.1 2.0.1a 5.5p1 5.5p2 5.5p10 10xyz 10.1xyz xyz10 xyz10.1 xyz.4 8 2 5.6p1 6.5p1 6.0.rc1 6.0 10b2 10a1 10a2
		1.0aa 1.0a 10.0001 10.1 10.0039 4.999.9 5.0 20101121 20101122 2_0 a a+ a_ +a _a +_ _+ + _
		1.0~rc1 1.0~rc2 1.0~rc1~git123 1.0^ 1.0^git1 1.0^git2 1.01 1.0^20160101 1.0.1 1.0^20160101^git1 1.0^20160102 1.0~rc1^git1 1.0^git1~pre 1.0^git1~pre1
		1b.fc17 1.fc17 1g.fc17 1.1.á á1 ~ ^ ~~ ^^ ~^ ^~ 0 00 01 0a a0 . .. 1. 1.~ 1.^ 1~. 1^. ^1 ~1 1^^ 1~~ 1^~ 1~^ 1.0.^ 0^20250512.g8ec1341
		9999999999999999999999 99999999999999999999990 1.0-1 1:0.1-1 1:0.1 0:1.0-1 2:0^1-1~1 0:1.0-1^a 1.0-1~rc1`)
}

// TestCompareAsRPMItself asks the rpm of this machine about each pair.
func TestCompareAsRPMItself(t *testing.T) {
	list := filepath.Join(t.TempDir(), "versions")
	if err := os.WriteFile(list, []byte(strings.Join(versions(), "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rpm", "--eval", `%{lua:
		local all = {}
		for v in io.lines(os.getenv("VERSIONS")) do table.insert(all, v) end
		for _, a in ipairs(all) do for _, b in ipairs(all) do print(rpm.vercmp(a, b) .. " ") end end
	}`)
	cmd.Env = append(cmd.Environ(), "VERSIONS="+list)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running rpm: %v: %s", err, &stderr)
	}
	answers := strings.Fields(string(out))
	all := versions()
	if len(answers) != len(all)*len(all) {
		t.Fatalf("got %d answers for %d versions: %s", len(answers), len(all), &stderr)
	}
	for i, a := range all {
		for j, b := range all {
			want, err := strconv.Atoi(answers[i*len(all)+j])
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(a, "-") != strings.Contains(b, "-") {
				continue // a dependency without release means every release; to rpm.vercmp it is older
			}
			if got := rpm.ParseEVR(a).Compare(rpm.ParseEVR(b)); got != want {
				t.Errorf("%s with %s: got %d, want %d", a, b, got, want)
			}
		}
	}
	if slices.Index(answers, "-1") < 0 || slices.Index(answers, "1") < 0 {
		t.Error("got no difference at all")
	}
}
