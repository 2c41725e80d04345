package ucloud

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	uerr "github.com/ucloud/ucloud-sdk-go/ucloud/error"

	"github.com/offbake/offbake/internal/transport"
)

// Kind says what to do about an Error.
type Kind string

const (
	Other       Kind = ""
	Quota       Kind = "quota"       // of hosts, addresses, images
	Balance     Kind = "balance"     // the account's, or an order that is not paid
	Permission  Kind = "permission"  // of the key, or to be charged by the hour
	Signature   Kind = "signature"   // the key pair is wrong
	Region      Kind = "region"      // no such region, zone or project for this key; or a parameter is wrong
	Base        Kind = "base"        // no such image
	Refused     Kind = "refused"     // this machine's address is not on the key's list
	Capacity    Kind = "capacity"    // the zone or the subnet is full
	RealName    Kind = "real-name"   // the account is not verified
	Throttled   Kind = "throttled"   // too many requests
	Unavailable Kind = "unavailable" // the API is down or cannot be reached
	Missing     Kind = "missing"     // what was asked about is not there
)

// kindOf maps RetCodes (facts/ucloud.md, sections 4 and 5: the API's and UHost's error tables).
func kindOf(code int) Kind {
	switch code {
	case 110, 130, 150:
		return Unavailable
	case 153:
		return Throttled
	case 170, 171, 172, 174:
		return Signature
	case 230, 292, 293:
		return Region
	case 291, 299, 8116:
		return Permission
	case 294:
		return Refused
	case 4018, 4057, 8104:
		return Balance
	case 4207, 8095, 15011:
		return Quota
	case 8226:
		return RealName
	case 8320, 8833, 8847:
		return Capacity
	case 8874, 8889, 8956:
		return Base
	case 8039, 15010, 54002, 58103:
		return Missing
	}
	return Other
}

// Error is a request to the API that was not granted. It is one line and holds no secret.
type Error struct {
	Action  string
	Region  string
	RetCode int    // the API's; 0 when it gave none
	Message string // the API's
	Status  int    // of HTTP, where that is the error
	Err     error  // why there was no answer

	ended  bool // its context was over
	unsent bool // and it before it was sent
}

func (e *Error) Error() string {
	where := e.Action
	if e.Region != "" {
		where += " in " + e.Region
	}
	switch {
	case e.RetCode != 0 && e.Message == "":
		return fmt.Sprintf("%s: RetCode %d", where, e.RetCode)
	case e.RetCode != 0:
		return fmt.Sprintf("%s: RetCode %d: %s", where, e.RetCode, e.Message)
	case e.Status != 0:
		return fmt.Sprintf("%s: HTTP status %d", where, e.Status)
	}
	return fmt.Sprintf("%s: %v", where, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Kind says what to do about it.
func (e *Error) Kind() Kind {
	switch {
	case e.RetCode != 0:
		return kindOf(e.RetCode)
	case e.Status == 429:
		return Throttled
	case e.ended || errors.Is(e.Err, transport.ErrBlocked) || e.Status != 0 && e.Status < 500:
		return Other
	}
	return Unavailable
}

// passing says whether the same request may be granted later.
func (e *Error) passing() bool {
	switch k := e.Kind(); {
	case e.RetCode != 0:
		return k == Throttled || k == Unavailable
	case e.Status != 0:
		return e.Status == 429 || e.Status >= 500 && e.Status != 501
	}
	return errors.Is(e.Err, errAnswer) || transport.Temporary(e.Err)
}

// unclear says whether what was asked for may have been done all the same.
func (e *Error) unclear() bool {
	switch {
	case e.RetCode != 0:
		return e.Kind() == Unavailable
	case e.Status != 0:
		return e.Status >= 500
	}
	op, ok := errors.AsType[*net.OpError](e.Err)
	notSent := e.unsent || ok && op.Op == "dial" || errors.Is(e.Err, transport.ErrBlocked)
	return !notSent
}

// lostError is a request to make something whose answer was lost, and whose result was not seen.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

func isLost(err error) bool {
	_, ok := errors.AsType[*lostError](err)
	return ok
}

func passing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.passing()
}

func unclear(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.unclear()
}

// code returns the RetCode of an error, 0 where it has none.
func code(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetCode
	}
	return 0
}

