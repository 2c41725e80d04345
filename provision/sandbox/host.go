package sandbox

// uhost is one host of the API. The first part is fixed before anybody else knows the host and may be read by all.
type uhost struct {
	id       string // uhost-…, unique on this machine for all practical purposes
	root     string // root file system of its image: a folder, which must not be changed, or a tar
	password string // root's; "" lets nobody in by password
	userData []byte // decoded; nil for none, or where the image has no CloudInit
	private  *address
	eip      *address // nil for a host without

	running running // for bootHost and its like alone
}
