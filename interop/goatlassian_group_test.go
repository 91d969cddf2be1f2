package interop

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ctreminiom/go-atlassian/v2/admin"
	"github.com/ctreminiom/go-atlassian/v2/pkg/infra/models"
)

// createGroup makes a group through the library.
func createGroup(t *testing.T, c *admin.Client, name string) *models.ScimGroupScheme {
	t.Helper()
	got, resp, err := c.SCIM.Group.Create(t.Context(), directory, name)
	if err != nil {
		t.Fatalf("create: %v: %s", err, said(resp))
	}
	if resp.Code != http.StatusCreated {
		t.Errorf("create: got %d, want 201", resp.Code)
	}
	return got
}

// patchGroup changes the members of a group through the library, and returns
// their ids, sorted.
func patchGroup(t *testing.T, c *admin.Client, id, op string, members ...string) []string {
	t.Helper()
	values := make([]*models.SCIMGroupOperationValueScheme, len(members))
	for i, m := range members {
		values[i] = &models.SCIMGroupOperationValueScheme{Value: m, Display: "someone"}
	}
	got, resp, err := c.SCIM.Group.Path(t.Context(), directory, id, &models.SCIMGroupPathScheme{
		Schemas:    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		Operations: []*models.SCIMGroupOperationScheme{{Op: op, Path: "members", Value: values}},
	})
	if err != nil {
		t.Fatalf("%s: %v: %s", op, err, said(resp))
	}
	return memberIDs(got)
}

func memberIDs(g *models.ScimGroupScheme) []string {
	ids := []string{}
	for _, m := range g.Members {
		ids = append(ids, m.Value)
	}
	slices.Sort(ids)
	return ids
}

func TestGoAtlassian_Groups(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	group := createGroup(t, c, "engines")
	if group.ID == "" || group.DisplayName != "engines" || group.Meta == nil || group.Meta.ResourceType != "Group" ||
		group.Meta.Location != base+"/scim/directory/"+directory+"/Groups/"+group.ID {
		t.Errorf("create: got %s", asJSON(t, group))
	}
	if _, resp, err := c.SCIM.Group.Create(t.Context(), directory, "Engines"); err == nil || resp.Code != http.StatusConflict || !strings.Contains(said(resp), group.ID) {
		t.Errorf("a taken name: got %v: %s", err, said(resp))
	}
	ids := []string{create(t, c, person("member-1")).ID, create(t, c, person("member-2")).ID, create(t, c, person("member-3")).ID}
	slices.Sort(ids)
	if got := patchGroup(t, c, group.ID, "add", ids...); !slices.Equal(got, ids) {
		t.Errorf("add: got %q, want %q", got, ids)
	}
	if got := patchGroup(t, c, group.ID, "remove", ids[0]); !slices.Equal(got, ids[1:]) {
		t.Errorf("remove: got %q, want %q", got, ids[1:])
	}
	if got := patchGroup(t, c, group.ID, "replace", ids[:2]...); !slices.Equal(got, ids[:2]) {
		t.Errorf("replace: got %q, want %q", got, ids[:2])
	}
	got, resp, err := c.SCIM.Group.Get(t.Context(), directory, group.ID)
	if err != nil || !slices.Equal(memberIDs(got), ids[:2]) {
		t.Fatalf("get: got %v: %s", err, said(resp))
	}
	if m := got.Members[0]; m.Type != "User" || m.Ref != base+"/scim/directory/"+directory+"/Users/"+m.Value || m.Display == "" || m.Display == "someone" {
		t.Errorf("a member: got %s", asJSON(t, m))
	}
	user, resp, err := c.SCIM.User.Get(t.Context(), directory, ids[0], nil, nil)
	if err != nil || len(user.Groups) != 1 || user.Groups[0].Value != group.ID || user.Groups[0].Display != "engines" {
		t.Errorf("the groups of a member: got %v: %s", err, said(resp))
	}

	// The library's update has the name alone: the members stay.
	got, resp, err = c.SCIM.Group.Update(t.Context(), directory, group.ID, "engines")
	if err != nil || !slices.Equal(memberIDs(got), ids[:2]) {
		t.Errorf("update: got %v: %s", err, said(resp))
	}
	if _, resp, err = c.SCIM.Group.Update(t.Context(), directory, group.ID, "motors"); !errors.Is(err, models.ErrBadRequest) || !strings.Contains(said(resp), "mutability") {
		t.Errorf("rename: got %v: %s", err, said(resp))
	}

	page, resp, err := c.SCIM.Group.Gets(t.Context(), directory, `displayName eq "ENGINES"`, 0, 50)
	if err != nil || page.TotalResults != 1 || page.Resources[0].ID != group.ID {
		t.Errorf("filter: got %v: %s", err, said(resp))
	}
	if resp, err := c.SCIM.Group.Delete(t.Context(), directory, group.ID); err != nil || resp.Code != http.StatusNoContent {
		t.Errorf("delete: got %v: %s", err, said(resp))
	}
	if _, resp, err := c.SCIM.Group.Get(t.Context(), directory, group.ID); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("get afterwards: got %v: %s", err, said(resp))
	}
}

func TestGoAtlassian_GroupRefused(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	group := createGroup(t, c, "refusals")
	_, resp, err := c.SCIM.Group.Path(t.Context(), directory, group.ID, &models.SCIMGroupPathScheme{
		Operations: []*models.SCIMGroupOperationScheme{{Op: "add", Path: "members", Value: []*models.SCIMGroupOperationValueScheme{{Value: "nobody"}}}},
	})
	if !errors.Is(err, models.ErrNotFound) {
		t.Errorf("a member that is not there: got %v: %s", err, said(resp))
	}
	// The library leaves an empty list out, so that it never arrives: a replace
	// with nothing is refused, and not taken for one that empties the group.
	_, resp, err = c.SCIM.Group.Path(t.Context(), directory, group.ID, &models.SCIMGroupPathScheme{
		Operations: []*models.SCIMGroupOperationScheme{{Op: "replace", Path: "members", Value: []*models.SCIMGroupOperationValueScheme{}}},
	})
	if !errors.Is(err, models.ErrBadRequest) {
		t.Errorf("a replace without a value: got %v: %s", err, said(resp))
	}
}

// The library sends operations in small letters for users, and Operations for
// groups.
func TestGoAtlassian_PatchUser(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	made := create(t, c, person("patched"))
	patch := &models.SCIMUserToPathScheme{Schemas: []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}}
	for _, op := range [][3]string{{"replace", "displayName", "Augusta"}, {"replace", "name.givenName", "Augusta"}} {
		if err := patch.AddStringOperation(op[0], op[1], op[2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := patch.AddBoolOperation("replace", "active", false); err != nil {
		t.Fatal(err)
	}
	home := []*models.SCIMUserComplexOperationScheme{{Value: "patched@home.example", ValueType: "home"}}
	if err := patch.AddComplexOperation("add", "emails", home); err != nil {
		t.Fatal(err)
	}
	got, resp, err := c.SCIM.User.Path(t.Context(), directory, made.ID, patch, nil, nil)
	if err != nil {
		t.Fatalf("patch: %v: %s", err, said(resp))
	}
	if got.DisplayName != "Augusta" || got.Name.GivenName != "Augusta" || got.Name.FamilyName != "Lovelace" || got.Active || len(got.Emails) != 2 || got.Title != made.Title {
		t.Errorf("got %s", said(resp))
	}
	if coerced := resp.Header.Get("Roster-Coerced"); coerced != "Operations (case)" {
		t.Errorf("Roster-Coerced: got %q", coerced)
	}
}
