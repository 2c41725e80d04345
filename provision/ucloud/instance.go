package ucloud

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/offbake/offbake/manifest"
)

// instance is what an instance type such as n-basic-2 stands for.
type instance struct {
	family string // MachineType: N, O or C
	cpu    int
	memory int // MiB
}

// Memory in GiB for each core, by the second part of a type.
func ratios() map[string]int {
	return map[string]int{"highcpu": 1, "basic": 2, "standard": 4, "highmem": 8}
}

// parseInstance reads FAMILY-RATIO-CPU and FAMILY-customized-CPU-MEMORY with the limits that UCloud's own Packer plugin
// knows (facts/ucloud.md, section 5); what a zone really has, only Create learns.
func parseInstance(s string) (instance, error) {
	parts := strings.Split(s, "-")
	family := parts[0]
	if family != "n" && family != "o" && family != "c" {
		return instance{}, fmt.Errorf("got %q, want n-, o- or c-RATIO-CPU, such as n-basic-2", s)
	}
	var numbers []int
	for _, p := range parts[min(2, len(parts)):] {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			return instance{}, fmt.Errorf("got %q, want a positive number in place of %q", s, p)
		}
		numbers = append(numbers, n)
	}
	out := instance{family: strings.ToUpper(family)}
	switch ratio := strings.Join(parts[1:min(2, len(parts))], ""); {
	case ratio == "customized" && len(numbers) == 2:
		out.cpu, out.memory = numbers[0], numbers[1]<<10
		return out, checkCustom(s, out.cpu, numbers[1], family)
	case ratio == "customized":
		return instance{}, fmt.Errorf("got %q, want %s-customized-CPU-MEMORY, with the memory in GiB", s, family)
	case ratios()[ratio] != 0 && len(numbers) == 1:
		out.cpu, out.memory = numbers[0], numbers[0]*ratios()[ratio]<<10
		return out, checkCPU(s, out.cpu, family, ratio)
	}
	return instance{}, fmt.Errorf("got %q, want %s- and highcpu-, basic-, standard- or highmem-CPU, or customized-CPU-MEMORY",
		s, family)
}

func checkCPU(s string, cpu int, family, ratio string) error {
	if family == "o" {
		sizes := []int{2, 4, 8, 16, 32, 64, 96}
		if ratio == "highmem" {
			sizes = []int{2, 4, 8, 16, 32}
		}
		if !slices.Contains(sizes, cpu) {
			return fmt.Errorf("got %q, want one of %v cores", s, sizes)
		}
		return nil
	}
	most := 32
	if ratio == "highmem" {
		most = 16
	}
	if cpu > most || cpu != 1 && cpu%2 != 0 {
		return fmt.Errorf("got %q, want 1 core or an even number up to %d", s, most)
	}
	return nil
}

func checkCustom(s string, cpu, memory int, family string) error {
	if err := checkCPU(s, cpu, family, "customized"); err != nil {
		return err
	}
	if memory != 1 && memory%2 != 0 || memory > 256 {
		return fmt.Errorf("got %q, want 1 GiB of memory or an even number up to 256", s)
	}
	if cpu > 2*memory || memory > 16*cpu {
		return fmt.Errorf("got %q, want from half a GiB to 16 GiB of memory for each core", s)
	}
	return nil
}

// diskTypes maps boot_disk.type to the API's Disks.N.Type.
func diskTypes() map[string]string {
	return map[string]string{"cloud_ssd": "CLOUD_SSD", "cloud_rssd": "CLOUD_RSSD", "local_normal": "LOCAL_NORMAL",
		"local_ssd": "LOCAL_SSD"}
}

// disk is a boot disk. Size is in GiB.
type disk struct {
	kind string
	size int
}

// bootDisk chooses the boot disk for a machine of a family from an image of size minimum: cloud_ssd where nothing is
// asked for, which O machines do not take, and the image's own size. With an error, key is what is wrong.
func bootDisk(want manifest.BootDisk, minimum int, family string) (d disk, key string, err error) {
	fallback := "cloud_ssd"
	if family == "O" {
		fallback = "cloud_rssd"
	}
	kind := cmp.Or(want.Type, fallback)
	d = disk{kind: diskTypes()[kind], size: cmp.Or(want.Size, minimum)}
	switch {
	case d.kind == "":
		return d, "type", fmt.Errorf("got %q, want cloud_ssd, cloud_rssd, local_normal or local_ssd", kind)
	case family == "O" && kind != "cloud_rssd":
		return d, "type", fmt.Errorf("got %q, want cloud_rssd for an instance type o-", kind)
	case strings.HasPrefix(kind, "local_") && d.size != minimum:
		return d, "size", fmt.Errorf("got %d GiB, want the base image's %d on a local disk", d.size, minimum)
	case d.size < minimum:
		return d, "size", fmt.Errorf("got %d GiB, want at least the base image's %d", d.size, minimum)
	}
	return d, "", nil
}
