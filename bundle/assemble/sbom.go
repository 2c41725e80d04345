package assemble

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"

	"github.com/offbake/offbake/bundle/rpm"
	"github.com/offbake/offbake/manifest"
)

// sbom lists the inputs of a bundle as CycloneDX 1.5. It is a pure function of its arguments: the serial number is made
// of the lock's digest, the time is the lock's. packages are the RPM rows, by path.
func sbom(lock *manifest.Lock, lockText []byte, packages map[string]checkedPackage) ([]byte, error) {
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = serialNumber(lockText)
	self := component(lock.Name, lock.Version, "pkg:generic/"+purlName(lock.Name)+"@"+purlName(lock.Version))
	self.BOMRef = "bundle"
	bom.Metadata = &cyclonedx.Metadata{Timestamp: lock.Created.UTC().Format(time.RFC3339), Component: &self}
	components := []cyclonedx.Component{}
	for _, row := range lock.Rows {
		if row.Kind == manifest.KindEvidence {
			continue
		}
		c := rowComponent(row, packages[row.Path].header)
		c.BOMRef = row.Path
		c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: row.SHA256}}
		c.ExternalReferences = &[]cyclonedx.ExternalReference{{Type: cyclonedx.ERTypeDistribution, URL: row.URL}}
		c.Properties = &[]cyclonedx.Property{{Name: "offbake:verified", Value: row.Verified}}
		components = append(components, c)
	}
	bom.Components = &components
	var b bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cyclonedx.SpecVersion1_5); err != nil {
		return nil, fmt.Errorf("writing the SBOM: %w", err)
	}
	return b.Bytes(), nil
}

func component(name, version, purl string) cyclonedx.Component {
	return cyclonedx.Component{Type: cyclonedx.ComponentTypeApplication, Name: name, Version: version, PackageURL: purl}
}

func rowComponent(row manifest.Row, h *rpm.Header) cyclonedx.Component {
	if h != nil {
		purl := fmt.Sprintf("pkg:rpm/%s@%s?arch=%s", purlName(h.Name), purlName(h.EVR.Version+"-"+h.EVR.Release), h.Arch)
		if h.EVR.Epoch != "" && h.EVR.Epoch != "0" {
			purl += "&epoch=" + h.EVR.Epoch
		}
		return component(h.Name, h.EVR.String(), purl)
	}
	switch row.Kind {
	case manifest.KindHashiCorp, manifest.KindProvider:
		words := strings.Fields(row.Name) // "consul 1.6.1", "provider hashicorp/null 2.1.2"
		version := words[len(words)-1]
		name := words[len(words)-2]
		return component(name, version, "pkg:generic/"+purlName(name)+"@"+purlName(version))
	}
	c := component(row.Name, "", "")
	c.Type = cyclonedx.ComponentTypeFile
	return c
}

// purlName escapes a part of a package URL (github.com/package-url/purl-spec): all but letters, digits and .-_~:, and
// slashes between the parts of a name.
func purlName(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/")
}

// serialNumber is a version 8 UUID (RFC 9562, 5.8) of the digest of data.
func serialNumber(data []byte) string {
	u := sha256.Sum256(data)
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
