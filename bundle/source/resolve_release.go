package source

import (
	"context"
	"errors"

	"github.com/offbake/offbake/bundle/fetch"
	"github.com/offbake/offbake/manifest"
)

// releases are HashiCorp's products and the providers.
func (r *resolver) releases() []job {
	var jobs []job
	for _, rel := range Releases(r.in) {
		jobs = append(jobs, job{rel.Name, func(ctx context.Context) (result, error) { return r.release(ctx, rel) }})
	}
	return jobs
}

func (r *resolver) release(ctx context.Context, rel Release) (res result, err error) {
	keys, err := rel.ReadKeys(r.local, nil)
	if err != nil {
		return res, err
	}
	sums, err := r.document(ctx, rel.URL+rel.sumsName(), maxSums)
	if err != nil {
		return res, err
	}
	res.blobs = append(res.blobs, sums.blob)
	sig, digest, verified, err := r.signature(ctx, &rel, Evidence{Sums: sums.data, Keys: keys})
	if sig.blob != nil {
		res.blobs = append(res.blobs, sig.blob)
	}
	if err != nil {
		return res, err
	}
	zip := rel.URL + rel.Zip
	blob, err := r.fetcher.Fetch(ctx, fetch.Request{Name: rel.Zip, URLs: URLs(zip, r.in.Mirrors), SHA256: digest, Size: -1})
	if err != nil {
		return res, err
	}
	res.blobs = append(res.blobs, blob)
	row := manifest.Row{
		Path: rel.Path, Kind: rel.Kind, Name: rel.Name, URL: zip, Size: blob.Size, SHA256: digest, Mode: "0644",
		Verified: verified, Evidence: []string{rel.SumsPath(), rel.SignaturePath()},
	}
	sums.row.Path, sums.row.Name, sums.row.Verified = rel.SumsPath(), rel.Name, verified
	sig.row.Path, sig.row.Name, sig.row.Verified = rel.SignaturePath(), rel.Name, verified
	res.rows = []manifest.Row{sums.row, sig.row}
	if rel.Key == "" {
		row.Evidence = append(row.Evidence, BuiltinKeyPath)
		res.rows = append(res.rows, builtinKeyRow())
	}
	res.rows = append(res.rows, row)
	return res, nil
}

func builtinKeyRow() manifest.Row {
	return manifest.Row{
		Path: BuiltinKeyPath, Kind: manifest.KindEvidence, Name: "HashiCorp's release key", URL: builtinKeyURL,
		Size: int64(len(builtinHashiCorp)), SHA256: hexSum(builtinHashiCorp), Mode: "0644", Verified: "pinned",
	}
}

// signature fetches the signature of the sums and checks it. Where the usual one was made by a key that is not ours, the
// one that is named for our key is tried: when HashiCorp changed its key in 2021 it left some old .sig files as they
// were, and put SHA256SUMS.72D7468F.sig beside them.
func (r *resolver) signature(ctx context.Context, rel *Release, e Evidence) (sig document, digest, verified string, err error) {
	address := rel.URL + rel.sumsName()
	if sig, err = r.document(ctx, address+".sig", maxSignature); err != nil {
		return sig, "", "", err
	}
	e.Signature = sig.data
	digest, verified, err = rel.Check(e)
	if !errors.Is(err, ErrUnknownKey) {
		return sig, digest, verified, err
	}
	for _, id := range e.Keys.IDs() {
		other, fetchErr := r.document(ctx, address+"."+id[len(id)-8:]+".sig", maxSignature)
		if fetchErr != nil {
			continue // what there is to tell is that the usual one is not good
		}
		e.Signature = other.data
		if digest, verified, checkErr := rel.Check(e); checkErr == nil {
			return other, digest, verified, sig.blob.Close()
		}
		if closeErr := other.blob.Close(); closeErr != nil {
			return sig, "", "", closeErr
		}
	}
	return sig, "", "", err
}
