package sandbox

import "math"

// getUHostInstancePrice tells made-up prices that grow with what is asked for.
func getUHostInstancePrice(c *call) (fields, error) {
	type entry struct {
		ChargeType           string
		Price, OriginalPrice float64
	}
	count := c.p.number("Count", 1, 1)
	p := spec{}
	c.p.required("CPU")
	c.p.required("Memory")
	c.readMachine(&p)
	asked := c.p.oneOf("ChargeType", "", "Year", "Month", "Dynamic", "Postpay", "Spot")
	gigabytes := 0
	for _, prefix := range c.p.groups("Disks") {
		gigabytes += c.p.number(prefix+".Size", 0, 0)
	}
	if id := c.p.text("ImageId"); id != "" && c.findImage(id) == nil {
		return nil, &apiError{8889, "image [" + id + "] not found"}
	}
	if c.p.err != nil {
		return nil, c.p.err
	}
	hour := 0.075*float64(p.cpu) + 0.025*float64(p.memory)/1024 + 0.005*float64(gigabytes)
	all := []entry{}
	for _, one := range []struct {
		kind  string
		hours float64
	}{{"Year", 24 * 300}, {"Month", 24 * 30}, {"Dynamic", 1}, {"Postpay", 1}, {"Spot", 0.5}} {
		// Without a charge type the service tells those of the first three.
		if asked == one.kind || asked == "" && len(all) < 3 {
			price := math.Round(hour*one.hours*float64(count)*100) / 100
			all = append(all, entry{one.kind, price, price})
		}
	}
	return fields{"PriceSet": all}, nil
}
