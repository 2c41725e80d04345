package remote

import (
	"context"
	"time"

	"golang.org/x/crypto/ssh"
)

// killGrace is for the host to say that a command was killed.
const killGrace = 3 * time.Second

// marked makes the command one that can be found: OpenSSH knows no signal for what root runs (session.c:
// "session signalling requires privilege separation"), versions before 7.9 none at all, and none of them ends a command
// when its connection does. The mark is a comment in the program of a shell that waits for the command.
func marked(mark string, argv []string) []string {
	if mark == "" {
		return argv
	}
	return append([]string{"/bin/sh", "-c", `"$@"; exit $? # offbake ` + mark, "sh"}, argv...)
}

// kill ends the command. Where the host does not say that it ended, the connection takes no more commands: it is closed,
// which leaves the command without input and output.
func (s *session) kill() {
	s.host.running.Go(func() {
		s.ch.SendRequest("signal", false, ssh.Marshal(&struct{ Name string }{"KILL"})) //nolint:errcheck // see above
	})
	if s.mark == "" {
		s.host.retire(s.link)
		return
	}
	s.host.running.Go(func() { s.host.killMarked(s.link, s.mark) })
	t := time.NewTimer(killGrace)
	defer t.Stop()
	select {
	case <-s.exited:
	case <-t.C:
		s.host.retire(s.link)
	}
}

// killMarked kills a command by its mark, on the connection that it runs on.
func (h *Host) killMarked(l *link, mark string) {
	ctx, cancel := context.WithTimeout(h.life, killGrace)
	defer cancel()
	s, err := h.openOnce(ctx, l)
	if err == nil {
		err = s.run(ctx, h.asRoot(script("kill", mark)))
	}
	if err != nil {
		h.log("killing a command: %v", err)
	}
}
