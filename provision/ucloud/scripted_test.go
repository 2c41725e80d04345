package ucloud_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision/ucloud"
)

const (
	publicKey  = "PUBLIC-KEY-of-the-test"
	privateKey = "PRIVATE-KEY-of-the-test"
	region     = "cn-bj2"
	zone       = "cn-bj2-02"
)

// scripted is an API whose answers a test writes: what a real one cannot be brought to say. By default it knows one of
// each thing (the samples of UCloud's documentation, shortened).
type scripted struct {
	*httptest.Server
	images    []map[string]any
	firewalls []map[string]any
	// answer, if set, may answer first; what it leaves untouched, the default does. try counts the calls of the action.
	answer func(w http.ResponseWriter, form url.Values, try int) bool

	mu    sync.Mutex
	forms []url.Values
	tries map[string]int
}

func newScripted(t *testing.T) *scripted {
	s := &scripted{tries: map[string]int{}, images: []map[string]any{baseImage("uimage-base79", "CentOS 7.9 64位", 1600000000)},
		firewalls: []map[string]any{{"FWId": "firewall-web", "Type": "recommend web"},
			{"FWId": "firewall-nonweb", "Type": "recommend non web"}}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func baseImage(id, name string, created int) map[string]any {
	return map[string]any{"ImageId": id, "ImageName": name, "OsType": "Linux", "OsName": name, "ImageType": "Base", "State": "Available",
		"Features": []string{"CloudInit", "RssdAttachable"}, "ImageSize": 20, "CreateTime": created, "Zone": zone}
}

// with changes an image or the like.
func with(m map[string]any, pairs ...any) map[string]any {
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func (s *scripted) serve(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	action := r.PostForm.Get("Action")
	s.mu.Lock()
	s.forms = append(s.forms, r.PostForm)
	s.tries[action]++
	try := s.tries[action]
	s.mu.Unlock()
	if s.answer != nil && s.answer(w, r.PostForm, try) {
		return
	}
	s.usual(w, action, r.PostForm)
}

func (s *scripted) usual(w http.ResponseWriter, action string, form url.Values) {
	switch action {
	case "DescribeImage":
		list := slices.DeleteFunc(slices.Clone(s.images), func(i map[string]any) bool {
			id, kind := form.Get("ImageId"), form.Get("ImageType")
			return id != "" && i["ImageId"] != id || kind != "" && i["ImageType"] != kind
		})
		reply(w, "ImageSet", page(list, form), "TotalCount", len(list))
	case "DescribeFirewall":
		list := slices.DeleteFunc(slices.Clone(s.firewalls), func(f map[string]any) bool {
			return form.Get("FWId") != "" && f["FWId"] != form.Get("FWId")
		})
		reply(w, "DataSet", page(list, form), "TotalCount", len(list))
	case "DescribeVPC":
		list := []any{}
		if form.Get("VPCIds.0") == "uvnet-1" {
			list = append(list, map[string]any{"VPCId": "uvnet-1"})
		}
		reply(w, "DataSet", list, "TotalCount", len(list))
	case "DescribeSubnet":
		list := []any{}
		if id := form.Get("SubnetIds.0"); id == "subnet-1" || id == "subnet-of-2" {
			list = append(list, map[string]any{"SubnetId": id, "VPCId": map[string]string{"subnet-1": "uvnet-1", "subnet-of-2": "uvnet-2"}[id]})
		}
		reply(w, "DataSet", list, "TotalCount", len(list))
	case "GetRegion":
		reply(w, "Regions", []any{map[string]any{"Region": "cn-bj2", "Zone": "cn-bj2-02"},
			map[string]any{"Region": "cn-bj2", "Zone": "cn-bj2-05"},
			map[string]any{"Region": "cn-sh2", "Zone": "cn-sh2-02"}, map[string]any{"Region": "hk", "Zone": "hk-02"}})
	case "GetProjectList":
		reply(w, "ProjectSet", []any{map[string]any{"ProjectId": "org-1", "IsDefault": true}, map[string]any{"ProjectId": "org-2"}})
	case "GetUHostInstancePrice":
		reply(w, "PriceSet", []any{map[string]any{"ChargeType": form.Get("ChargeType"), "Price": 0.35, "OriginalPrice": 0.5}})
	case "DescribeUHostInstance":
		reply(w, "UHostSet", []any{}, "TotalCount", 0)
	default:
		reply(w, "RetCode", 161, "Message", "Action ["+action+"] not found")
	}
}

// page is what Offset and Limit say; the API's own Limit is 20.
func page(list []map[string]any, form url.Values) []map[string]any {
	limit, err := strconv.Atoi(form.Get("Limit"))
	if err != nil {
		limit = 20
	}
	offset, err := strconv.Atoi(form.Get("Offset"))
	if err != nil {
		offset = 0
	}
	offset = min(offset, len(list))
	return list[offset:min(offset+limit, len(list))]
}

// reply answers as the API does.
func reply(w http.ResponseWriter, pairs ...any) {
	body := map[string]any{"RetCode": 0}
	for i := 0; i < len(pairs); i += 2 {
		body[pairs[i].(string)] = pairs[i+1]
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client notices
}

// calls returns the parameters of the calls of an action, or of all for "".
func (s *scripted) calls(action string) []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []url.Values
	for _, f := range s.forms {
		if action == "" || f.Get("Action") == action {
			out = append(out, f)
		}
	}
	return out
}

// quick is patient where a machine with much to do may be slow, and looks often.
func quick() ucloud.Patience {
	const long = 30 * time.Second
	return ucloud.Patience{Call: long, Boot: long, Disk: long, SSH: long, Stop: long, Image: long, Gone: long, Login: long, Stall: long,
		Seen: 20 * time.Millisecond, Poll: 2 * time.Millisecond, Retry: time.Millisecond}
}

func (s *scripted) cloud(t *testing.T) *ucloud.Cloud {
	t.Helper()
	c, err := ucloud.New(ucloud.Config{PublicKey: publicKey, PrivateKey: privateKey, BaseURL: s.URL, Patience: quick()}, place())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func place() manifest.Cloud { return manifest.Cloud{Region: region, Zone: zone, Project: "org-1"} }

// image asks for a CentOS 7 of the cloud, changed by change.
func image(change func(*manifest.Image)) manifest.Image {
	img := manifest.Image{Name: "db", ImageName: "db-1", Base: manifest.Base{Name: "CentOS 7.*"}, Cloud: place()}
	img.Cloud.InstanceType = "n-basic-2"
	if change != nil {
		change(&img)
	}
	return img
}
