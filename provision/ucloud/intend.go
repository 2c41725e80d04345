package ucloud

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/ucloud/ucloud-sdk-go/services/uhost"
	sdk "github.com/ucloud/ucloud-sdk-go/ucloud"
	sdkrequest "github.com/ucloud/ucloud-sdk-go/ucloud/request"

	"github.com/offbake/offbake/manifest"
	"github.com/offbake/offbake/provision"
)

// Intend tells the calls of a bake of img and what its host costs. What is only known on the way stands in brackets, as
// do secrets. It asks for the price alone, and goes without where that is not told.
func (c *Cloud) Intend(ctx context.Context, base provision.Base, img manifest.Image,
	k provision.Capture) (provision.Intent, error) {
	p, err := c.planOf(ctx, base, img)
	if err != nil {
		return provision.Intent{}, err
	}
	words := strings.Fields(k.Description)
	if len(words) == 0 {
		words = []string{"offbake-RUN-" + img.Name}
	}
	const hostID, imageID = "[UHostId]", "[ImageId]"
	client := c.api(ctx, p.at).uhost()
	way := access{password: "[secret]"}
	created := hostRequest(client, words[len(words)-1], p, way)
	if hasFeature(p.base, cloudInit) {
		created.UserData = sdk.String("[secret]")
	}
	described := client.NewDescribeUHostInstanceRequest()
	described.UHostIds = []string{hostID}
	seen := client.NewDescribeImageRequest()
	seen.ImageId = sdk.String(imageID)
	var in intent
	in.add("CreateUHostInstance", created)
	in.add("DescribeUHostInstance", described)
	in.add("StopUHostInstance", stopRequest(client, hostID))
	in.add("CreateCustomImage", imageRequest(client, hostID, k))
	in.add("DescribeImage", seen)
	for _, to := range p.copies {
		in.add("CopyCustomImage", copyRequest(client, imageID, to, k))
		there := c.api(ctx, to).uhost().NewDescribeImageRequest()
		there.ImageId = sdk.String("[TargetImageId]")
		in.add("DescribeImage", there)
	}
	in.add("TerminateUHostInstance", terminateRequest(client, hostID))
	if in.err != nil {
		return provision.Intent{}, in.err
	}
	in.Price = c.price(ctx, p)
	return in.Intent, ctx.Err()
}

type intent struct {
	provision.Intent
	err error
}

func (in *intent) add(action string, req sdkrequest.Common) {
	params, err := sdkrequest.EncodeForm(req)
	in.err = cmp.Or(in.err, err)
	for name, value := range params {
		if value == "" {
			delete(params, name)
		}
	}
	in.Calls = append(in.Calls, provision.Call{Action: action, Parameters: params})
}

// price is what the host costs, "" where the API does not say.
func (c *Cloud) price(ctx context.Context, p *plan) string {
	resp, err := ask(ctx, c, on(p.at, "GetUHostInstancePrice", func(a api) (*uhost.GetUHostInstancePriceResponse, error) {
		client := a.uhost()
		req := client.NewGetUHostInstancePriceRequest()
		req.Zone, req.ImageId = sdk.String(p.at.zone), sdk.String(p.base.ImageId)
		req.ChargeType = sdk.String(p.cloud.ChargeType)
		req.CPU, req.Memory, req.MachineType = sdk.Int(p.machine.cpu), sdk.Int(p.machine.memory), sdk.String(p.machine.family)
		req.Count, req.Disks = sdk.Int(1), bootDisks(p)
		return client.GetUHostInstancePrice(req)
	}))
	if err != nil {
		return ""
	}
	for _, set := range resp.PriceSet {
		if set.ChargeType == p.cloud.ChargeType {
			unit := map[string]string{"Dynamic": "an hour", "Month": "a month", "Year": "a year"}[set.ChargeType]
			return strconv.FormatFloat(set.Price, 'f', 2, 64) + " CNY " + unit
		}
	}
	return ""
}
