package main

import (
	"bytes"
	"errors"
	"os"

	sdk "github.com/ufilesdk-dev/ufile-gosdk"
)

func newRequest() *sdk.UFileRequest {
	r, err := sdk.NewFileRequest(&sdk.Config{PublicKey: os.Getenv("SDK_PUBLIC"), PrivateKey: os.Getenv("SDK_PRIVATE"),
		BucketName: bucket, Endpoint: "http://127.0.0.1:" + os.Getenv("SDK_PORT"), VerifyUploadMD5: true}, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// newCalls makes those calls of v1.0.7 that race inside the SDK.
func newCalls(file string, content []byte) error {
	return errors.Join(
		named("AsyncMPut", newRequest().AsyncMPut(file, "new AsyncMPut", "")),
		named("AsyncUploadWithPolicy", newRequest().AsyncUploadWithPolicy(file, "new AsyncUploadWithPolicy", "", 4, policy)),
		named("IOMutipartAsyncUpload", newRequest().IOMutipartAsyncUpload(bytes.NewReader(content), "new IOMutipartAsyncUpload", "a/b")),
	)
}
