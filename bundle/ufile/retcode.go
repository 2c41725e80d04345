package ufile

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
)

// RetCode is the service's own code of an error. Zero means that an answer had none.
type RetCode int

// Codes that the service is known to send.
const (
	BucketNotExist   RetCode = -30010  // 404
	NoAuthorization  RetCode = -148643 // 403
	FileNotExist     RetCode = -148654 // 404
	InvalidSignature RetCode = -148658 // 403
	BlockTooLarge    RetCode = -148660 // 400; also "switch class not allowed", 403
	DuplicatePart    RetCode = -1014   // 500: this part of this upload is there already
)

// Error is an answer that is not a success.
type Error struct {
	Status  int // of HTTP
	RetCode RetCode
	Message string
}

// MaxErrorBody is how many bytes of an error's body are worth reading.
const MaxErrorBody = 64 << 10

// ParseError makes an Error of an answer. Any body will do: the service, or what stands before it, may send none or
// HTML.
func ParseError(status int, body []byte) *Error {
	var answer struct {
		RetCode RetCode
		ErrMsg  string
	}
	if json.Unmarshal(body, &answer) != nil {
		return &Error{Status: status}
	}
	return &Error{Status: status, RetCode: answer.RetCode, Message: answer.ErrMsg}
}

// Body is the answer's body as the service sends it.
func (e *Error) Body() []byte {
	body, err := json.Marshal(struct {
		RetCode RetCode
		ErrMsg  string
	}{e.RetCode, e.Message})
	if err != nil {
		panic(fmt.Sprintf("encoding an int and a string: %v", err))
	}
	return body
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "status %d %s", e.Status, http.StatusText(e.Status))
	if e.RetCode != 0 {
		fmt.Fprintf(&b, ", RetCode %d", e.RetCode)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, " %.200q", e.Message) // quoted: it comes from the network
	}
	return b.String()
}

// Is makes an absent object fs.ErrNotExist and a refused request fs.ErrPermission.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Status == http.StatusNotFound
	case fs.ErrPermission:
		return e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized
	}
	return false
}
