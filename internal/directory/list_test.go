package directory_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/internal/store"
	"github.com/roster-scim/roster/scim"
)

// filters draws filters over few values, so that they hold of some resources. ids
// are those that links are compared with.
func filters(ids []string) *rapid.Generator[string] {
	texts := []string{
		"userName", "displayName", "emails.value", "externalId", "title", "emails.type", "name.givenName",
		"members.value", "groups.value", "groups.display", "members.type", "groups.type", "members", "groups", "id",
	}
	values := []string{`"a"`, `"B"`, `"ab"`, `"b@x"`, `"A@X"`, `"work"`, `"User"`, `"direct"`, `""`, `null`}
	comparison := rapid.Custom(func(t *rapid.T) string {
		a := rapid.SampledFrom(texts).Draw(t, "attribute")
		v := rapid.SampledFrom(values).Draw(t, "value")
		op := rapid.SampledFrom([]string{"eq", "eq", "eq", "ne", "co", "sw", "ew", "gt", "le", "pr"}).Draw(t, "op")
		if a == "id" || strings.HasPrefix(a, "members") || strings.HasPrefix(a, "groups") {
			v = `"` + rapid.SampledFrom(ids).Draw(t, "id") + `"`
		}
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
			switch rapid.IntRange(0, 6).Draw(t, "shape") {
			case 0:
				return sub.Draw(t, "left") + " or " + sub.Draw(t, "right")
			case 1, 2:
				return "(" + sub.Draw(t, "left") + ") and (" + sub.Draw(t, "right") + ")"
			case 3:
				return "not (" + sub.Draw(t, "operand") + ")"
			case 4:
				v := rapid.SampledFrom([]string{`"b@x"`, `"a@x"`}).Draw(t, "value")
				return `emails[type eq "work" and value eq ` + v + `]`
			case 5:
				list := rapid.SampledFrom([]string{"members", "groups"}).Draw(t, "list")
				also := rapid.SampledFrom([]string{"", ` and type eq "User"`, ` and not (type eq "indirect")`}).Draw(t, "also")
				return list + `[value eq "` + rapid.SampledFrom(ids).Draw(t, "id") + `"` + also + `]`
			}
			return sub.Draw(t, "filter")
		})
	}
	return filter(2)
}

