package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// filters draws filters over few values, so that they hold of some users.
func filters() *rapid.Generator[string] {
	texts := []string{"userName", "displayName", "emails.value", "externalId", "title", "emails.type", "name.givenName"}
	values := []string{`"a"`, `"B"`, `"ab"`, `"b@x"`, `"A@X"`, `"work"`, `""`, `null`}
	comparison := rapid.Custom(func(t *rapid.T) string {
		a := rapid.SampledFrom(texts).Draw(t, "attribute")
		v := rapid.SampledFrom(values).Draw(t, "value")
		op := rapid.SampledFrom([]string{"eq", "eq", "eq", "ne", "co", "sw", "ew", "gt", "le", "pr"}).Draw(t, "op")
		switch {
		case op == "pr":
			return a + " pr"
		case v == "null":
			op = rapid.SampledFrom([]string{"eq", "ne"}).Draw(t, "op")
		}
		return a + " " + op + " " + v
	})
	var filter func(depth int) *rapid.Generator[string]
	filter = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			if depth == 0 {
				return comparison.Draw(t, "comparison")
			}
			sub := filter(depth - 1)
			switch rapid.IntRange(0, 5).Draw(t, "shape") {
			case 0:
				return sub.Draw(t, "left") + " or " + sub.Draw(t, "right")
			case 1, 2:
				return "(" + sub.Draw(t, "left") + ") and (" + sub.Draw(t, "right") + ")"
			case 3:
				return "not (" + sub.Draw(t, "operand") + ")"
			case 4:
				v := rapid.SampledFrom([]string{`"b@x"`, `"a@x"`}).Draw(t, "value")
				return `emails[type eq "work" and value eq ` + v + `]`
			}
			return sub.Draw(t, "filter")
		})
	}
	return filter(2)
}

// What a list selects by index, or by looking through, is what Match selects;
// the pages of it are that, cut.
func TestList_FilterIsMatch(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		typ := d.Model.Type("User")
		var all []*directory.Result
		names := []string{"a", "B", "ab", "b@x", "c"}
		for i, name := range names {
			for j, other := range names {
				body := fmt.Sprintf(`{"userName":"%s%d","displayName":%q,"externalId":%q`, name, j, other, name)
				if j == 0 {
					body = fmt.Sprintf(`{"userName":%q,"title":%q,"name":{"givenName":%q}`, name, names[4-i], other)
				}
				if (i+j)%2 == 0 {
					body += fmt.Sprintf(`,"emails":[{"value":%q,"type":"work"},{"value":"%s@x","type":"home"}]`, other, name)
				}
				all = append(all, create(t, d, body+"}"))
			}
		}
		rapid.Check(t, func(rt *rapid.T) {
			text := filters().Draw(rt, "filter")
			f, err := typ.ParseFilter(text)
			if err != nil {
				rt.Fatalf("%s: %v", text, err)
			}
			var want []string
			for _, r := range all {
				doc, err := typ.Decode(r.Doc)
				if err != nil {
					rt.Fatal(err)
				}
				if f.Match(doc, r.Meta("")) {
					want = append(want, r.ID)
				}
			}
			start, count := rapid.IntRange(1, 5).Draw(rt, "start"), rapid.IntRange(0, 30).Draw(rt, "count")
			var got []string
			answer, err := d.List(t.Context(), directory.Query{Select: []directory.Selection{{Type: typ, Filter: f}}, Start: start, Count: count})
			if err != nil {
				rt.Fatalf("%s: %v", text, err)
			}
			for _, r := range answer.Resources {
				got = append(got, r.ID)
			}
			if answer.Total != int64(len(want)) {
				rt.Fatalf("%s: totalResults %d, want %d", text, answer.Total, len(want))
			}
			page := want[min(start-1, len(want)):]
			page = page[:min(count, len(page))]
			if strings.Join(got, " ") != strings.Join(page, " ") {
				rt.Fatalf("%s (-got +want):\n%s", text, cmp.Diff(got, page))
			}
		})
	})
}

func TestList_TooMany(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc, err := directory.Open(t.Context(), directory.Options{Store: s, MaxScan: 10})
		if err != nil {
			t.Fatal(err)
		}
		d := newDirectory(t, svc, scim.Standard)
		for i := range 501 {
			create(t, d, fmt.Sprintf(`{"userName":"u%d"}`, i))
		}
		typ := d.Model.Type("User")
		for text, tooMany := range map[string]bool{`title pr`: true, `userName sw "u"`: true, `userName eq "u7"`: false, `userName eq "u7" and title pr`: false, `id eq "x"`: false} {
			f, err := typ.ParseFilter(text)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.List(t.Context(), directory.Query{Select: []directory.Selection{{Type: typ, Filter: f}}, Count: 10})
			var e *scim.Error
			if got := errors.As(err, &e) && e.Status == 400 && e.Type == scim.TooMany; got != tooMany {
				t.Errorf("%s: got %v, want tooMany: %t", text, err, tooMany)
			}
		}
	})
}
