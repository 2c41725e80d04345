package remote

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

var (
	errHungUp = errors.New("closed by the host")
	errClosed = errors.New("closed here")
)

// wire is a network connection that knows when its last byte came and what broke it.
type wire struct {
	net.Conn
	made  time.Time
	last  atomic.Int64 // of the last byte that came: nanoseconds after made, 0 for none
	fault atomic.Pointer[error]
}

func newWire(c net.Conn) *wire { return &wire{Conn: c, made: time.Now()} }

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.last.Store(max(1, int64(time.Since(w.made))))
	}
	w.note(err)
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.note(err)
	return n, err
}

// note keeps the first error.
func (w *wire) note(err error) {
	switch {
	case err == nil:
		return
	case errors.Is(err, io.EOF):
		err = errHungUp
	}
	w.fault.CompareAndSwap(nil, &err)
}

// fail breaks the connection for the given reason, unless it is broken.
func (w *wire) fail(reason error) {
	w.fault.CompareAndSwap(nil, &reason)
	w.Conn.Close() // breaks whatever reads or writes; its own error tells nothing more
}

// reason is what broke the connection, nil while nothing has.
func (w *wire) reason() error {
	if err := w.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// silent is for how long nothing has come.
func (w *wire) silent() time.Duration { return time.Since(w.made) - time.Duration(w.last.Load()) }

// spoke reports whether anything has ever come.
func (w *wire) spoke() bool { return w.last.Load() != 0 }
