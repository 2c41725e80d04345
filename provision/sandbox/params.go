package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxRequest is more than any request of the API needs: user data is at most 16 KiB.
const maxRequest = 1 << 20

// readTree reads a request's parameters, as they were signed: of a POST the body alone (a form or JSON), of a GET the
// query. The Action of a POST's query is for logs on the way and counts only where the body has none.
func readTree(r *http.Request) (map[string]any, error) {
	if r.Method == http.MethodGet {
		return formTree(r.URL.Query()), nil
	}
	if r.Method != http.MethodPost {
		return nil, &apiError{230, "method " + r.Method + ": want POST or GET"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return nil, &apiError{230, "the request broke off"}
	}
	if len(body) > maxRequest {
		return nil, &apiError{230, fmt.Sprintf("a request of more than %d bytes", maxRequest)}
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/json" {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		tree := map[string]any{}
		if err := d.Decode(&tree); err != nil {
			return nil, &apiError{230, "the body is not a JSON object"}
		}
		return tree, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &apiError{230, "the body is not a form"}
	}
	return formTree(form), nil
}

func formTree(form url.Values) map[string]any {
	tree := map[string]any{}
	for name, values := range form {
		tree[name] = values[0]
	}
	return tree
}

// params are a request's parameters by their name in a form: Disks.0.IsBoot. Its methods note the first thing that is
// wrong in err, which the action returns before it changes anything.
type params struct {
	values map[string]string
	err    error
}

func newParams(tree map[string]any) *params {
	p := &params{values: map[string]string{}}
	for name, v := range tree {
		p.flatten(name, v)
	}
	return p
}

func (p *params) flatten(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for sub, e := range v {
			p.flatten(name+"."+sub, e)
		}
	case []any:
		for i, e := range v {
			p.flatten(name+"."+strconv.Itoa(i), e)
		}
	default:
		var b strings.Builder
		writeSigned(&b, v)
		p.values[name] = b.String()
	}
}

// bad notes a parameter that is wrong, unless one was noted before.
func (p *params) bad(name, why string) {
	if p.err == nil {
		p.err = &apiError{230, fmt.Sprintf("Params [%s] not available: %s", name, why)}
	}
}

// text is a parameter, or "" where it is missing.
func (p *params) text(name string) string { return p.values[name] }

// required is a parameter that must be there.
func (p *params) required(name string) string {
	v := p.values[name]
	if v == "" {
		p.bad(name, "it is missing")
	}
	return v
}

// number is a whole number of at least low; def where it is missing.
func (p *params) number(name string, def, low int) int {
	v := p.values[name]
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low {
		p.bad(name, fmt.Sprintf("want a number of at least %d", low))
		return def
	}
	return n
}

// yes is a truth value; false where it is missing.
func (p *params) yes(name string) bool {
	switch strings.ToLower(p.values[name]) {
	case "true":
		return true
	case "", "false":
	default:
		p.bad(name, "want true or false")
	}
	return false
}

// oneOf is a parameter with few values; def where it is missing.
func (p *params) oneOf(name, def string, values ...string) string {
	v := p.values[name]
	if v == "" {
		return def
	}
	if !slices.Contains(values, v) {
		p.bad(name, "want one of "+strings.Join(values, ", "))
	}
	return v
}

// list is name.0, name.1 and so on, in this order; clients number from 0 or 1, and may leave numbers out.
func (p *params) list(name string) []string {
	byNumber := map[int]string{}
	var numbers []int
	for full, v := range p.values {
		rest, ok := strings.CutPrefix(full, name+".")
		if n, err := strconv.Atoi(rest); ok && err == nil {
			byNumber[n] = v
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var all []string
	for _, n := range numbers {
		all = append(all, byNumber[n])
	}
	return all
}

// groups are the numbers under which name.N.something was given, in order.
func (p *params) groups(name string) []string {
	var numbers []int
	for full := range p.values {
		rest, ok := strings.CutPrefix(full, name+".")
		first, _, deeper := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(first); ok && deeper && err == nil && !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var all []string
	for _, n := range numbers {
		all = append(all, fmt.Sprintf("%s.%d", name, n))
	}
	return all
}

// page is Offset and Limit applied to a list of n: what to show is [from:to].
func (p *params) page(n, limit int) (from, to int) {
	from = min(p.number("Offset", 0, 0), n)
	if n := p.number("Limit", limit, 0); n > 0 {
		limit = n
	}
	return from, from + min(limit, n-from)
}
