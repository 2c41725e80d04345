package remote_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/remote"
	"github.com/offbake/offbake/provision/seal"
)

// standIn is one for the agent: a shell, which is a small program and takes the verb for the name of a script in the folder that
// commands begin in. sealable gives a server that script.
func standIn(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("dash")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func sealable(t *testing.T, prepare, config string) (*sshd, *remote.Host) {
	t.Helper()
	script, err := filepath.Abs("testdata/agent.sh")
	if err != nil {
		t.Fatal(err)
	}
	s := startSSHD(t, "cp "+script+" $1/home/"+seal.Verb+"\n"+prepare, config)
	c := s.config()
	c.Agent = standIn(t)
	return s, s.connect(t, c)
}

// TestSeal copies a stand-in for the agent to real hosts and calls it there.
func TestSeal(t *testing.T) {
	t.Parallel()
	const noGzip = `mkdir -p /run/bin
for p in sh cat chmod mkdir mv rm sha256sum stat ls ln grep; do ln -s "$(command -v $p)" /run/bin/$p; done
`
	for name, c := range map[string]struct{ prepare, config, mounts string }{
		"as most have it":       {"", "", "0\n(exit status 1)"},
		"without gzip":          {noGzip, "SetEnv PATH=/run/bin", "0\n(exit status 1)"},
		"no programs from /run": {"mount -o remount,noexec /run\n", "", "1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, h := sealable(t, c.prepare, c.config)
			check := func(program, want string) {
				t.Helper()
				if got := sh(t, h, program); got != want {
					t.Errorf("%s: got %q, want %q", program, got, want)
				}
			}
			if c.config != "" {
				check("command -v gzip", "(exit status 127)")
			}
			for range 2 {
				if err := h.Seal(t.Context(), seal.Address()); err != nil {
					t.Fatal(err)
				}
				check("stat -c '%a %U %F' /run/offbake /run/offbake/offbake", "700 root directory\n700 root regular file\n")
				check("[ -e /run/offbake/first ] || ln /run/offbake/offbake /run/offbake/first", "")
			}
			check("stat -c %h /run/offbake/offbake", "2\n") // it was not sent a second time
			check("rm /run/offbake/first; echo x >>/run/offbake/offbake", "")
			if err := h.Seal(t.Context(), seal.Address()); err != nil {
				t.Errorf("an agent that was altered: %v", err)
			}
			_, port, _ := strings.Cut(s.address, ":")
			check("cat /run/offbake/calls", strings.Repeat("seal --root /var/lib/offbake --client 127.0.0.1 --port "+port+"\n", 3))
			check("sha256sum </run/offbake/offbake", digest(t, standIn(t))+"  -\n")
			check("ls /run/offbake", "calls\noffbake\n")
			check("grep -c tmpfs./run/offbake /proc/mounts", c.mounts)
		})
	}
}

func digest(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newSum()
	s.Write(data)
	return s.hex()
}

// TestSealed runs sealed commands by a stand-in for the agent, which does what files tell it.
func TestSealed(t *testing.T) {
	t.Parallel()
	_, h := sealable(t, "", "")
	if err := h.Seal(t.Context(), seal.Address()); err != nil {
		t.Fatal(err)
	}
	run := func(program string) (string, error) {
		var out, errors bytes.Buffer
		err := h.Run(t.Context(), provision.Command{
			Argv: []string{"/bin/sh", "-c", program}, Stdin: strings.NewReader("input\n"), Stdout: &out, Stderr: &errors, Sealed: true,
		})
		return out.String() + errors.String(), err
	}
	tell := func(name, text string) {
		sh(t, h, `rm -f /run/offbake/egress /run/offbake/unable /run/offbake/broken; printf %s "$2" >/run/offbake/"$1"`, name, text)
	}

	if out, err := run("cat; echo err >&2"); out != "input\nerr\n" || err != nil {
		t.Errorf("got %q and %v", out, err)
	}
	for _, code := range []int{3, 213, 214, 215} {
		var exit *provision.ExitError
		if _, err := run(fmt.Sprint("exit ", code)); !errors.As(err, &exit) || exit.Code != code {
			t.Errorf("got %v, want the command's own exit status %d", err, code)
		}
	}
	tell("egress", `[{"address":"203.0.113.7","port":443,"proto":"tcp"},
		{"address":"9.9.9.9","port":53,"proto":"udp","name":"x.example"}]`)
	var egress *provision.EgressError
	want := []provision.Attempt{{Address: "203.0.113.7", Port: 443, Proto: "tcp"},
		{Address: "9.9.9.9", Port: 53, Proto: "udp", Name: "x.example"}}
	if _, err := run("true"); !errors.As(err, &egress) || !cmp.Equal(egress.Attempts, want) || egress.Script != "" {
		t.Errorf("got %v, want the attempts %v", err, want)
	}
	for _, bad := range []string{"[]", "null", "nonsense\x1b", `{"address":"x"}`, "[{"} {
		tell("egress", bad)
		var exit *provision.ExitError
		_, err := run("true")
		if err == nil || errors.As(err, &exit) || !strings.Contains(err.Error(), hostName) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("report %q: got %v, want an error about the report", bad, err)
		}
	}
	tell("unable", "no network \x1b[0mfor it\n")
	_, err := run("true")
	if err == nil || !strings.Contains(err.Error(), `no network \x1b[0mfor it`) || !strings.Contains(err.Error(), hostName) {
		t.Errorf("got %v, want what the agent said", err)
	}
	tell("broken", "got rules \x1b[0m\n")
	var broken *provision.SealError
	if _, err := run("true"); !errors.As(err, &broken) || *broken != (provision.SealError{What: `got rules \x1b[0m`}) {
		t.Errorf("got %v, want a SealError that says what the agent said", err)
	}
	tell("background", "[]") // and broken no more
	var exit *provision.ExitError
	if _, err := run("kill -9 $$"); !errors.As(err, &exit) || exit.Code != 137 {
		t.Errorf("killed, and the seal is well: got %v, want exit status 137", err)
	}
	sh(t, h, "rm /run/offbake/background")
	if _, err := run("kill -9 $$"); !errors.As(err, &broken) || !strings.Contains(broken.What, "No such file") {
		t.Errorf("killed, and the seal is not well: got %v, want a SealError that says why", err)
	}
	if got := sh(t, h, "ls /run/offbake | grep report"); got != "(exit status 1)" {
		t.Errorf("reports are left: %q", got)
	}
}

