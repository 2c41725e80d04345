package sandbox

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/gliderlabs/ssh"
	"github.com/pkg/sftp"
)

// sftp is the subsystem of that name, on the host's own tree.
func (s *sshServer) sftp(sess ssh.Session) {
	if !s.conns.begin() {
		return
	}
	defer s.conns.end()
	channel := sess.Context().(*sshChannel)
	if channel.fault != "" && channel.fault != SSHLoseStatus {
		connOf(channel).cut()
		return
	}
	t, err := openTree(s.machine.Root) // of "" nothing can be opened
	if err != nil {
		sess.Exit(1)
		return
	}
	defer t.close()
	files := sftpFiles{t}
	server := sftp.NewRequestServer(sess, sftp.Handlers{FileGet: files, FilePut: files, FileCmd: files, FileList: files},
		sftp.WithStartDirectory(t.home()))
	// What ends it is the client, which has had every answer; where that was an error it knows.
	server.Serve()
	if channel.fault == SSHLoseStatus {
		sess.Close()
	}
}

// sftpFiles answers requests on a tree. Errors name paths of the host.
type sftpFiles struct{ *tree }

func (f sftpFiles) Fileread(r *sftp.Request) (io.ReaderAt, error) { return f.file(r, os.O_RDONLY) }

func (f sftpFiles) Filewrite(r *sftp.Request) (io.WriterAt, error) { return f.file(r, os.O_WRONLY) }

func (f sftpFiles) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	return f.file(r, os.O_RDWR)
}

func (f sftpFiles) file(r *sftp.Request, flags int) (*sftpFile, error) {
	for flag, wanted := range map[int]bool{
		os.O_APPEND: r.Pflags().Append, os.O_CREATE: r.Pflags().Creat, os.O_TRUNC: r.Pflags().Trunc, os.O_EXCL: r.Pflags().Excl,
	} {
		if wanted {
			flags |= flag
		}
	}
	file, err := f.open(r.Filepath, flags, openMode(r.Attrs))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: r.Filepath, Err: syscall.EISDIR}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &sftpFile{file, flags&os.O_APPEND != 0}, nil
}

// openMode is the mode that a client wants a new file to have. pkg/sftp drops the word that says which attributes there
// are (its request.go); clients send permissions, first, or permissions and times.
func openMode(attrs []byte) fs.FileMode {
	if len(attrs) != 4 && len(attrs) != 12 {
		return 0o666
	}
	return fs.FileMode(binary.BigEndian.Uint32(attrs)).Perm()
}

// sftpFile is an open file; one that is appended to has no offsets.
type sftpFile struct {
	*os.File
	appends bool
}

func (f *sftpFile) WriteAt(p []byte, offset int64) (int, error) {
	if f.appends {
		return f.Write(p)
	}
	return f.File.WriteAt(p, offset)
}

func (f sftpFiles) Filecmd(r *sftp.Request) error {
	switch r.Method {
	case "Setstat":
		return f.setAttributes(r)
	case "Rename": // as link(2) and unlink(2): nothing is replaced, says the draft
		if _, err := f.lstat(r.Target); err == nil {
			return &fs.PathError{Op: "rename", Path: r.Target, Err: fs.ErrExist}
		}
		return f.rename(r.Filepath, r.Target)
	case "Remove", "Rmdir":
		info, err := f.lstat(r.Filepath)
		if err != nil {
			return err
		}
		if info.IsDir() != (r.Method == "Rmdir") {
			return &fs.PathError{Op: "remove", Path: r.Filepath, Err: errors.New("a folder where a file should be, or a file for a folder")}
		}
		return f.remove(r.Filepath)
	case "Mkdir":
		return f.mkdir(r.Filepath, 0o777)
	case "Link":
		return f.link(r.Filepath, r.Target)
	case "Symlink":
		return f.symlink(r.Filepath, r.Target)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename replaces what is there.
func (f sftpFiles) PosixRename(r *sftp.Request) error { return f.rename(r.Filepath, r.Target) }

func (f sftpFiles) setAttributes(r *sftp.Request) error {
	has, a := r.AttrFlags(), r.Attributes()
	at, err := f.resolve(r.Filepath, true)
	if err != nil {
		return err
	}
	if has.Size {
		file, err := f.root.OpenFile(at, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Truncate(int64(a.Size)), file.Close()); err != nil {
			return err
		}
	}
	if has.UidGid {
		if err := f.root.Lchown(at, int(a.UID), int(a.GID)); err != nil {
			return err
		}
	}
	if has.Permissions { // after the owner, whose change takes set-user-id away
		if err := f.root.Chmod(at, a.FileMode()&(fs.ModePerm|special)); err != nil {
			return err
		}
	}
	if has.Acmodtime {
		return f.root.Chtimes(at, a.AccessTime(), a.ModTime())
	}
	return nil
}

func (f sftpFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "List":
		return listed(f.readDir(r.Filepath))
	case "Stat":
		info, err := f.stat(r.Filepath)
		return listed([]fs.FileInfo{info}, err)
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

func (f sftpFiles) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := f.lstat(r.Filepath)
	return listed([]fs.FileInfo{info}, err)
}

// Readlink tells what a link says, not where that is here.
func (f sftpFiles) Readlink(name string) (string, error) {
	at, err := f.resolve(name, false)
	if err != nil {
		return "", err
	}
	return f.root.Readlink(at)
}

// RealPath follows links as sshd does, also for what is not there yet.
func (f sftpFiles) RealPath(name string) (string, error) {
	if !strings.HasPrefix(name, "/") {
		name = f.home() + "/" + name
	}
	at, err := f.resolve(name, true)
	if err != nil {
		return "", err
	}
	return "/" + strings.TrimPrefix(at, "."), nil
}

// listing is a list of files that is complete.
type listing []fs.FileInfo

func listed(l listing, err error) (sftp.ListerAt, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l listing) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}
