// Sdkprogram makes calls of two versions of ufile-gosdk at the store on 127.0.0.1:$SDK_PORT, and exits 1 when one fails.
package main

import (
	"errors"
	"fmt"
	"os"
)

// What the calls are made with.
const (
	bucket = "127" // v1.0.1 makes its host of the bucket and a domain: this and "0.0.1:PORT" are an address
	policy = `{"callbackUrl":"http://127.0.0.1:1/"}`
)

func main() {
	file := os.Getenv("SDK_FILE")
	content, err := os.ReadFile(file)
	if err == nil {
		err = errors.Join(oldCalls(file, content), newCalls(file, content))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// named says which call an error is of.
func named(call string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", call, err)
	}
	return err
}
