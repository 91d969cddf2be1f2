package scim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/roster-scim/roster/scim"
)

// rfcUser is a user of about 1 KB, after the example of RFC 7643 section 8.3.
const rfcUser = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
"externalId":"701984","userName":"bjensen@example.com",
"name":{"formatted":"Ms. Barbara J Jensen, III","familyName":"Jensen","givenName":"Barbara","middleName":"Jane","honorificPrefix":"Ms.","honorificSuffix":"III"},
"displayName":"Babs Jensen","nickName":"Babs","title":"Tour Guide","preferredLanguage":"en-US","timezone":"America/Los_Angeles","active":true,
"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}],
"phoneNumbers":[{"value":"555-555-5555","type":"work"},{"value":"555-555-4444","type":"mobile"}],
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"organization":"Universal Studios","department":"Tour Operations"}}`

// rfcUserPut is rfcUser with a new title, as most updates are.
const rfcUserPut = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
"externalId":"701984","userName":"bjensen@example.com",
"name":{"formatted":"Ms. Barbara J Jensen, III","familyName":"Jensen","givenName":"Barbara","middleName":"Jane","honorificPrefix":"Ms.","honorificSuffix":"III"},
"displayName":"Babs Jensen","nickName":"Babs","title":"Chief Guide","preferredLanguage":"en-US","timezone":"America/Los_Angeles","active":true,
"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}],
"phoneNumbers":[{"value":"555-555-5555","type":"work"},{"value":"555-555-4444","type":"mobile"}],
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"organization":"Universal Studios","department":"Tour Operations"}}`

func BenchmarkParse(b *testing.B) {
	for _, rules := range scim.RuleSetNames {
		b.Run(rules, func(b *testing.B) {
			t, body := typeOf(b, rules, "User"), []byte(rfcUser)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := t.Parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	t := typeOf(b, scim.Atlassian, "User")
	doc := stored(b, t, rfcUser)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.Decode(doc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplace is what a PUT costs inside the transaction: the stored
// document is decoded, replaced, compared and encoded.
func BenchmarkReplace(b *testing.B) {
	t := typeOf(b, scim.Atlassian, "User")
	doc, body := stored(b, t, rfcUser), parsed(b, t, rfcUserPut)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		current, err := t.Decode(doc)
		if err != nil {
			b.Fatal(err)
		}
		next, _, err := scim.Replace(current, body)
		if err != nil {
			b.Fatal(err)
		}
		if d := scim.Diff(current, next); len(d) != 1 {
			b.Fatal(d)
		}
		buf = next.Append(buf[:0])
	}
}

func BenchmarkRender(b *testing.B) {
	t := typeOf(b, scim.Atlassian, "User")
	doc := stored(b, t, rfcUser)
	meta := &scim.Meta{ID: "0b32c1e0-7b1a-4d4f-9e0a-3b8f6a1c2d3e", Version: 3, Created: time.Unix(1e9, 0), Modified: time.Unix(2e9, 5000),
		Location: "https://example.com/scim/directory/d/Users/0b32c1e0-7b1a-4d4f-9e0a-3b8f6a1c2d3e"}
	for _, bb := range []struct {
		name       string
		attributes []string
	}{{"plain", nil}, {"projected", []string{"userName,emails.value"}}} {
		b.Run(bb.name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				p, err := t.NewProjection(bb.attributes, nil)
				if err != nil {
					b.Fatal(err)
				}
				if buf, err = t.Render(buf[:0], doc, meta, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFilter(b *testing.B) {
	t := typeOf(b, scim.Atlassian, "User")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.ParseFilter(`userName eq "bjensen@example.com"`); err != nil {
			b.Fatal(err)
		}
	}
}

// A million parentheses are refused by the length of the text alone.
func BenchmarkFilter_MillionParentheses(b *testing.B) {
	typ := typeOf(b, scim.Standard, "User")
	deep := strings.Repeat("(", 1_000_000) + `userName eq "x"` + strings.Repeat(")", 1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := typ.ParseFilter(deep); status(err) != 400 {
			b.Fatal(err)
		}
	}
}
