package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/internal/rostertest"
	"github.com/roster-scim/roster/scim"
)

func person(name string) *client.User {
	email := name + "@corp.example"
	return &client.User{UserName: email, Emails: client.Set([]client.MultiValue{client.Value(email, "work")})}
}

func TestRoster_UsersAndGroups(t *testing.T) {
	t.Parallel()
	for _, ruleSet := range []string{scim.Atlassian, scim.Standard, scim.Strict} {
		t.Run(ruleSet, func(t *testing.T) {
			t.Parallel()
			c, _ := rostertest.Serve(t, ruleSet, nil)
			ctx := t.Context()
			var ids []string
			for i := range 7 {
				u, err := c.Users().Create(ctx, person(fmt.Sprintf("n%d", i)), nil)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, u.ID)
			}
			_, err := c.Users().Create(ctx, person("n0"), nil)
			var se *scim.Error
			if !errors.As(err, &se) || se.Status != 409 || se.Type != scim.Uniqueness {
				t.Errorf("got %v, want a conflict", err)
			}
			u, err := c.Users().Patch(ctx, ids[0], client.Patch{
				client.Replace("title", "CTO"), client.Add("name", client.Name{GivenName: client.Set("Ada")}), client.Replace("active", false),
			}, nil)
			if err != nil || u.Title.Value() != "CTO" || u.Active.Value() || u.Name.Value().GivenName.Value() != "Ada" {
				t.Fatalf("got %+v, %v", u, err)
			}
			if u, err = c.Users().Patch(ctx, ids[0], client.Patch{client.Remove("title")}, &client.WriteOptions{IfMatch: u.Answer.ETag()}); err != nil || !u.Title.IsZero() {
				t.Errorf("got %+v, %v", u, err)
			}
			if _, err := c.Users().Patch(ctx, ids[0], client.Patch{client.Remove("name")}, &client.WriteOptions{IfMatch: `W/"0"`}); !errors.As(err, &se) || se.Status != 412 {
				t.Errorf("got %v, want 412", err)
			}
			var listed []string
			for u, err := range c.Users().List(ctx, &client.ListOptions{Count: 3}) {
				if err != nil {
					t.Fatal(err)
				}
				listed = append(listed, u.ID)
			}
			if slices.Sort(listed); !slices.Equal(listed, slices.Sorted(slices.Values(ids))) {
				t.Errorf("listed %q, want %q", listed, ids)
			}

			n := 0
			for u, err := range c.Users().Search(ctx, &client.ListOptions{Filter: "userName sw " + client.Quote("n"), SortBy: "userName", Descending: true, Count: 3}) {
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("n%d@corp.example", 6-n); u.UserName != want {
					t.Errorf("got %s, want %s", u.UserName, want)
				}
				n++
			}
			if n != 7 {
				t.Errorf("found %d users", n)
			}

			g, err := c.Groups().Create(ctx, &client.Group{DisplayName: "all", Members: client.Set(client.Members(ids[0]))}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if done, err := c.Groups().AddMembers(ctx, g.ID, ids, &client.MemberOptions{Piece: 3}); err != nil || done != 7 {
				t.Errorf("added %d, %v", done, err)
			}
			if done, err := c.Groups().RemoveMembers(ctx, g.ID, ids[2:], &client.MemberOptions{Piece: 2}); err != nil || done != 5 {
				t.Errorf("removed %d, %v", done, err)
			}
			if g, err = c.Groups().Get(ctx, g.ID, nil); err != nil || len(g.Members.Value()) != 2 {
				t.Errorf("got %+v, %v", g.Members, err)
			}
			if err := c.Groups().Delete(ctx, g.ID, nil); err != nil {
				t.Error(err)
			}
			if _, err := c.Groups().Get(ctx, g.ID, nil); !errors.As(err, &se) || se.Status != 404 {
				t.Errorf("got %v, want 404", err)
			}
			if cfg, err := c.ServiceProviderConfig(ctx); err != nil || !cfg.Pagination.Cursor || !cfg.Bulk.Supported {
				t.Errorf("got %+v, %v", cfg, err)
			}
			types, err := c.ResourceTypes(ctx)
			if err != nil || !slices.ContainsFunc(types, func(r *client.ResourceType) bool { return r.Endpoint == "/Groups" }) {
				t.Errorf("got %v, %v", types, err)
			}
			raw, err := c.Resources("/Users").Get(ctx, ids[1], &client.GetOptions{Attributes: []string{"userName"}})
			if err != nil || raw.ID != ids[1] || !strings.Contains(string(raw.Body), `"userName":"n1@corp.example"`) {
				t.Errorf("got %+v, %v", raw, err)
			}
		})
	}
}

