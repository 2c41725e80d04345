package faulttest

import (
	"fmt"
	"path/filepath"
)

// Cluster is the small internet of the three images of manifest.yaml: everything is a stand-in of ours. The products are
// one program under several names (examples/standin), the packages hold a few scripts.
type Cluster struct {
	*Internet
	// ReleasesKey and PackagesKey are the public keys, armored, that vouch for products and packages.
	ReleasesKey, PackagesKey []byte
}

const (
	clusterRPMs  = "https://rpms.example/el7/"
	clusterCFSSL = "https://github.com/cloudflare/cfssl/releases/download/v1.4.1/"
)

// NewCluster builds the small internet. standin is the program of examples/standin; dir takes the packages that are
// built, and must stay while the internet is served. It needs rpmbuild, rpmsign and createrepo_c.
func NewCluster(standin []byte, dir string) (*Cluster, error) {
	net, err := NewInternet("cluster")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Internet: net}
	if c.ReleasesKey, err = net.Key(); err != nil {
		return nil, err
	}
	for _, p := range []struct{ name, version string }{{"consul", "1.6.1"}, {"nomad", "0.9.4"}} {
		if err := net.PutProduct(p.name, p.version, playing(standin, p.name, p.version)); err != nil {
			return nil, err
		}
	}
	for _, p := range []struct{ name, version string }{{"consul", "2.6.0"}, {"nomad", "1.4.2"}, {"null", "2.1.2"}, {"template", "2.1.2"},
		{"ucloud", "1.15.1"}, {"external", "1.2.0"}, {"local", "1.4.0"}} {
		if err := net.PutProvider(p.name, p.version, 4, playing(standin, "terraform-provider-"+p.name, p.version)); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"cfssl", "cfssl-certinfo", "cfssljson"} {
		net.Put(clusterCFSSL+name+"_1.4.1_linux_amd64", playing(standin, name, "1.4.1"))
	}
	return c, c.buildPackages(filepath.Join(dir, "rpms"))
}

// playing is the stand-in with the line that tells it whom it plays.
func playing(standin []byte, name, version string) []byte {
	return fmt.Appendf(append([]byte(nil), standin...), "\nstandin %s %s\n", name, version)
}

func (c *Cluster) buildPackages(dir string) error {
	key, err := NewSigningKey(KeyOptions{})
	if err != nil {
		return err
	}
	if c.PackagesKey, err = key.Armored(); err != nil {
		return err
	}
	if err := BuildRepo(dir, key, clusterPackages()...); err != nil {
		return err
	}
	return c.PutFolder(clusterRPMs, dir)
}

// clusterPackages are what the recipes install. Those of docker require each other as the real ones do.
func clusterPackages() []RPMSpec {
	script := func(text string) RPMFile { return RPMFile{Content: "#!/bin/sh\n" + text + "\n", Mode: 0o755} }
	plain := func(name, version string) RPMSpec {
		return RPMSpec{Name: name, Version: version, Release: "1.el7", Requires: []string{"/bin/sh"},
			Files: map[string]RPMFile{"/usr/share/stand-in/" + name: {Content: name + " is a stand-in\n"}}}
	}
	with := func(s RPMSpec, path string, file RPMFile) RPMSpec { s.Files[path] = file; return s }
	docker := with(with(plain("docker-ce", "19.03.15"), "/usr/bin/dockerd", script("exec sleep infinity")),
		"/usr/lib/systemd/system/docker.service", RPMFile{Content: "[Unit]\nDescription=Docker stand-in\n\n[Service]\n" +
			"ExecStart=/usr/bin/dockerd\n\n[Install]\nWantedBy=multi-user.target\n"})
	docker.Epoch, docker.Release = 3, "3.el7"
	docker.Requires = append(docker.Requires, "docker-ce-cli", "containerd.io >= 1.2.2-3", "container-selinux >= 2:2.74", "iptables", "libcgroup",
		"libseccomp >= 2.3", "tar")
	cli := with(plain("docker-ce-cli", "19.03.15"), "/usr/bin/docker", script("echo 'Docker version 19.03.15, stand-in'"))
	cli.Epoch, cli.Release = 1, "3.el7"
	vim := plain("vim-enhanced", "7.4.629")
	vim.Provides = []string{"vim = 7.4.629"}
	selinux := plain("container-selinux", "2.119.2")
	selinux.Epoch = 2
	needing := func(s RPMSpec, more ...string) RPMSpec { s.Requires = append(s.Requires, more...); return s }
	return []RPMSpec{docker, cli, plain("sed", "4.2.2"), vim, selinux, plain("iptables", "1.4.21"), plain("libcgroup", "0.41"), plain("libseccomp", "2.3.1"),
		needing(plain("containerd.io", "1.4.13"), "container-selinux >= 2:2.74", "libseccomp"), plain("device-mapper-libs", "1.02.170"),
		with(plain("unzip", "6.0"), "/usr/bin/unzip", script(unzipScript)),
		with(plain("wget", "1.14"), "/usr/bin/wget", script(wgetScript)),
		with(plain("yum-utils", "1.1.31"), "/usr/bin/yum-config-manager", script(configManagerScript)),
		needing(plain("device-mapper-persistent-data", "0.8.5"), "device-mapper-libs"),
		needing(plain("lvm2", "2.02.187"), "device-mapper-libs >= 1.02.170", "device-mapper-persistent-data >= 0.7.0")}
}