// errAnswer is an answer that is none of the API's, such as a login page. What it says is not shown: an SDK's error
// would bring the whole of it.
var errAnswer = errors.New("got an answer that is not the API's")

// statusError is an answer that must not be followed.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("got a redirect, status %d", e.code) }

// fault makes an *Error of what the SDK returned, whose own text has line breaks, URLs and bodies in it.
func (c *Cloud) fault(ctx context.Context, action string, at place, secrets []string, err error) error {
	e := &Error{Action: action, Region: at.region}
	var u uerr.Error
	switch {
	case !errors.As(err, &u):
		e.Err = err
	case u.Name() == uerr.ErrRetCode:
		e.RetCode, e.Message = u.Code(), oneLine(c.hide(secrets).Replace(u.Message()))
	case u.Name() == uerr.ErrHTTPStatus:
		e.Status = u.StatusCode()
	case u.Name() == uerr.ErrResponseBodyError || u.Name() == uerr.ErrEmptyResponseBodyError:
		e.Err = errAnswer
	default:
		e.Err = u.OriginError()
	}
	// The URL holds nothing that the action does not say.
	if outer, ok := errors.AsType[*url.Error](e.Err); ok {
		e.Err = outer.Err
	}
	if status, ok := errors.AsType[*statusError](e.Err); ok {
		e.Status, e.Err = status.code, nil
	}
	if e.RetCode == 0 && e.Status == 0 && ctx.Err() != nil {
		e.Err, e.ended = context.Cause(ctx), true
	} else if timeout, ok := errors.AsType[net.Error](e.Err); ok && timeout.Timeout() {
		e.Err = &slowError{c.patience.Call}
	}
	return e
}

// slowError is a request that got no answer in Patience.Call.
type slowError struct{ after time.Duration }

func (e *slowError) Error() string { return fmt.Sprintf("got no answer in %v", e.after) }

// Timeout marks it as a timeout, as net.Error does.
func (e *slowError) Timeout() bool { return true }

// hexDigest is the shape of a signature.
var hexDigest = regexp.MustCompile(`\b[0-9a-fA-F]{40}\b`)

// hide replaces secrets in what the API says: it may repeat a parameter that it does not like.
func (c *Cloud) hide(secrets []string) *strings.Replacer {
	var pairs []string
	for _, s := range append([]string{c.config.PrivateKey, c.config.PublicKey}, secrets...) {
		if s != "" {
			coded := base64.StdEncoding.EncodeToString([]byte(s))
			pairs = append(pairs, s, "[secret]", coded, "[secret]", url.QueryEscape(coded), "[secret]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// oneLine makes a line for people of what came from outside.
func oneLine(s string) string {
	const most = 300
	s = hexDigest.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "[secret]")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(s) <= most {
		return s
	}
	n := most
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// StateError is a host or an image that did not become what it was to be.
type StateError struct {
	What  string        // `host "offbake-…"`, `image "…"`
	State string        // the last that was seen; "" when it was not seen at all
	Want  string        // what was waited for
	After time.Duration // how long; 0 where the state is final
}

func (e *StateError) Error() string {
	state := "no state"
	if e.State != "" {
		state = fmt.Sprintf("state %q", e.State)
	}
	if e.After == 0 {
		return fmt.Sprintf("waiting for %s: got %s, want %s", e.What, state, e.Want)
	}
	return fmt.Sprintf("waiting for %s: got %s for %v, want %s", e.What, state, e.After, e.Want)
}

// SettingError is a key of the manifest's cloud that cannot serve, or an image's name.
type SettingError struct {
	Image string
	Key   string // as in the manifest: "boot_disk.size"; "" where it is the name
	What  string
}

func (e *SettingError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("image %q: %s", e.Image, e.What)
	}
	return fmt.Sprintf("image %q: cloud.%s: %s", e.Image, e.Key, e.What)
}

// BaseError is a base image that cannot be had.
type BaseError struct {
	Want   string // `id "uimage-…"`, `name "CentOS 7.*"`
	Region string
	Zone   string
	Near   []string // what there is that comes near it, each with why it is not it
}

func (e *BaseError) Error() string {
	s := fmt.Sprintf("finding a base image with %s in %s", e.Want, e.Region)
	if e.Zone != "" {
		s += " " + e.Zone
	}
	s += ": there is none that can serve"
	if len(e.Near) > 0 {
		s += "; near it: " + strings.Join(e.Near, ", ")
	}
	return s
}
