package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	sdk "old.invalid/ufile-gosdk"
)

func oldRequest() *sdk.UFileRequest {
	r, err := sdk.NewFileRequest(&sdk.Config{PublicKey: os.Getenv("SDK_PUBLIC"), PrivateKey: os.Getenv("SDK_PRIVATE"),
		BucketName: bucket, FileHost: "0.0.1:" + os.Getenv("SDK_PORT"), VerifyUploadMD5: true}, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// oldCalls makes every call of v1.0.1 that concerns objects.
func oldCalls(file string, content []byte) error {
	early, taken := oldRequest(), oldRequest()
	return errors.Join(
		refused("UploadHit too early", early, early.UploadHit(file, "old UploadHit"), 404),
		named("PutFile", oldRequest().PutFile(file, "old PutFile", "")),
		named("UploadHit", oldRequest().UploadHit(file, "old UploadHit")),
		named("PostFile", oldRequest().PostFile(file, "old PostFile", "")),
		named("PutFileWithPolicy", oldRequest().PutFileWithPolicy(file, "old PutFileWithPolicy", "", policy)),
		named("IOPut", oldRequest().IOPut(bytes.NewReader(content), "old IOPut", "a/b")),
		named("MPut", oldRequest().MPut(file, "old MPut", "")),
		named("MPutWithPolicy", oldRequest().MPutWithPolicy(file, "old MPutWithPolicy", "", policy)),
		named("AsyncMPut", oldRequest().AsyncMPut(file, "old AsyncMPut", "")),
		named("AsyncUploadWithPolicy", oldRequest().AsyncUploadWithPolicy(file, "old AsyncUploadWithPolicy", "", 4, policy)),
		named("IOMutipartAsyncUpload", oldRequest().IOMutipartAsyncUpload(bytes.NewReader(content), "old IOMutipartAsyncUpload", "a/b")),
		named("Copy", oldRequest().Copy("old Copy", bucket, "old MPut")),
		named("Copy", oldRequest().Copy("old Rename", bucket, "old MPut")),
		refused("Rename onto another", taken, taken.Rename("old Rename", "old Copy", "false"), 409),
		named("Rename", oldRequest().Rename("old Rename", "old Rename done", "false")),
		named("Restore", oldRequest().Restore("old Copy")),
		named("ClassSwitch", oldRequest().ClassSwitch("old Copy", "IA")),
		oldDelete(file),
		oldDownloads(file, content),
		oldLists(),
	)
}

// refused is nil for a call that failed with that status.
func refused(call string, r *sdk.UFileRequest, err error, status int) error {
	if err == nil || r.LastResponseStatus != status {
		return fmt.Errorf("%s: got status %d, %v; want %d", call, r.LastResponseStatus, err, status)
	}
	return nil
}

func oldDelete(file string) error {
	again := oldRequest()
	return errors.Join(
		named("PutFile", oldRequest().PutFile(file, "old deleted", "a/b")),
		named("HeadFile", oldRequest().HeadFile("old deleted")),
		named("DeleteFile", oldRequest().DeleteFile("old deleted")),
		refused("DeleteFile again", again, again.DeleteFile("old deleted"), 404),
	)
}

func oldDownloads(file string, content []byte) error {
	var streamed bytes.Buffer
	err := named("DownloadFile", oldRequest().DownloadFile(&streamed, "old Copy"))
	r := oldRequest()
	err = errors.Join(err, named("Download", r.Download(r.GetPrivateURL("old Copy", time.Hour))))
	if err == nil && (!bytes.Equal(streamed.Bytes(), content) || !bytes.Equal(r.LastResponseBody, content)) {
		err = errors.New("downloads: got other bytes")
	}
	if !oldRequest().CompareFileEtag("old Copy", file) {
		err = errors.Join(err, errors.New("CompareFileEtag: another file"))
	}
	late := oldRequest()
	return errors.Join(err, refused("expired", late, late.Download(late.GetPrivateURL("old Copy", -time.Hour)), 403))
}

func oldLists() error {
	const total = 12
	plain, err := oldRequest().PrefixFileList("old ", "", 100)
	objects, err2 := oldRequest().ListObjects("old ", "", "/", 5)
	switch {
	case err != nil || len(plain.DataSet) != total || plain.NextMarker != "":
		return fmt.Errorf("PrefixFileList: got %d objects, want %d, %v", len(plain.DataSet), total, err)
	case err2 != nil || len(objects.Contents) != 5 || !objects.IsTruncated || objects.NextMarker == "":
		return fmt.Errorf("ListObjects: got %d objects, want 5 and more to come, %v", len(objects.Contents), err2)
	}
	return nil
}