// The programs that users' scripts take from these packages, as far as such scripts use them.
const (
	wgetScript = `set -eu
out=
dir=.
while [ $# -gt 0 ]; do
	case $1 in
	-O) out=$2; shift ;;
	-P) dir=$2; shift ;;
	-nv | -q | -c | --no-verbose | --quiet | --continue | --no-check-certificate | --tries=* | --timeout=*) ;;
	-*) echo "wget: unknown option $1" >&2; exit 2 ;;
	*) curl -q -fsS -o "${out:-$dir/${1##*/}}" "$1" || exit 8 ;;
	esac
	shift
done`

	// Like the real one it keeps modes, and asks before it writes over a file; without an answer it leaves it.
	unzipScript = `exec python3 - "$@" <<'PY'
import os, sys, zipfile
args, over, quiet, to, names = sys.argv[1:], False, False, ".", []
while args:
    a = args.pop(0)
    if a == "-d": to = args.pop(0)
    elif a in ("-o", "-q", "-qo", "-oq"): over, quiet = over or "o" in a, quiet or "q" in a
    elif a.startswith("-"): sys.exit("unzip: unknown option " + a)
    else: names.append(a)
with zipfile.ZipFile(names[0]) as z:
    for m in z.infolist():
        path = os.path.join(to, m.filename)
        if names[1:] and m.filename not in names[1:]: continue
        if os.path.exists(path) and not over: sys.exit("replace %s? (EOF or read error)" % path)
        z.extract(m, to)
        if m.external_attr >> 16: os.chmod(path, m.external_attr >> 16 & 0o777)
        if not quiet: print("  inflating: " + path)
PY`

	// As in yum-utils 1.1.31: an id that is not there is no error.
	configManagerScript = `set -eu
dir=/etc/yum.repos.d
enabled() { # enabled VALUE ID...
	value=$1
	shift
	for id; do
		for file in "$dir"/*.repo; do
			[ ! -f "$file" ] || sed -i "/^\\[$id\\]/,/^\\[/{s/^enabled *=.*/enabled=$value/}" "$file"
		done
	done
}
add() {
	case $1 in
	*.repo) curl -q -fsS -o "$dir/${1##*/}" "$1" ;;
	*) printf '[added]\nname=added from: %s\nbaseurl=%s\nenabled=1\n' "$1" "$1" >"$dir/added.repo" ;;
	esac
}
while [ $# -gt 0 ]; do
	case $1 in
	--add-repo) add "$2"; shift ;;
	--add-repo=*) add "${1#*=}" ;;
	--enable) shift; enabled 1 "$@"; exit ;;
	--disable) shift; enabled 0 "$@"; exit ;;
	--save | --setopt=* | -q | -y) ;;
	*) echo "yum-config-manager: unknown option $1" >&2; exit 2 ;;
	esac
	shift
done`
)
