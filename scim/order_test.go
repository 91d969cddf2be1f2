package scim_test

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/roster-scim/roster/scim"
)

// sorted returns the numbers of the lines, which are resources, in order.
func sorted(t *testing.T, typ *scim.Type, o *scim.Order, lines []string) string {
	t.Helper()
	type line struct {
		n   int
		key string
	}
	list := make([]line, len(lines))
	for i, l := range lines {
		meta := tableMeta
		meta.ID = fmt.Sprint(i + 1)
		list[i] = line{i + 1, o.Key(created(t, typ, l), &meta)}
	}
	slices.SortStableFunc(list, func(a, b line) int {
		if o.Descending() {
			a, b = b, a
		}
		return strings.Compare(a.key, b.key)
	})
	var out strings.Builder
	for i, l := range list {
		switch {
		case i == 0:
		case l.key == list[i-1].key:
			out.WriteString(" = ")
		default:
			out.WriteString(" ")
		}
		fmt.Fprint(&out, l.n)
	}
	return out.String()
}

// Keys of numbers compare as the numbers do, exactly.
func TestOrder_Numbers(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "Gadget")
	o, err := typ.NewOrder("weight", "")
	if err != nil {
		t.Fatal(err)
	}
	key := func(t *rapid.T, n string) string {
		r, _, err := typ.Parse([]byte(`{"weight":` + n + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return o.Key(r, &tableMeta)
	}
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") {
			b = a + "0"
			if !strings.ContainsAny(a, ".eE") {
				b = a + ".0"
			}
			if strings.ContainsAny(a, "eE") {
				b = a
			}
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if got, want := strings.Compare(key(t, a), key(t, b)), x.Cmp(y); got != want {
			t.Fatalf("%s and %s: got %d, want %d", a, b, got, want)
		}
	})
}

// What is sorted by agrees with what is filtered by: a value that comes before
// another is lt it.
func TestOrder_AgreesWithFilter(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "Gadget")
	body := genBody(typ)
	paths := []string{}
	for _, a := range typ.Attributes() {
		if a.Type != scim.TypeComplex && a.Type != scim.TypeBoolean && a.Type != scim.TypeBinary && a.Top() == a && !a.MultiValued && a.Returned != scim.ReturnedNever && a.Path != "id" {
			paths = append(paths, a.Path)
		}
	}
	if len(paths) < 3 {
		t.Fatalf("only %v", paths)
	}
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		o, err := typ.NewOrder(path, rapid.SampledFrom([]string{"", "Ascending", "DESCENDING"}).Draw(t, "order"))
		if err != nil {
			t.Fatal(err)
		}
		var docs [2]*scim.Resource
		for i := range docs {
			body, _, err := typ.Parse([]byte(body.Draw(t, "body")))
			if err != nil {
				t.Fatal(err)
			}
			if docs[i], err = scim.Create(body); err != nil {
				t.Fatal(err)
			}
		}
		a, b := docs[0].Get(path), docs[1].Get(path)
		got := strings.Compare(o.Key(docs[0], &tableMeta), o.Key(docs[1], &tableMeta))
		if a.Kind() == scim.Absent || b.Kind() == scim.Absent {
			missing := func(v scim.Value) int {
				if v.Kind() == scim.Absent {
					return 1
				}
				return 0
			}
			if want := cmp.Compare(missing(a), missing(b)); got != want {
				t.Fatalf("%s %v and %v: got %d, want %d", path, a, b, got, want)
			}
			return
		}
		for op, want := range map[string]bool{"lt": got < 0, "eq": got == 0, "gt": got > 0} {
			f, err := typ.ParseFilter(path + " " + op + " " + string(b.AppendJSON(nil)))
			if err != nil {
				t.Fatal(err)
			}
			if f.Match(docs[0], &tableMeta) != want {
				t.Fatalf("%s: %v %s %v is %t, but the keys compare as %d", path, a, op, b, !want, got)
			}
		}
	})
}

func TestNewOrders_OfSeveralTypes(t *testing.T) {
	t.Parallel()
	types := []*scim.Type{typeOf(t, scim.Standard, "User"), typeOf(t, scim.Standard, "Group")}
	orders, err := scim.NewOrders(types, "userName", "")
	if err != nil {
		t.Fatal(err)
	}
	user := orders[0].Key(created(t, types[0], `{"userName":"zoe"}`), &tableMeta)
	group := orders[1].Key(created(t, types[1], `{"displayName":"a"}`), &tableMeta)
	if user >= group {
		t.Errorf("a group, which has no userName, comes before a user: %q, %q", group, user)
	}
	if _, err := scim.NewOrders(types, "shoe", ""); err == nil {
		t.Error("nobody has it, and it is taken")
	}
}

// An attribute that one type lacks has no value there.
func TestParseFilters_OfSeveralTypes(t *testing.T) {
	t.Parallel()
	types := []*scim.Type{typeOf(t, scim.Standard, "User"), typeOf(t, scim.Standard, "Group")}
	user := created(t, types[0], `{"userName":"ada","displayName":"x","emails":[{"value":"a@x","type":"work"}]}`)
	group := created(t, types[1], `{"displayName":"X"}`)
	for filter, want := range map[string][2]bool{
		`displayName eq "x"`:                        {true, true},
		`userName eq "ada"`:                         {true, false},
		`userName ne "ada"`:                         {false, true},
		`not (userName pr)`:                         {false, true},
		`userName eq null`:                          {false, true},
		`emails.value pr or displayName eq "x"`:     {true, true},
		`emails[type eq "work"]`:                    {true, false},
		`emails[type eq "work"].value sw "a"`:       {true, false},
		`name.givenName pr`:                         {false, false},
		`meta.resourceType eq "Group"`:              {false, true},
		scim.UserURN + `:userName sw "a"`:           {true, false},
		scim.EnterpriseUserURN + `:manager pr`:      {false, false},
		`members pr`:                                {false, false},
		`id eq "` + tableMeta.ID + `"`:              {true, true},
		scim.GroupURN + `:displayName co "x"`:       {false, true},
		`(userName pr and active eq true) or id pr`: {true, true},
	} {
		list, err := scim.ParseFilters(types, filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if got := [2]bool{list[0].Match(user, &tableMeta), list[1].Match(group, &tableMeta)}; got != want {
			t.Errorf("%s: got %v, want %v", filter, got, want)
		}
	}
	for _, filter := range []string{`shoe pr`, `userName gt 1`, `displayName eq "x" and shoe eq "y"`} {
		if _, err := scim.ParseFilters(types, filter); err == nil {
			t.Errorf("%s is taken", filter)
		}
	}
}
