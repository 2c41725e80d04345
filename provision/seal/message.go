package seal

import (
	"encoding/json"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// request is what an agent asks of the daemon.
type request struct {
	Do string `json:"do"` // link, background or check
}

// reply is the daemon's answer. With that to "link" comes the handle of the link's network; the agent sends back that of
// its command's mount namespace before the command runs, and has the link as long as the connection lasts.
type reply struct {
	Error    string    `json:"error,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
	Index    int       `json:"index,omitempty"` // of eth0
}

// send writes a message, with a file's handle (unix(7), SCM_RIGHTS) unless it is nil.
func send(conn *net.UnixConn, m any, file *os.File) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if file != nil {
		_, _, err = conn.WriteMsgUnix(data, unix.UnixRights(int(file.Fd())), nil)
		return err
	}
	_, err = conn.Write(data)
	return err
}

// receive reads a message that comes with a handle, or says why there is none.
func receive(conn *net.UnixConn) (reply, *os.File, error) {
	data, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(data, rights) // sets close-on-exec
	if err != nil {
		return reply{}, nil, err
	}
	var re reply
	if err := json.Unmarshal(data[:n], &re); err != nil {
		return reply{}, nil, err
	}
	if re.Error != "" {
		return reply{}, nil, errors.New(re.Error)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:oobn])
	if err != nil {
		return reply{}, nil, os.NewSyscallError("reading control message", err)
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return re, os.NewFile(uintptr(fds[0]), "namespace"), nil
		}
	}
	return reply{}, nil, errors.New("got a message without a handle")
}
