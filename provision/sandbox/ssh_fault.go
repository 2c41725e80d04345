package sandbox

// SSHFault is a way in which a step of a host's SSH server goes wrong; the zero value is none. One that has no meaning at
// a step cuts the connection there.
type SSHFault string

// What can go wrong with SSH.
const (
	SSHRefuse     SSHFault = "refuse"      // connection reset, authentication denied, channel or command refused
	SSHBanner     SSHFault = "banner"      // at "connect": closed after the server's version line
	SSHDrop       SSHFault = "drop"        // the connection is cut; at a command: when that has begun
	SSHHang       SSHFault = "hang"        // nothing more is answered on this connection
	SSHLoseStatus SSHFault = "lose-status" // the command runs to its end, its exit status is not told
)
