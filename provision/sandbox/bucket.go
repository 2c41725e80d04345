package sandbox

// The sandbox has one bucket, which it always has: its name is the first label of the address that it listens on, so that
// clients which put BUCKET before the rest of Domain.Src get an address again (packer-plugin-ucloud v1.0.9's importer).

func describeBucket(c *call) (fields, error) {
	type domain struct{ Src, Cdn, CustomSrc, CustomCdn []string }
	type entry struct {
		Biz, BucketId, BucketName string
		CdnDomainId               []string
		CreateTime, ModifyTime    int
		HasUserDomain             int
		Region, Tag, Type         string
		Domain                    domain
	}
	if name := c.p.text("BucketName"); name != "" && name != c.s.bucket() {
		return nil, &apiError{15010, "bucket [" + name + "] not found"}
	}
	if c.p.text("Region") != "" { // then the service tells names alone
		type named struct{ BucketName string }
		return fields{"DataSet": []named{{c.s.bucket()}}}, nil
	}
	none := []string{}
	all := []entry{{Biz: "general", BucketId: "ufile-sandbox", BucketName: c.s.bucket(), CdnDomainId: none,
		CreateTime: epoch, ModifyTime: epoch, Region: "cn-bj", Tag: "Default", Type: "private",
		Domain: domain{[]string{c.s.ufile.String()}, none, none, none}}}
	from, to := c.p.page(len(all), 20)
	return fields{"DataSet": all[from:to]}, c.p.err
}

// createBucket has no room for a second one. It answers well for the one that is there, although the service would
// not, for it may be the first thing that a client does.
func createBucket(c *call) (fields, error) {
	name := c.p.required("BucketName")
	c.p.oneOf("Type", "private", "private", "public")
	c.p.required("Region")
	if c.p.err != nil {
		return nil, c.p.err
	}
	if name != c.s.bucket() {
		return nil, &apiError{15011, "the sandbox has the bucket " + c.s.bucket() + " and room for no other"}
	}
	return fields{"BucketName": name, "BucketId": "ufile-sandbox"}, nil
}
