package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/offbake/offbake/bundle"
	"github.com/offbake/offbake/bundle/assemble"
	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/bundle/sign"
	"github.com/offbake/offbake/bundle/source"
	"github.com/offbake/offbake/bundle/store"
	"github.com/offbake/offbake/bundle/ufile"
	"github.com/offbake/offbake/internal/transport"
	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
	"github.com/offbake/offbake/provision/ucloud"
)

// as reports whether err is, or wraps, an error of type T.
func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func isUsage(err error) bool {
	return as[*usageError](err) || as[manifest.Errors](err) || as[*manifest.Error](err) || as[*manifest.MissingError](err) ||
		as[*assemble.StaleLockError](err) || provision.IsPlanError(err) || as[*ucloud.SettingError](err)
}

// isUntrusted tells what was refused from what merely failed: wrong bytes, wrong form, no good signature.
func isUntrusted(err error) bool {
	return bundle.Refused(err) || errors.Is(err, errNoTrust) || as[*fetch.MismatchError](err) ||
		as[*source.SignatureError](err) || as[*source.KeyChangedError](err) || as[*rpm.SignatureError](err) ||
		as[*rpm.MismatchError](err) || as[*assemble.HostileError](err) || as[*store.DowngradeError](err)
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// hint tells what to do about an error; "" where the error says it all.
func (a *app) hint(err error) string {
	var egress *provision.EgressError
	var status *transport.StatusError
	var notPushed *notPushedError
	var step *provision.StepError
	var absent *absentError
	var unsolvable *source.UnsolvableError
	switch {
	case errors.As(err, &unsolvable):
		return unsolvableHint(unsolvable)
	case errors.Is(err, errNoTrust):
		return "name the key that you trust: --pubkey offbake.pub"
	case errors.Is(err, errNoKey):
		return "make a key with: offbake keygen; then give --key offbake.key (or --unsigned for a trial)"
	case errors.Is(err, errNoPassword):
		return "export OFFBAKE_KEY_PASSWORD, or make a key without one: offbake keygen --no-password"
	case errors.Is(err, rpm.ErrUnsigned) && as[*source.RepomdError](err):
		return "who runs the repository has to sign it; without its repo_gpgcheck the signatures of its packages are checked alone"
	case errors.Is(err, rpm.ErrUnsigned):
		return "where you trust its source, name the package under artifacts.rpms.unsigned"
	case errors.Is(err, errNoLock), as[*assemble.StaleLockError](err):
		return "run: offbake lock -f " + a.manifestPath()
	case errors.Is(err, bundle.ErrUnsigned):
		return "sign it where it was made: offbake fetch --key offbake.key; or use it as it is, for a trial: --allow-unsigned"
	case errors.Is(err, sign.ErrUntrusted):
		return "the bundle is signed by another key; get its public key by a way that you trust, and give it with --pubkey"
	case errors.As(err, &notPushed):
		return "put it there first: " + notPushed.push
	case as[*store.DowngradeError](err):
		return "if the older bundle is what you want, push it with --allow-older"
	case errors.As(err, &absent):
		return "what the bundle holds tells: offbake ls " + absent.bundle
	case as[*bundle.ExistsError](err):
		return "name another place; fetch replaces a bundle with --force"
	case as[*assemble.ReplayError](err):
		return "take what is missing into artifacts.rpms.install, leave out what is in the way, and lock again; what rpms.base has to be tells: offbake base query"
	case as[*provision.RehearsalError](err) && !errors.Is(err, context.Canceled):
		return "all that the hosts print tells: -v; the root file system has to be that of the base image"
	case as[*provision.PackageError](err):
		return "choose another base image, or take what it lacks into artifacts.rpms.install and fetch again; what the base has tells: offbake base dump"
	case errors.As(err, &step) && step.Kept != "" && as[*inCloudError](err):
		return "look at the host, " + step.Kept + " in the console; without ssh.password in the manifest's cloud, set one there; offbake clean ends it"
	case errors.As(err, &step) && step.Kept != "":
		return "look at the host: nsenter --all --target $(pgrep -P $(pgrep -fo hosts/" + step.Kept + "/root)); the next bake of the image ends it"
	case errors.As(err, &egress):
		return "take what it needs into the manifest's artifacts, and read it from ${FILE_SERVER} or the bundle's repository"
	case as[*provision.SealError](err):
		return "a script changed the network of the host: it must leave ip rules, routes and the agent alone"
	case errors.Is(err, transport.ErrBlocked):
		return "offline, only the store and the hosts are spoken to"
	case errors.As(err, &status) && (status.Code == 404 || status.Code == 410):
		return "the vendor does not have this file; check name and version in " + a.manifestPath()
	case as[*ufile.Error](err) && errors.Is(err, fs.ErrPermission):
		return "check UCLOUD_PUBKEY and UCLOUD_SECRET, and the machine's clock"
	case errors.Is(err, syscall.ENOSPC):
		return "make room on the disk; what was downloaded is kept in the cache and not asked for again"
	case as[*net.DNSError](err):
		return "check the network and the proxy settings; what was downloaded is kept for the next run"
	}
	return cloudHint(err)
}
