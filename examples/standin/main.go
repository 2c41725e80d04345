// Command standin plays consul, nomad, the cfssl tools or a Terraform provider in the demo and in tests, so that both
// run in seconds and carry nobody else's binary. It is one static program; which product and version it plays stands
// in a line after the end of the executable ("standin consul 1.6.1"), appended by whoever serves it.
//
// It knows just what the images' units and checks use: version, validate, agent, reload and -autocomplete-install.
// It is never a substitute for the real thing: an image baked with it says "stand-in" in its version.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "standin: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	product, version, err := plays()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("%s %s is a stand-in: nothing to do", product, version)
	}
	switch args[0] {
	case "version", "-version", "--version", "-v":
		fmt.Printf("%s v%s (stand-in)\n", strings.ToUpper(product[:1])+product[1:], version)
		return nil
	case "-autocomplete-install":
		return completion(product)
	case "validate":
		return validate(args[1:])
	case "reload":
		return reload(product)
	case "agent":
		return agent(product, configDir(args[1:]))
	}
	return fmt.Errorf("%s stand-in does not know %q", product, args[0])
}

// plays reads the line after the end of the executable.
func plays() (product, version string, err error) {
	path, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	tail := make([]byte, 128)
	n, err := f.ReadAt(tail, max(0, info.Size()-int64(len(tail))))
	if n == 0 {
		return "", "", err
	}
	_, line, found := strings.Cut(string(tail[:n]), "\nstandin ")
	fields := strings.Fields(line)
	if !found || len(fields) != 2 {
		return "", "", errors.New("this program does not say what it stands for")
	}
	return fields[0], fields[1], nil
}

func completion(product string) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(home, ".bashrc"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "complete -C /usr/local/bin/%s %s\n", product, product)
	return errors.Join(err, f.Close())
}

// validate accepts configuration whose braces and quotes balance.
func validate(paths []string) error {
	if len(paths) == 0 {
		return errors.New("validate needs a path")
	}
	for _, path := range paths {
		if _, err := configuration(path); err != nil {
			return err
		}
	}
	fmt.Println("Configuration is valid!")
	return nil
}

// configuration reads a file, or every .hcl and .json file of a folder.
func configuration(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.hcl")); err != nil {
			return "", err
		}
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		if strings.Count(string(text), "{") != strings.Count(string(text), "}") || strings.Count(string(text), `"`)%2 != 0 {
			return "", fmt.Errorf("parsing %q: braces or quotes do not balance", f)
		}
		all.Write(text)
	}
	if all.Len() == 0 {
		return "", fmt.Errorf("reading %q: no configuration", path)
	}
	return all.String(), nil
}

func configDir(args []string) string {
	for i, a := range args {
		if dir, ok := strings.CutPrefix(a, "-config-dir="); ok {
			return dir
		}
		if (a == "-config" || a == "-config-dir") && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

func address(product string) string {
	if product == "consul" {
		return "127.0.0.1:8500"
	}
	return "127.0.0.1:4646"
}

// agent runs until a signal ends it. Like the real one it refuses a configuration whose placeholders are still there
// and keeps its data where data_dir says.
func agent(product, dir string) error {
	text, err := configuration(dir)
	if err != nil {
		return err
	}
	for _, placeholder := range []string{"DATACENTER", "NODENAME", "CONSUL_SERVER", "REGION", "EXPECTEDSVRS"} {
		if strings.Contains(text, placeholder) {
			return fmt.Errorf("reading %q: %s is still a placeholder", dir, placeholder)
		}
	}
	if err := os.MkdirAll(setting(text, "data_dir"), 0o755); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address(product))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		answer(conn)
	}
}

// answer says yes to any HTTP request: a whole server would triple the size of this program.
func answer(conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return
	}
	if _, err := conn.Read(make([]byte, 1024)); err != nil {
		return
	}
	fmt.Fprint(conn, "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n\"stand-in\"\n")
}

func setting(text, key string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == key {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return os.TempDir()
}

func reload(product string) error {
	conn, err := net.Dial("tcp", address(product))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "PUT /v1/agent/reload HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer := make([]byte, 15)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != "HTTP/1.0 200 OK" {
		return fmt.Errorf("reloading %s: got %q", product, answer)
	}
	return nil
}
