package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// result prints what a verb made: the object with --json, else the lines.
func (a *app) result(object any, lines ...string) error {
	text := strings.Join(lines, "\n")
	if a.json {
		data, err := json.Marshal(object)
		if err != nil {
			return fmt.Errorf("encoding the result: %w", err)
		}
		text = string(data)
	}
	if text == "" {
		return nil
	}
	if _, err := fmt.Fprintln(a.out, text); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	return nil
}
