package store_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/bundle/serve"
	"github.com/offbake/offbake/bundle/store"
)

func TestEmit(t *testing.T) {
	files := map[string][]byte{
		"files/docker-ce-19.03.15-3.el7.x86_64.rpm": []byte("a"), "files/docker-ce-cli-19.03.15-3.el7.x86_64.rpm": []byte("b"),
		"files/docker-ce-selinux.rpm": nil, "files/cfssl_linux-amd64": nil, "rpms/repodata/repomd.xml": nil, "rpms/Packages/wget.rpm": nil,
		"rpms/keys/RPM-GPG-KEY-CentOS-7": nil, "rpms/keys/docker": nil,
	}
	s := newSample(t, files)
	srv := newService(t, serve.StoreOptions{Public: true})
	st := srv.open(t, store.Options{})
	push(t, st, s.Bundle)
	base := srv.URL + "/some/prefix/test/1.2.3"

	text, err := store.Emit(t.Context(), store.EmitPacker, st, s.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	var vars map[string]string
	if err := json.Unmarshal(text, &vars); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"file_server": base + "/files", "cfssl_tool_server": base + "/files", "yum_base": "", "yum_docker": "",
		"docker_rpm": base + "/files/docker-ce-19.03.15-3.el7.x86_64.rpm", "docker_cli_rpm": base + "/files/docker-ce-cli-19.03.15-3.el7.x86_64.rpm",
	}, vars); diff != "" {
		t.Errorf("packer (-want +got):\n%s", diff)
	}

	text, err = store.Emit(t.Context(), store.EmitYum, st, s.Bundle)
	want := "[offbake]\nname=test 1.2.3\nbaseurl=" + base + "/rpms/\nenabled=1\ngpgcheck=1\ngpgkey=" + base + "/rpms/keys/RPM-GPG-KEY-CentOS-7\n       " + base + "/rpms/keys/docker\n"
	if diff := cmp.Diff(want, string(text)); err != nil || diff != "" {
		t.Errorf("yum: %v (-want +got):\n%s", err, diff)
	}

	if _, err := store.Emit(t.Context(), "ansible", st, s.Bundle); err == nil {
		t.Error("an unknown kind is emitted")
	}
	files["rpms/Packages/libstdc++.rpm"] = nil
	if _, err := store.Emit(t.Context(), store.EmitYum, st, newSample(t, files).Bundle); err == nil {
		t.Error("yum would ask for libstdc++.rpm, which the store has under another name")
	}
	files["files/docker-ce-20.10.0.rpm"] = nil
	if _, err := store.Emit(t.Context(), store.EmitPacker, st, newSample(t, files).Bundle); err == nil {
		t.Error("one of two docker-ce packages was chosen")
	}
}

func TestEmitNeedsPublic(t *testing.T) {
	s := newSample(t, smallFiles())
	private := newService(t, serve.StoreOptions{}).open(t, store.Options{})
	push(t, private, s.Bundle)
	folder, err := store.Open("dir:"+t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{store.EmitPacker, store.EmitYum} {
		var hidden *store.PrivateError
		if text, err := store.Emit(t.Context(), kind, private, s.Bundle); !errors.As(err, &hidden) || text != nil {
			t.Errorf("%s: got %q, %v; want *PrivateError", kind, text, err)
		}
		if _, err := store.Emit(t.Context(), kind, folder, s.Bundle); !errors.Is(err, store.ErrNoURL) {
			t.Errorf("%s: got %v, want ErrNoURL", kind, err)
		}
	}
}