// A list of several pages is by cursor: nobody is missed though others are
// deleted meanwhile.
func TestRoster_ListWhileUsersAreDeleted(t *testing.T) {
	t.Parallel()
	c, _ := rostertest.Serve(t, scim.Standard, nil)
	ctx := t.Context()
	var ids []string
	for i := range 10 {
		u, err := c.Users().Create(ctx, person(fmt.Sprintf("n%d", i)), nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, u.ID)
	}
	var listed []string
	for u, err := range c.Users().List(ctx, &client.ListOptions{Count: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, u.ID)
		if err := c.Users().Delete(ctx, u.ID, nil); err != nil {
			t.Error(err)
		}
	}
	if slices.Sort(listed); !slices.Equal(listed, slices.Sorted(slices.Values(ids))) {
		t.Errorf("listed %d of %d", len(listed), len(ids))
	}
}

func TestRoster_Bulk(t *testing.T) {
	t.Parallel()
	c, _ := rostertest.Serve(t, scim.Standard, nil)
	ops := []client.BulkOperation{
		{Method: "POST", Path: "/Groups", BulkID: "all", Data: &client.Group{DisplayName: "all", Members: client.Set(client.Members("bulkId:u999"))}},
	}
	for i := range 1000 {
		ops = append(ops, client.BulkOperation{Method: "POST", Path: "/Users", BulkID: fmt.Sprintf("u%d", i), Data: person(fmt.Sprintf("n%d", i))})
	}
	if _, err := c.Bulk(t.Context(), ops, nil); err == nil || !strings.Contains(err.Error(), "put it after that") {
		t.Errorf("got %v, want that the group comes first", err)
	}
	ops = append(ops[1:], ops[0], client.BulkOperation{Method: "PATCH", Path: "/Users/bulkId:u0", Data: client.Patch{client.Replace("title", "CTO")}},
		client.BulkOperation{Method: "POST", Path: "/Users", Data: person("n7")})
	results, err := c.Bulk(t.Context(), ops, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results[:len(results)-1] {
		if r.Err != nil || r.ID == "" {
			t.Fatalf("operation %d: got %+v", i, r)
		}
	}
	var se *scim.Error
	if last := results[len(results)-1]; !errors.As(last.Err, &se) || se.Status != 409 {
		t.Errorf("got %+v, want a conflict", last)
	}
	g, err := c.Groups().Get(t.Context(), results[1000].ID, nil)
	if err != nil || len(g.Members.Value()) != 1 || g.Members.Value()[0].Value != results[999].ID {
		t.Errorf("got %+v, %v", g, err)
	}
	u, err := c.Users().Get(t.Context(), results[1001].ID, nil)
	if err != nil || u.Title.Value() != "CTO" || u.ID != results[0].ID {
		t.Errorf("got %+v, %v", u, err)
	}
}

func TestRoster_Organization(t *testing.T) {
	t.Parallel()
	c, org := rostertest.Serve(t, scim.Atlassian, nil)
	u, err := c.Users().Create(t.Context(), person("ada"), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := c.Organization(org)
	links, err := o.ListLinksOfEmail(t.Context(), "ada@corp.example")
	if err != nil || len(links) != 1 || links[0].UserID != u.ID || links[0].AccountID == "" {
		t.Fatalf("got %+v, %v", links, err)
	}
	account := links[0].AccountID
	if links, err = o.ListLinks(t.Context(), account); err != nil || len(links) != 1 {
		t.Errorf("got %+v, %v", links, err)
	}
	if err := o.Unlink(t.Context(), c.Directory, u.ID); err != nil {
		t.Error(err)
	}
	if links, err = o.ListLinksOfEmail(t.Context(), "ada@corp.example"); err != nil || len(links) != 1 || links[0].AccountID != "" {
		t.Errorf("got %+v, %v", links, err)
	}
	v, err := c.Users().Create(t.Context(), person("bob"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.DeleteRecords(t.Context(), v.External.AtlassianAccountID); err != nil {
		t.Error(err)
	}
	var se *scim.Error
	if _, err := c.Users().Get(t.Context(), v.ID, nil); !errors.As(err, &se) || se.Status != 404 {
		t.Errorf("got %v, want 404", err)
	}
}

// Every third answer to a write is lost, after the write was done.
func TestRoster_LostAnswersAreDoneOnce(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	c, _ := rostertest.Serve(t, scim.Standard, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && n.Add(1)%3 == 0 {
				h.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	})
	g, err := c.Groups().Create(t.Context(), &client.Group{DisplayName: "all"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		u, err := c.Users().Create(t.Context(), person(fmt.Sprintf("n%d", i)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := c.Groups().AddMembers(t.Context(), g.ID, []string{u.ID}, nil); err != nil || done != 1 {
			t.Errorf("got %d, %v", done, err)
		}
		u, err = c.Users().Patch(t.Context(), u.ID, client.Patch{client.Add(`emails[type eq "home"].value`, "h@corp.example")}, nil)
		if err != nil || len(u.Emails.Value()) != 2 {
			t.Errorf("got %+v, %v", u.Emails, err)
		}
	}
	if g, err = c.Groups().Get(t.Context(), g.ID, nil); err != nil || len(g.Members.Value()) != 12 {
		t.Errorf("got %d members, %v", len(g.Members.Value()), err)
	}
}