// TestBackground has what the agent may say.
func TestBackground(t *testing.T) {
	t.Parallel()
	_, h := sealable(t, "", "")
	if list, err := h.Background(t.Context()); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("got %v and %v, want that there is no agent", list, err)
	}
	if err := h.Seal(t.Context(), seal.Address()); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]provision.Attempt{
		`[{"address":"2001:db8::1","proto":"ipv6-icmp"}]`: {{Address: "2001:db8::1", Proto: "ipv6-icmp"}},
		"[]\n": {}, "": nil, "[": nil,
	} {
		sh(t, h, `printf %s "$1" >/run/offbake/background`, text)
		list, err := h.Background(t.Context())
		if !cmp.Equal(list, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: got %v and %v, want %v", text, list, err, want)
		}
	}
	sh(t, h, "printf 'rule 11: \\033[0mfile exists\\n' >/run/offbake/fail")
	err := h.Seal(t.Context(), seal.Address())
	if err == nil || !strings.Contains(err.Error(), `rule 11: \x1b[0mfile exists`) || !strings.Contains(err.Error(), hostName) {
		t.Errorf("got %v, want what the agent said", err)
	}
}

// TestSealRefuses has what is wrong before the agent is called.
func TestSealRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		allow  netip.AddrPort
		change func(*remote.Config)
		ends   string
		want   string
	}{
		"another server":  {netip.MustParseAddrPort("192.0.2.9:80"), nil, "", "got file server 192.0.2.9:80, want 10.213.0.1:80"},
		"no server":       {netip.AddrPort{}, nil, "", "want 10.213.0.1:80"},
		"no agent":        {seal.Address(), func(c *remote.Config) { c.Agent = "" }, "", "no agent is given"},
		"no connection":   {seal.Address(), nil, "", `SSH_CONNECTION: got ""`},
		"odd connection":  {seal.Address(), nil, "a 1 b 2", `SSH_CONNECTION: got "a 1 b 2"`},
		"odd port":        {seal.Address(), nil, "192.0.2.1 1 192.0.2.2 0", "SSH_CONNECTION: got"},
		"half":            {seal.Address(), nil, "192.0.2.1 1", "SSH_CONNECTION: got"},
		"IPv4 in IPv6":    {seal.Address(), nil, "::ffff:192.0.2.1 50000 ::ffff:192.0.2.2 2222", ""},
		"IPv6 and a zone": {seal.Address(), nil, "fe80::7%eth0 50000 fe80::8%eth0 22", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{run: func(call *call) int {
					switch {
					case strings.Contains(call.line, "SSH_CONNECTION"):
						io.WriteString(call.stdout, c.ends)
					case strings.Contains(call.line, "# Says how the agent is to be sent"):
						io.WriteString(call.stdout, "same\n")
					}
					return 0
				}}
				config := s.clientConfig()
				config.Agent = standIn(t)
				if c.change != nil {
					c.change(&config)
				}
				h := connected(t, s, config)
				err := h.Seal(t.Context(), c.allow)
				last := ""
				if len(s.commands) > 0 {
					last = s.commands[len(s.commands)-1]
				}
				if c.want == "" {
					want := map[string]string{
						"IPv4 in IPv6":    "'--client' '192.0.2.1' '--port' '2222'",
						"IPv6 and a zone": "'--client' 'fe80::7' '--port' '22'",
					}[name]
					if err != nil || !strings.HasSuffix(last, want) {
						t.Errorf("got %v and %q, want %q", err, last, want)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), hostName) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if strings.Contains(last, "'seal'") {
					t.Error("the agent was called all the same")
				}
			})
		})
	}
}

// TestAgentIsSentAgain breaks the connection while the agent is on its way, and has the host get other bytes.
func TestAgentIsSentAgain(t *testing.T) {
	for name, c := range map[string]struct {
		breaks int
		form   string
		want   string
	}{
		"gzip":       {1, "gzip", ""},
		"plain":      {2, "plain", ""},
		"every time": {9, "gzip", "was lost while /bin/sh -c … install"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				s := &server{run: func(call *call) int {
					switch {
					case strings.Contains(call.line, "SSH_CONNECTION"):
						io.WriteString(call.stdout, "192.0.2.1 50000 192.0.2.2 22")
					case strings.Contains(call.line, "# Says how the agent is to be sent"):
						io.WriteString(call.stdout, c.form+"\n")
					case strings.Contains(call.line, "# Takes the agent"):
						if tries++; tries <= c.breaks {
							io.CopyN(io.Discard, call.stdin, 10_000)
							call.conn.Close()
						}
						io.Copy(io.Discard, call.stdin)
					}
					return 0
				}}
				config := s.clientConfig()
				config.Agent = standIn(t)
				h := connected(t, s, config)
				err := h.Seal(t.Context(), seal.Address())
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if want := min(c.breaks+1, 3); tries != want {
					t.Errorf("got %d tries, want %d", tries, want)
				}
			})
		})
	}
}