// createGroup creates a group with these members.
func createGroup(t *testing.T, d *directory.Directory, name string, members ...string) *directory.Result {
	t.Helper()
	list := make([]string, len(members))
	for i, id := range members {
		list[i] = fmt.Sprintf(`{"value":%q}`, id)
	}
	body, _, err := d.Model.Type("Group").Parse(fmt.Appendf(nil, `{"displayName":%q,"members":[%s]}`, name, strings.Join(list, ",")))
	if err != nil {
		t.Fatal(err)
	}
	res, err := d.Create(t.Context(), directory.Call{}, body)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// populate fills a directory with users and groups, some of which are in others
// (one in itself, through another), and returns all that it made.
func populate(t *testing.T, d *directory.Directory) (all []*directory.Result) {
	t.Helper()
	names := []string{"a", "B", "ab", "b@x", "c"}
	for i, name := range names {
		for j, other := range names {
			for k := range 3 {
				body := fmt.Sprintf(`{"userName":"%s%d%d","displayName":%q,"externalId":%q`, name, j, k, other, name)
				if j == 0 && k == 0 {
					body = fmt.Sprintf(`{"userName":%q,"title":%q,"name":{"givenName":%q}`, name, names[4-i], other)
				}
				if (i+j+k)%2 == 0 {
					body += fmt.Sprintf(`,"emails":[{"value":%q,"type":"work"},{"value":"%s@x","type":"home","primary":%t}]`, other, name, k == 1)
				}
				all = append(all, create(t, d, body+"}"))
			}
		}
	}
	users := len(all)
	var groups []string
	for i := range 25 {
		var members []string
		for j := range i % 7 {
			members = append(members, all[(i*11+j*5)%users].ID)
		}
		if i%4 == 1 {
			members = append(members, groups[i/2])
		}
		g := createGroup(t, d, names[i%5]+strings.Repeat("x", i/5), members...)
		all, groups = append(all, g), append(groups, g.ID)
	}
	typ := d.Model.Type("Group")
	patch, _, err := typ.ParsePatch(fmt.Appendf(nil, `{"schemas":[%q],"Operations":[{"op":"add","path":"members","value":[{"value":%q}]}]}`, scim.PatchOpURN, groups[17]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Patch(t.Context(), directory.Call{}, typ, groups[8], patch); err != nil { // 17 has 8
		t.Fatal(err)
	}
	for i, r := range all {
		if all[i], err = d.Get(t.Context(), r.Type, r.ID, true); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// expected returns the ids of those of all that the selections select, in order,
// as package scim sees it.
func expected(t *rapid.T, all []*directory.Result, selections []directory.Selection) (ids []string) {
	type place struct {
		typ     int
		key, id string
	}
	var list []place
	descending := false
	for n, s := range selections {
		for _, r := range all {
			if r.Type != s.Type {
				continue
			}
			doc, err := s.Type.Decode(r.Doc)
			if err != nil {
				t.Fatal(err)
			}
			doc = doc.WithLinks(r.Links)
			p := place{n, "", r.ID}
			if s.Order != nil {
				p.typ, p.key, descending = 0, s.Order.Key(doc, r.Meta("")), s.Order.Descending()
			}
			if s.Filter == nil || s.Filter.Match(doc, r.Meta("")) {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, func(a, b place) int {
		c := a.typ - b.typ
		if c == 0 {
			c = strings.Compare(a.key+"\x00"+a.id, b.key+"\x00"+b.id)
		}
		if descending {
			c = -c
		}
		return c
	})
	for _, p := range list {
		ids = append(ids, p.id)
	}
	return ids
}

func idsOf(p *directory.Page) (ids []string) {
	for _, r := range p.Resources {
		ids = append(ids, r.ID)
	}
	return ids
}

// What a list selects, by index or by looking through, is what Match selects, in
// the order of the keys; the pages of it, by index and by cursor, are that, cut.
func TestList_FilterIsMatch(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		all := populate(t, d)
		users, groups := d.Model.Type("User"), d.Model.Type("Group")
		ids := []string{"none"}
		for i, r := range all {
			if i%9 == 0 || r.Type == groups {
				ids = append(ids, r.ID)
			}
		}
		orders := []string{
			"", "", "userName", "displayName", "externalId", "title", "emails.value", "name.givenName", "active", "id",
			"meta.created", "groups.display", "members.value", "meta.resourceType",
		}
		selected := 0
		rapid.Check(t, func(t *rapid.T) {
			types := rapid.SampledFrom([][]*scim.Type{{users}, {groups}, {users, groups}}).Draw(t, "types")
			text, by := "", rapid.SampledFrom(orders).Draw(t, "sortBy")
			if rapid.IntRange(0, 9).Draw(t, "filtered") > 0 {
				text = filters(ids).Draw(t, "filter")
			}
			order := rapid.SampledFrom([]string{"ascending", "descending"}).Draw(t, "sortOrder")
			selections, err := selectFrom(types, text, by, order)
			if err != nil { // what a type does not have, a list of that type alone refuses
				selections, err = selectFrom([]*scim.Type{users, groups}, text, by, order)
			}
			if err != nil {
				t.Fatalf("%s by %s: %v", text, by, err)
			}
			want := expected(t, all, selections)
			selected += len(all)
			start, count := rapid.IntRange(1, 30).Draw(t, "start"), rapid.IntRange(0, 60).Draw(t, "count")
			list := func(q directory.Query) *directory.Page {
				q.Select = selections
				page, err := d.List(t.Context(), q)
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				if page.Total != int64(len(want)) {
					t.Fatalf("%s: totalResults %d, want %d", text, page.Total, len(want))
				}
				return page
			}
			part := want[min(start-1, len(want)):]
			part = part[:min(count, len(part))]
			if got := idsOf(list(directory.Query{Start: start, Count: count})); strings.Join(got, " ") != strings.Join(part, " ") {
				t.Fatalf("%s (-got +want):\n%s", text, cmp.Diff(got, part))
			}
			// By cursor to the end, and back.
			count = max(count, 3)
			var got, pages []string
			cursor := ""
			page := list(directory.Query{Count: count, Cursor: &cursor})
			for ; ; page = list(directory.Query{Count: count, Cursor: &page.Next}) {
				got = append(got, idsOf(page)...)
				pages = append(pages, strings.Join(idsOf(page), " "))
				if page.Next == "" {
					break
				}
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Fatalf("%s: by cursor (-got +want):\n%s", text, cmp.Diff(got, want))
			}
			for i := len(pages) - 2; i >= 0; i-- {
				page = list(directory.Query{Count: count, Cursor: &page.Previous})
				if strings.Join(idsOf(page), " ") != pages[i] {
					t.Fatalf("%s: back to page %d: got %v, want %v", text, i, idsOf(page), pages[i])
				}
			}
			if page.Previous != "" {
				t.Fatalf("%s: the first page has one before it", text)
			}
		})
		if selected < 20*len(all) { // -short tries a fifth
			t.Errorf("only %d pairs of a filter and a resource were tried", selected)
		}
	})
}

// selectFrom selects resources of several types.
func selectFrom(types []*scim.Type, filter, by, order string) ([]directory.Selection, error) {
	list := make([]directory.Selection, len(types))
	for i, t := range types {
		list[i].Type = t
	}
	if filter != "" {
		bound, err := scim.ParseFilters(types, filter)
		if err != nil {
			return nil, err
		}
		for i := range list {
			list[i].Filter = bound[i]
		}
	}
	if by != "" {
		bound, err := scim.NewOrders(types, by, order)
		if err != nil {
			return nil, err
		}
		for i := range list {
			list[i].Order = bound[i]
		}
	}
	return list, nil
}

// users selects users.
func users(t *testing.T, d *directory.Directory, filter, by, order string) []directory.Selection {
	t.Helper()
	list, err := selectFrom([]*scim.Type{d.Model.Type("User")}, filter, by, order)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// tooMany reports whether a list is refused as such.
func tooMany(t *testing.T, d *directory.Directory, q directory.Query) bool {
	t.Helper()
	_, err := d.List(t.Context(), q)
	var e *scim.Error
	if err == nil {
		return false
	}
	if !errors.As(err, &e) || e.Status != 400 || e.Type != scim.TooMany {
		t.Fatalf("got %v, want tooMany", err)
	}
	return true
}

func TestList_TooMany(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc, err := directory.Open(t.Context(), directory.Options{Store: s, MaxScan: 10})
		if err != nil {
			t.Fatal(err)
		}
		d := newDirectory(t, svc, scim.Standard)
		var ids []string
		for i := range 501 {
			ids = append(ids, create(t, d, fmt.Sprintf(`{"userName":"u%d"}`, i)).ID)
		}
		g := createGroup(t, d, "g", ids...)
		few := createGroup(t, d, "few", ids[:5]...)
		for text, want := range map[string]bool{
			`title pr`: true, `userName sw "u"`: true, `userName eq "u7"`: false, `userName eq "u7" and title pr`: false, `id eq "x"`: false,
			`groups.value eq "` + g.ID + `"`: true, `groups.value eq "` + few.ID + `" and title pr`: false, `groups.value eq "none"`: false,
		} {
			if got := tooMany(t, d, directory.Query{Select: users(t, d, text, "", ""), Count: 10}); got != want {
				t.Errorf("%s: tooMany is %t", text, got)
			}
		}
		// The members of one group alone are too many to look at.
		typ := d.Model.Type("Group")
		for text, want := range map[string]bool{`members.type eq "User"`: true, `members.value eq "` + ids[0] + `"`: false, `displayName eq "few" and members.type eq "User"`: false} {
			f, err := typ.ParseFilter(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := tooMany(t, d, directory.Query{Select: []directory.Selection{{Type: typ, Filter: f}}, Count: 10}); got != want {
				t.Errorf("%s: tooMany is %t", text, got)
			}
		}
	})
}

// A sort looks through no more than a filter may, and by index goes no further
// than its heap; by cursor it goes on.
func TestList_SortedTooMany(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		svc, err := directory.Open(t.Context(), directory.Options{Store: s, MaxScan: 400})
		if err != nil {
			t.Fatal(err)
		}
		svc.SetMaxSorted(20)
		d := newDirectory(t, svc, scim.Standard)
		add := func(from, to int) {
			for i := from; i < to; i++ {
				create(t, d, fmt.Sprintf(`{"userName":"u%d","title":"t%d"}`, i, i))
			}
		}
		by := func(attribute string) []directory.Selection { return users(t, d, "", attribute, "") }
		add(0, 30)
		for _, tt := range []struct {
			start, count int
			want         bool
		}{{1, 20, false}, {11, 10, false}, {12, 10, true}, {31, 10, false}, {1000, 10, false}, {1, 21, true}} {
			if got := tooMany(t, d, directory.Query{Select: by("title"), Start: tt.start, Count: tt.count}); got != tt.want {
				t.Errorf("%d from %d: tooMany is %t", tt.count, tt.start, got)
			}
		}
		cursor, n := "", 0
		for {
			page, err := d.List(t.Context(), directory.Query{Select: by("title"), Count: 20, Cursor: &cursor})
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Resources)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if n != 30 {
			t.Errorf("by cursor: %d of 30", n)
		}
		add(30, 501)
		for _, attribute := range []string{"title", "meta.created", "emails.value"} {
			if !tooMany(t, d, directory.Query{Select: by(attribute), Count: 10}) {
				t.Errorf("by %s: taken", attribute)
			}
		}
		for _, attribute := range []string{"userName", "id"} {
			if tooMany(t, d, directory.Query{Select: by(attribute), Count: 10, Start: 495}) {
				t.Errorf("by %s: refused", attribute)
			}
		}
	})
}

// The users of a group are those that have it among their groups: direct ones,
// and those of the groups in it, however deep, in a circle too.
func TestList_Links(t *testing.T) {
	onEach(t, func(t *testing.T, s store.Store) {
		d := newDirectory(t, open(t, s, nil), scim.Standard)
		ada, bob, eve := create(t, d, `{"userName":"ada"}`).ID, create(t, d, `{"userName":"bob","title":"x"}`).ID, create(t, d, `{"userName":"eve"}`).ID
		inner := createGroup(t, d, "inner", ada, bob).ID
		outer := createGroup(t, d, "outer", inner, bob, eve).ID
		for filter, want := range map[string][]string{
			`groups.value eq "` + inner + `"`:                                     {ada, bob},
			`groups.value eq "` + outer + `"`:                                     {ada, bob, eve},
			`groups[value eq "` + outer + `"]`:                                    {ada, bob, eve},
			`groups eq "` + outer + `"`:                                           {ada, bob, eve},
			`groups[value eq "` + outer + `" and type eq "direct"]`:               {bob, eve},
			`groups.value eq "` + outer + `" and title pr`:                        {bob},
			`groups.value eq "` + outer + `" or userName eq "nobody"`:             {ada, bob, eve},
			`not (groups.value eq "` + inner + `")`:                               {eve},
			`groups.display eq "INNER"`:                                           {ada, bob},
			`groups pr`:                                                           {ada, bob, eve},
			`groups.value eq "` + ada + `"`:                                       nil,
			`groups.value eq "\u0000"`:                                            nil,
			`groups.value eq "` + inner + `" and groups.value eq "` + outer + `"`: {ada, bob},
		} {
			if diff := cmp.Diff(find(t, d, filter), want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", filter, diff)
			}
		}
	})
}
