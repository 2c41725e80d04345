package rpm

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// theirTokens are the tokens of a document as encoding/xml reads it, text joined.
func theirTokens(doc string) ([]string, error) {
	dec := xml.NewDecoder(strings.NewReader(doc))
	var tokens []string
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			tokens = append(tokens, fmt.Sprintf("text %q", text.String()))
		}
		text.Reset()
	}
	for {
		t, err := dec.RawToken()
		if err == io.EOF {
			flush()
			return tokens, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.CharData:
			text.Write(t)
		case xml.StartElement:
			flush()
			tokens = append(tokens, "start "+t.Name.Local)
			for _, a := range t.Attr {
				tokens = append(tokens, fmt.Sprintf("attr %s %q", a.Name.Local, a.Value))
			}
		case xml.EndElement:
			flush()
			tokens = append(tokens, "end "+t.Name.Local)
		}
	}
}

func ourTokens(r io.Reader) ([]string, error) {
	var tokens []string
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			tokens = append(tokens, fmt.Sprintf("text %q", text.String()))
		}
		text.Reset()
	}
	err := walkXML(r, func(t *xmlToken) error {
		switch t.kind {
		case charData:
			text.Write(t.text)
		case startElement:
			flush()
			tokens = append(tokens, "start "+string(t.name))
			for _, a := range t.attrs {
				tokens = append(tokens, fmt.Sprintf("attr %s %q", a.name, a.value))
			}
		case endElement:
			flush()
			tokens = append(tokens, "end "+string(t.name))
		}
		return nil
	})
	flush()
	return tokens, err
}

// FuzzXML holds our reader to encoding/xml: what ours takes, theirs takes and reads the same, however the bytes come in.
func FuzzXML(f *testing.F) {
	for _, doc := range []string{
		`<a/>`,
		`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<a x:b = "1>2" c='"'><!-- c --><b>t&amp;&#65;&#x42;é</b><![CDATA[<&]]></a>` + "\r\n",
		"<a b='&lt;&gt;&quot;&apos;'>x\r\ny\rz</a>",
		`<a><b></a></b>`, `<a b="1" b="2"/>`, `<a>]]></a>`, `<!DOCTYPE a><a/>`, `<a b=1/>`, `<a b="<"/>`, `<a>&#0;</a>`, `<a/><b/>`, `x<a/>`,
		`<a:b:c/>`, `<:a/>`, `<a /><?xml version="1.0"?>`, `<a b="1"c="2"/>`, "<a>\x01</a>", "<a>\xff</a>", "<a", "<a b=\"", "<!-- -- --><a/>", "<!-->-->",
	} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		ours, err := ourTokens(strings.NewReader(doc))
		slow, slowErr := ourTokens(iotest.OneByteReader(strings.NewReader(doc)))
		if (err == nil) != (slowErr == nil) || err == nil && !cmp.Equal(ours, slow) {
			t.Errorf("%q: got %q, %v at once, and %q, %v byte by byte", doc, ours, err, slow, slowErr)
		}
		if err != nil {
			return
		}
		theirs, err := theirTokens(doc)
		if err != nil {
			t.Fatalf("%q: got %q where encoding/xml says %v", doc, ours, err)
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%q: encoding/xml (-), ours (+):\n%s", doc, diff)
		}
	})
}

func TestXMLTakesWhatMetadataHas(t *testing.T) {
	for _, doc := range []string{
		`<?xml version="1.0" encoding="utf-8"?><a x:b = "1>2" c='"'>t&amp;&#65;&#x42;é<![CDATA[<&]]><!-- - c --></a >` + "\n",
		"<a\n  b='&lt;&gt;&quot;&apos;'\t/>",
		"<a>x\r\ny\rz</a>",
	} {
		ours, err := ourTokens(strings.NewReader(doc))
		if err != nil {
			t.Errorf("%q: %v", doc, err)
			continue
		}
		theirs, err := theirTokens(doc)
		if diff := cmp.Diff(theirs, ours); err != nil || diff != "" {
			t.Errorf("%q: %v, encoding/xml (-), ours (+):\n%s", doc, err, diff)
		}
	}
}

func TestXMLReadsRealMetadataAsEncodingXML(t *testing.T) {
	paths, err := filepath.Glob("testdata/docker-el7/repodata/*-primary.xml.gz")
	if err != nil || len(paths) != 1 {
		t.Fatalf("got %v, %v, want one file", paths, err)
	}
	stored, err := os.Open(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer stored.Close()
	plain, err := decompress(stored)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	want, err := theirTokens(string(doc))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ourTokens(strings.NewReader(string(doc)))
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("got %d tokens, %v, want encoding/xml's %d", len(got), err, len(want))
	}
}
