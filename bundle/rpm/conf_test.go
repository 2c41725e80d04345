package rpm_test

import (
	"strings"
	"testing"

	"github.com/offbake/offbake/bundle/rpm"
)

func TestConf(t *testing.T) {
	conf := string(rpm.Conf(rpm.ConfOptions{Keys: []string{"b", "a", "b"}}))
	for _, want := range []string{
		"\nreposdir=/dev/null\n", "\nlocalpkg_gpgcheck=1\n", "\ninstall_weak_deps=0\n", "\nmodule_hotfixes=1\n",
		"\nbaseurl=file:///var/lib/offbake/rpms\n",
		"\ngpgkey=file:///var/lib/offbake/rpms/keys/a\n       file:///var/lib/offbake/rpms/keys/b\n",
	} {
		if strings.Count(conf, want) != 1 {
			t.Errorf("got %q, want %q once", conf, want)
		}
	}
	if got := strings.Count(conf, "\ngpgcheck=1\n"); got != 2 {
		t.Errorf("got gpgcheck on %d times, want it in both sections", got)
	}
	if again := string(rpm.Conf(rpm.ConfOptions{Keys: []string{"a", "b"}})); again != conf {
		t.Errorf("got %q for the same keys in another order, want %q", again, conf)
	}
	if weak := string(rpm.Conf(rpm.ConfOptions{Weak: true})); !strings.Contains(weak, "\ninstall_weak_deps=1\n") || strings.Contains(weak, "\ngpgkey=") {
		t.Errorf("got %q, want weak dependencies and no key", weak)
	}
}
