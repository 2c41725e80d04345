// Command unlock makes and uses encrypted keys for a test: scrypt takes 20 times longer under the race detector, so
// this is built without it. The password is argument 1.
//
//	unlock PASSWORD write DIR
//	unlock PASSWORD sign KEY TRUSTED <message >signature
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/offbake/offbake/bundle/sign"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(password, verb string, args []string) error {
	if verb == "write" {
		_, err := sign.WriteKeyPair(args[0], password)
		return err
	}
	key, err := sign.LoadKey(args[0], func() (string, error) { return password, nil })
	if err != nil {
		return err
	}
	msg, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	sig, err := key.Sign(msg, args[1])
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(sig)
	return err
}
