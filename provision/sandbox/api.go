package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// apiError is an answer that is not a success, with the service's own codes (its documentation of each action; those
// below 300 are its gateway's).
type apiError struct {
	code    int
	message string
}

func (e *apiError) Error() string { return fmt.Sprintf("RetCode %d: %s", e.code, e.message) }

// fields are what an answer holds beside RetCode and Action.
type fields map[string]any

// call is one request that is being answered.
type call struct {
	Call
	s       *Sandbox
	p       *params
	fault   Fault
	project string
	region  region // zero for actions that know none
	zone    string // "" where the request names none
}

// action is one thing that the API can be asked to do.
type action struct {
	// do answers with s.mu held; it must not wait for anything.
	do       func(c *call) (fields, error)
	regional bool // Region must be given
	zonal    bool // Zone too
}

func actions() map[string]action {
	return map[string]action{
		"CopyCustomImage":        {do: copyCustomImage, regional: true},
		"CreateBucket":           {do: createBucket},
		"CreateCustomImage":      {do: createCustomImage, regional: true},
		"CreateUHostInstance":    {do: createUHostInstance, regional: true, zonal: true},
		"DescribeBucket":         {do: describeBucket},
		"DescribeEIP":            {do: describeEIP, regional: true},
		"DescribeFirewall":       {do: describeFirewall, regional: true},
		"DescribeImage":          {do: describeImage, regional: true},
		"DescribeSubnet":         {do: describeSubnet, regional: true},
		"DescribeUHostInstance":  {do: describeUHostInstance, regional: true},
		"DescribeUK8SImage":      {do: describeUK8SImage, regional: true},
		"DescribeVPC":            {do: describeVPC, regional: true},
		"GetProjectList":         {do: getProjectList},
		"GetRegion":              {do: getRegion},
		"GetUHostInstancePrice":  {do: getUHostInstancePrice, regional: true},
		"ImportCustomImage":      {do: importCustomImage, regional: true},
		"PoweroffUHostInstance":  {do: poweroffUHostInstance, regional: true},
		"RebootUHostInstance":    {do: rebootUHostInstance, regional: true},
		"ReleaseEIP":             {do: releaseEIP, regional: true},
		"StartUHostInstance":     {do: startUHostInstance, regional: true},
		"StopUHostInstance":      {do: stopUHostInstance, regional: true},
		"TerminateCustomImage":   {do: terminateCustomImage, regional: true},
		"TerminateUHostInstance": {do: terminateUHostInstance, regional: true},
	}
}

// serveAPI answers one request, under any path. HTTP says nothing but 200: clients drop the body of anything else.
func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "closing", http.StatusServiceUnavailable)
		return
	}
	defer s.busy.Done()
	start := time.Now()
	tree, err := readTree(r)
	name, _ := tree["Action"].(string)
	if name == "" {
		name = r.URL.Query().Get("Action")
	}
	c := &call{Call: s.count(name), s: s, p: newParams(tree)}
	if s.o.Fault != nil {
		c.fault = s.o.Fault(c.Call)
	}
	code := 0
	defer func() {
		s.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "call", slog.Int("n", c.N), slog.String("action", printable(name)),
			slog.Int("code", code), slog.String("fault", string(c.fault.Kind)), slog.Duration("took", time.Since(start)))
	}()
	if c.failBefore(w, r) {
		return
	}
	var body fields
	if err == nil {
		body, err = c.answer(tree)
	}
	var refused *apiError
	if errors.As(err, &refused) {
		code = refused.code
		body = fields{"Message": refused.message}
	}
	if c.fault.Kind == FaultDropReply {
		panic(http.ErrAbortHandler)
	}
	c.send(w, code, body)
}

// printable is an action's name as a log may have it: one that we do not know is any text of a client's.
func printable(name string) string {
	if _, known := actions()[name]; known {
		return name
	}
	return fmt.Sprintf("%.60q", name)
}

// failBefore carries out a fault that keeps the action from being done, and says whether it was the answer.
func (c *call) failBefore(w http.ResponseWriter, r *http.Request) bool {
	switch c.fault.Kind {
	case FaultHTTP503:
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
	case FaultDrop:
		panic(http.ErrAbortHandler)
	case FaultHang:
		select {
		case <-r.Context().Done():
		case <-c.s.ctx.Done():
		}
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

// answer checks what every request must hold and does what it asks.
func (c *call) answer(tree map[string]any) (fields, error) {
	if c.Action == "" {
		return nil, &apiError{160, "Missing Action"}
	}
	if err := authorize(tree, c.s.key); err != nil {
		return nil, err
	}
	a, ok := actions()[c.Action]
	if !ok {
		return nil, &apiError{161, "Action [" + c.Action + "] not found"}
	}
	if c.fault.Kind == FaultRetCode {
		return nil, &apiError{c.fault.Code, "a fault that the sandbox was asked for"}
	}
	if err := c.place(a); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return a.do(c)
}

// place finds project, region and zone.
func (c *call) place(a action) error {
	c.project = projects()[0]
	if id := c.p.text("ProjectId"); id != "" {
		if !slices.Contains(projects(), id) {
			return &apiError{292, "Project [" + id + "] not found"}
		}
		c.project = id
	}
	if !a.regional {
		return nil
	}
	name := c.p.required("Region")
	if c.p.err != nil {
		return c.p.err
	}
	var ok bool
	if c.region, ok = findRegion(name); !ok {
		return &apiError{230, "Params [Region] not available: there is no region " + name}
	}
	c.zone = c.p.text("Zone")
	if a.zonal {
		c.zone = c.p.required("Zone")
	}
	if c.zone != "" && !slices.Contains(c.region.zones, c.zone) {
		return &apiError{293, "Zone [" + c.zone + "] is not one of region " + name}
	}
	return c.p.err
}

func (c *call) send(w http.ResponseWriter, code int, body fields) {
	all := fields{"RetCode": code, "Action": c.Action + "Response"}
	maps.Copy(all, body)
	data, err := json.Marshal(all)
	if err != nil {
		panic(fmt.Sprintf("encoding an answer of %s: %v", c.Action, err))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h["X-UCLOUD-REQUEST-UUID"] = []string{requestID()} // as the service spells it, not canonical
	w.Write(data)                                      // the client may be gone; nobody is left to tell
}

// requestID is a random UUID.
func requestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newID makes a name like uhost-ab2cd3ef4g, as the service's are.
func newID(kind string) string { return kind + "-" + strings.ToLower(rand.Text()[:10]) }

// count notes a call.
func (s *Sandbox) count(action string) Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[action]++
	c := Call{N: len(s.calls) + 1, Action: action, Nth: s.counts[action]}
	s.calls = append(s.calls, c)
	return c
}

// Calls are the API requests since New, in the order in which they came.
func (s *Sandbox) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// enter counts a request or other work in, so that Close waits for it; false when the sandbox is being closed.
func (s *Sandbox) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.busy.Add(1)
	return true
}
