package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/offbake/offbake/provision/sandbox"
)

// TestAnswersHaveTheSamplesFields compares what we answer with samples of the service's answers, name by name and type by
// type.
func TestAnswersHaveTheSamplesFields(t *testing.T) {
	s := open(t, &park{}, sandbox.Options{})
	host := running(t, s, create(s))
	answers := map[string]reply{
		"GetProjectList":        ok(t, s, "GetProjectList", nil),
		"GetRegion":             ok(t, s, "GetRegion", nil),
		"DescribeImage":         ok(t, s, "DescribeImage", values{"ImageId": s.Ready().Images[0].ID}),
		"DescribeFirewall":      ok(t, s, "DescribeFirewall", nil),
		"DescribeVPC":           ok(t, s, "DescribeVPC", nil),
		"DescribeSubnet":        ok(t, s, "DescribeSubnet", nil),
		"DescribeUHostInstance": ok(t, s, "DescribeUHostInstance", values{"UHostIds.0": host}),
		"CreateUHostInstance":   ok(t, s, "CreateUHostInstance", create(s)),
		"StopUHostInstance":     ok(t, s, "StopUHostInstance", values{"UHostId": host}),
		"DescribeUK8SImage":     ok(t, s, "DescribeUK8SImage", nil),
		"DescribeBucket":        ok(t, s, "DescribeBucket", values{"Region": "-"}),
		"CreateBucket":          ok(t, s, "CreateBucket", values{"BucketName": s.Ready().Bucket}),
		"GetUHostInstancePrice": ok(t, s, "GetUHostInstancePrice",
			values{"Zone": zone, "CPU": "2", "Memory": "4096", "Count": "1", "ChargeType": "Dynamic"}),
		"ImportCustomImage": ok(t, s, "ImportCustomImage", values{"ImageName": "i", "UFileUrl": s.Ready().Endpoint + "/x",
			"OsType": "CentOS", "OsName": "CentOS 7.9 64位", "Format": "RAW", "Auth": "true"}),
	}
	hostIs(t, s, host, "Stopped")
	answers["CreateCustomImage"] = ok(t, s, "CreateCustomImage", values{"UHostId": host, "ImageName": "n"})
	image := answers["CreateCustomImage"].text("ImageId")
	await(t, s, "DescribeImage", values{"ImageId": image}, "ImageSet.0.State", "Available")
	answers["CopyCustomImage"] = ok(t, s, "CopyCustomImage",
		values{"SourceImageId": image, "TargetProjectId": s.Ready().Project, "TargetRegion": "hk"})
	answers["TerminateCustomImage"] = ok(t, s, "TerminateCustomImage", values{"ImageId": image})
	answers["TerminateUHostInstance"] = ok(t, s, "TerminateUHostInstance", values{"UHostId": host})
	files, err := filepath.Glob("testdata/samples/*.json")
	if err != nil || len(files) != len(answers) {
		t.Fatalf("got %d samples, %v, want %d", len(files), err, len(answers))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var sample map[string]any
		if err := json.Unmarshal(text, &sample); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d := cmp.Diff(shape("", sample), shape("", map[string]any(answers[name]))); d != "" {
			t.Errorf("%s: fields (-sample +ours):\n%s", name, d)
		}
	}
}

// shape lists the fields of a JSON value with their types. The elements of a list are taken together: an address of one
// kind has other fields than one of another.
func shape(path string, v any) []string {
	seen := map[string]bool{}
	switch v := v.(type) {
	case map[string]any:
		seen[path+" object"] = true
		for name, sub := range v {
			for _, line := range shape(path+"."+name, sub) {
				seen[line] = true
			}
		}
	case []any:
		seen[path+" list"] = true
		for _, sub := range v {
			for _, line := range shape(path+"[]", sub) {
				seen[line] = true
			}
		}
	default:
		seen[fmt.Sprintf("%s %T", path, v)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
