package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever interrupts at the prompt gets the shell back at once, with a terminal that shows what is typed.
func TestInterruptAtPasswordPrompt(t *testing.T) {
	terminal := openTerminal(t)
	dir := filepath.Join(t.TempDir(), "keys")
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run([]string{"keygen", "-o", dir},
			console{in: terminal, out: io.Discard, err: &stderr, getenv: func(string) string { return "" }})
	}()
	for deadline := time.Now().Add(10 * time.Second); echoes(t, terminal); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody asked for a password")
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-code:
		if got != exitInterrupted {
			t.Errorf("got exit code %d, want %d: %s", got, exitInterrupted, stderr.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still asking")
	}
	if !echoes(t, terminal) {
		t.Error("the terminal was left without echo")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%q was made", dir)
	}
}

// openTerminal makes a terminal that nobody sits at; see pts(4).
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		master.Close() // first: it ends the read that is still waiting
		slave.Close()
	})
	return slave
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}
