package scim_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/roster-scim/roster/scim"
)

// What AppendJSON wrote of each attribute is read back, and assigned makes the
// resource what it was.
func TestAssign_Stored(t *testing.T) {
	t.Parallel()
	for _, rs := range []string{scim.Atlassian, scim.Standard} {
		typ := typeOf(t, rs, "User")
		full := created(t, typ, body("", ""))
		values := make(map[*scim.Attr]scim.Value)
		bare := created(t, typ, `{"userName":"other","emails":[{"value":"o@x.example","primary":true}]}`)
		for _, d := range scim.Diff(bare, full) {
			if d.After.Kind() == scim.Absent {
				values[d.Attr] = d.After
				continue
			}
			v, err := typ.Stored(d.Attr.Path, d.After.AppendJSON(nil))
			if err != nil {
				t.Fatal(err)
			}
			values[d.Attr] = v
		}
		if len(values) == 0 {
			t.Fatal("no difference")
		}
		got, err := bare.Assign(values)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Append(nil)) != string(full.Append(nil)) {
			t.Errorf("%s:\ngot  %s\nwant %s", rs, got.Append(nil), full.Append(nil))
		}
	}
}

// Both views of one value follow.
func TestAssign_Views(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Atlassian, "User")
	r := created(t, typ, body("", ""))
	next, err := r.Assign(map[*scim.Attr]scim.Value{typ.Attr("department"): scim.StringValue("Sales")})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"department", scim.EnterpriseUserURN + ":department"} {
		if got := next.Get(path).Text(); got != "Sales" {
			t.Errorf("%s: got %q, want Sales", path, got)
		}
	}
}

func TestAssign_Refused(t *testing.T) {
	t.Parallel()
	user, group := typeOf(t, scim.Standard, "User"), typeOf(t, scim.Atlassian, "Group")
	none := scim.Value{}
	for _, tt := range []struct {
		name string
		r    *scim.Resource
		path string
		v    scim.Value
		want string
	}{
		{"required", created(t, user, `{"userName":"ada"}`), "userName", none, "userName is required"},
		{"blank", created(t, user, `{"userName":"ada"}`), "userName", scim.StringValue(" "), "blank"},
		{"immutable", created(t, group, `{"displayName":"Staff"}`), "displayName", scim.StringValue("Crew"), "immutable"},
	} {
		_, err := tt.r.Assign(map[*scim.Attr]scim.Value{tt.r.Type().Attr(tt.path): tt.v})
		var e *scim.Error
		if !errors.As(err, &e) || e.Status != 400 || !strings.Contains(e.Detail, tt.want) {
			t.Errorf("%s: got %v, want a 400 with %q", tt.name, err, tt.want)
		}
	}
}

func TestStored_SchemaHasChanged(t *testing.T) {
	t.Parallel()
	typ := typeOf(t, scim.Standard, "User")
	for _, tt := range []struct{ path, raw string }{
		{"shoeSize", `42`},
		{"title", `7`},
		{"emails", `"ada@corp.example"`},
		{"name.givenName", `"Ada"`},
		{scim.EnterpriseUserURN, `{"department":"x"}`},
		{scim.EnterpriseUserURN + ":manager", `"x"`},
		{"nope:department", `"x"`},
	} {
		v, err := typ.Stored(tt.path, []byte(tt.raw))
		var e *scim.Error
		if !errors.As(err, &e) || e.Status != 409 {
			t.Errorf("%s of %s: got %s, %v, want a 409", tt.path, tt.raw, v.AppendJSON(nil), err)
		}
	}
}
