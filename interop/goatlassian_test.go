package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ctreminiom/go-atlassian/v2/admin"
	"github.com/ctreminiom/go-atlassian/v2/pkg/infra/models"
)

// newGoAtlassian returns a client of go-atlassian as its documentation makes
// one, at the server under test.
func newGoAtlassian(t *testing.T, key string) *admin.Client {
	t.Helper()
	c, err := admin.New(http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if c.Site, err = url.Parse(base + "/"); err != nil {
		t.Fatal(err)
	}
	c.Auth.SetBearerToken(key)
	c.Auth.SetUserAgent("curl/7.54.0")
	return c
}

// person returns a user of that name with every attribute that the library has.
func person(name string) *models.SCIMUserScheme {
	return &models.SCIMUserScheme{
		ExternalID:        "ext-" + name,
		UserName:          name + "@corp.example",
		Emails:            []*models.SCIMUserEmailScheme{{Value: name + "@corp.example", Type: "work", Primary: true}},
		Name:              &models.SCIMUserNameScheme{Formatted: "Ada Lovelace", FamilyName: "Lovelace", GivenName: "Ada"},
		DisplayName:       "Ada Lovelace",
		NickName:          "Ada",
		Title:             "Engineer",
		PreferredLanguage: "en-GB",
		Department:        "Engines",
		Organization:      "Analytical",
		Timezone:          "Europe/London",
		PhoneNumbers:      []*models.SCIMUserPhoneNumberScheme{{Value: "+44 20 1234", Type: "work", Primary: true}},
		Active:            true,
	}
}

// create makes a user through the library.
func create(t *testing.T, c *admin.Client, u *models.SCIMUserScheme) *models.SCIMUserScheme {
	t.Helper()
	got, resp, err := c.SCIM.User.Create(t.Context(), directory, u, nil, nil)
	if err != nil {
		t.Fatalf("create: %v: %s", err, said(resp))
	}
	if resp.Code != http.StatusCreated {
		t.Errorf("create: got %d, want 201", resp.Code)
	}
	return got
}

// stored returns the user as the server has it.
func stored(t *testing.T, id string) map[string]any {
	t.Helper()
	body, err := call(t.Context(), http.MethodGet, "/scim/directory/"+directory+"/Users/"+id, "")
	if err != nil {
		t.Fatal(err)
	}
	var u map[string]any
	if err := json.Unmarshal(body, &u); err != nil {
		t.Fatal(err)
	}
	return u
}

func said(resp *models.ResponseScheme) string {
	if resp == nil {
		return "no answer"
	}
	return resp.Bytes.String()
}

func TestGoAtlassian_CreateAndGet(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	sent := person("create")
	made := create(t, c, sent)
	got, resp, err := c.SCIM.User.Get(t.Context(), directory, made.ID, nil, nil)
	if err != nil {
		t.Fatalf("get: %v: %s", err, said(resp))
	}
	if got.ID == "" || got.ID != made.ID {
		t.Errorf("id: got %q, the create gave %q", got.ID, made.ID)
	}
	if m := got.Meta; m == nil || m.ResourceType != "User" || m.Created == "" || m.Created != m.LastModified ||
		m.Location != base+"/scim/directory/"+directory+"/Users/"+got.ID {
		t.Errorf("meta: got %+v", m)
	}
	want := *sent
	want.ID, want.Meta, want.Groups = got.ID, got.Meta, got.Groups
	if got, want := asJSON(t, got), asJSON(t, &want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	few, _, err := c.SCIM.User.Get(t.Context(), directory, made.ID, []string{"userName", "emails.value"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if few.UserName == "" || len(few.Emails) != 1 || few.Emails[0].Type != "" || few.Title != "" {
		t.Errorf("attributes: got %s", asJSON(t, few))
	}
	most, _, err := c.SCIM.User.Get(t.Context(), directory, made.ID, nil, []string{"title", "name"})
	if err != nil {
		t.Fatal(err)
	}
	if most.Title != "" || most.Name != nil || most.NickName != "Ada" {
		t.Errorf("excludedAttributes: got %s", asJSON(t, most))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The library counts from 0 where SCIM counts from 1.
func TestGoAtlassian_ListFromStartIndex0(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	var ids []string
	for i := range 3 {
		ids = append(ids, create(t, c, person(fmt.Sprintf("list-%d", i))).ID)
	}
	page, resp, err := c.SCIM.User.Gets(t.Context(), directory, nil, 0, 50)
	if err != nil {
		t.Fatalf("list: %v: %s", err, said(resp))
	}
	if page.StartIndex != 1 || page.ItemsPerPage != len(page.Resources) || page.TotalResults < len(page.Resources) {
		t.Errorf("got startIndex %d, itemsPerPage %d, totalResults %d with %d resources",
			page.StartIndex, page.ItemsPerPage, page.TotalResults, len(page.Resources))
	}
	for _, id := range ids {
		if !slices.ContainsFunc(page.Resources, func(u *models.SCIMUserScheme) bool { return u.ID == id }) {
			t.Errorf("user %s is not on the page", id)
		}
	}

	options := &models.SCIMUserGetsOptionsScheme{Filter: `userName eq "LIST-1@corp.example"`, Attributes: []string{"userName"}}
	page, resp, err = c.SCIM.User.Gets(t.Context(), directory, options, 0, 50)
	if err != nil {
		t.Fatalf("filter: %v: %s", err, said(resp))
	}
	if page.TotalResults != 1 || len(page.Resources) != 1 || page.Resources[0].ID != ids[1] || page.Resources[0].Title != "" {
		t.Errorf("filter: got %s", said(resp))
	}
}

func TestGoAtlassian_UpdateReplaces(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	made := create(t, c, person("update"))
	next := &models.SCIMUserScheme{
		UserName: made.UserName,
		Emails:   made.Emails,
		Title:    "CTO",
		Name:     &models.SCIMUserNameScheme{GivenName: "Augusta"},
		Active:   true,
	}
	got, resp, err := c.SCIM.User.Update(t.Context(), directory, made.ID, next, nil, nil)
	if err != nil {
		t.Fatalf("update: %v: %s", err, said(resp))
	}
	if got.ID != made.ID || got.Title != "CTO" || got.Meta.Created != made.Meta.Created || got.Meta.LastModified == made.Meta.LastModified {
		t.Errorf("got %s", said(resp))
	}
	want := []string{"active", "emails", "externalId", "groups", "id", "meta", "name", "schemas", "title",
		"urn:scim:schemas:extension:atlassian-external:1.0", "userName"}
	user := stored(t, made.ID)
	if keys := slices.Sorted(maps.Keys(user)); !slices.Equal(keys, want) {
		t.Errorf("what was not sent must be cleared:\ngot  %q\nwant %q", keys, want)
	}
	if name := asJSON(t, user["name"]); name != `{"givenName":"Augusta"}` {
		t.Errorf("name: got %s", name)
	}
}

func TestGoAtlassian_UpdateRefused(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	holder := create(t, c, person("holder"))
	made := create(t, c, person("refused"))
	next := person("refused")
	next.UserName = holder.UserName
	_, resp, err := c.SCIM.User.Update(t.Context(), directory, made.ID, next, nil, nil)
	if !errors.Is(err, models.ErrInvalidStatusCode) || resp.Code != http.StatusConflict || !strings.Contains(said(resp), holder.ID) {
		t.Errorf("a taken userName: got %v: %s", err, said(resp))
	}
	next = person("refused")
	next.Emails = nil
	if _, resp, err = c.SCIM.User.Update(t.Context(), directory, made.ID, next, nil, nil); !errors.Is(err, models.ErrBadRequest) {
		t.Errorf("no e-mail: got %v: %s", err, said(resp))
	}
	_, resp, err = c.SCIM.User.Update(t.Context(), directory, "no-such-user", person("nobody"), nil, nil)
	if !errors.Is(err, models.ErrNotFound) {
		t.Errorf("no such user: got %v: %s", err, said(resp))
	}
	_, resp, err = newGoAtlassian(t, "not the key of anything").SCIM.User.Get(t.Context(), directory, made.ID, nil, nil)
	if !errors.Is(err, models.ErrUnauthorized) || !strings.Contains(said(resp), `"traceId"`) {
		t.Errorf("a wrong key: got %v: %s", err, said(resp))
	}
}

// The library calls a delete Deactivate.
func TestGoAtlassian_Deactivate(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	made := create(t, c, person("leaver"))
	resp, err := c.SCIM.User.Deactivate(t.Context(), directory, made.ID)
	if err != nil || resp.Code != http.StatusNoContent {
		t.Fatalf("got %v: %s", err, said(resp))
	}
	if _, resp, err := c.SCIM.User.Get(t.Context(), directory, made.ID, nil, nil); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("get afterwards: got %v: %s", err, said(resp))
	}
	if resp, err := c.SCIM.User.Deactivate(t.Context(), directory, made.ID); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("a second time: got %v: %s", err, said(resp))
	}
	if again := create(t, c, person("leaver")); again.ID == made.ID {
		t.Error("a new record has the id of the old one")
	}
}

// The library always sends "id":"" and "externalId":"": neither is a value, and
// the external id stays.
func TestGoAtlassian_EmptyExternalIDIsKept(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	made := create(t, c, person("external"))
	next := person("external")
	next.ID, next.ExternalID = "", ""
	got, resp, err := c.SCIM.User.Update(t.Context(), directory, made.ID, next, nil, nil)
	if err != nil {
		t.Fatalf("update: %v: %s", err, said(resp))
	}
	if got.ID != made.ID || got.ExternalID != "ext-external" {
		t.Errorf("got id %q and externalId %q, want %q and %q", got.ID, got.ExternalID, made.ID, "ext-external")
	}
	if got.Meta.LastModified != made.Meta.LastModified {
		t.Error("nothing has changed, but lastModified has")
	}
}

// The library leaves "active":false out, so that it never arrives: a PUT by it
// makes everybody active.
func TestGoAtlassian_FalseActiveIsNeverSent(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	sent := person("inactive")
	sent.Active = false
	made := create(t, c, sent)
	if !made.Active {
		t.Error("create without active: got false, want true")
	}
	path := "/scim/directory/" + directory + "/Users/" + made.ID
	body := `{"userName":"inactive@corp.example","emails":[{"value":"inactive@corp.example","primary":true}],"active":false}`
	if _, err := call(t.Context(), http.MethodPut, path, body); err != nil {
		t.Fatal(err)
	}
	if active := stored(t, made.ID)["active"]; active != false {
		t.Fatalf("active: got %v, want false", active)
	}
	got, resp, err := c.SCIM.User.Update(t.Context(), directory, made.ID, sent, nil, nil)
	if err != nil {
		t.Fatalf("update: %v: %s", err, said(resp))
	}
	if !got.Active {
		t.Error("update without active: got false, want true (rule omittedActive of the rule set atlassian)")
	}
}

// The library spells the URNs of the extensions with 2.1 and 1.1. There are no
// such schemas: what is in them is passed over, and the answer says so.
func TestGoAtlassian_MisspeltExtensionsAreIgnored(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	sent := person("extension")
	sent.Department, sent.Organization = "", ""
	sent.EnterpriseInfo = &models.SCIMEnterpriseUserInfoScheme{Department: "Lost", Organization: "Lost"}
	sent.SCIMExtension = &models.SCIMExtensionScheme{AtlassianAccountID: "lost"}
	made, resp, err := c.SCIM.User.Create(t.Context(), directory, sent, nil, nil)
	if err != nil {
		t.Fatalf("create: %v: %s", err, said(resp))
	}
	if made.EnterpriseInfo != nil || made.SCIMExtension != nil || strings.Contains(strings.ToLower(said(resp)), "lost") {
		t.Errorf("got %s", said(resp))
	}
	ignored := resp.Header.Get("Roster-Ignored")
	for _, urn := range []string{"urn:ietf:params:scim:schemas:extension:enterprise:2.1:User", "urn:scim:schemas:extension:atlassian-external:1.1"} {
		if !strings.Contains(ignored, urn) {
			t.Errorf("Roster-Ignored: got %q, want in it %s", ignored, urn)
		}
	}
	if stored(t, made.ID)["urn:scim:schemas:extension:atlassian-external:1.0"] == nil {
		t.Error("the user has no Atlassian account")
	}
}

// The library sends no schemas. The answer has them.
func TestGoAtlassian_NoSchemasInTheBody(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	made := create(t, c, person("schemas"))
	want := `["urn:scim:schemas:extension:atlassian-external:1.0","urn:ietf:params:scim:schemas:core:2.0:User",` +
		`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]`
	if got := asJSON(t, stored(t, made.ID)["schemas"]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestGoAtlassian_Schemas(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	s := c.SCIM.Schema
	user, resp, err := s.User(t.Context(), directory)
	if err != nil {
		t.Fatalf("user: %v: %s", err, said(resp))
	}
	i := slices.IndexFunc(user.Attributes, func(a *models.AttributeScheme) bool { return a.Name == "emails" })
	if user.ID != "urn:ietf:params:scim:schemas:core:2.0:User" || i < 0 || !user.Attributes[i].MultiValued ||
		!user.Attributes[i].Required || len(user.Attributes[i].SubAttributes) != 3 {
		t.Errorf("user: got %s", said(resp))
	}
	group, resp, err := s.Group(t.Context(), directory)
	if err != nil || group.Name != "Group" || group.Meta == nil || group.Meta.ResourceType != "Schema" {
		t.Errorf("group: got %v: %s", err, said(resp))
	}
	enterprise, resp, err := s.Enterprise(t.Context(), directory)
	if err != nil || len(enterprise.Attributes) != 2 {
		t.Errorf("enterprise: got %v: %s", err, said(resp))
	}
	all, resp, err := s.Gets(t.Context(), directory)
	if err != nil || all.TotalResults != 4 || len(all.Resources) != 4 || all.ItemsPerPage != 4 {
		t.Errorf("all: got %v: %s", err, said(resp))
	}
}

func TestGoAtlassian_ServiceProviderConfig(t *testing.T) {
	t.Parallel()
	c := newGoAtlassian(t, operatorKey)
	got, resp, err := c.SCIM.Schema.Feature(t.Context(), directory)
	if err != nil {
		t.Fatalf("got %v: %s", err, said(resp))
	}
	if !got.Filter.Supported || got.Filter.MaxResults != 100 || !got.Etag.Supported || got.ChangePassword.Supported ||
		len(got.AuthenticationSchemes) != 1 || got.Meta.ResourceType != "ServiceProviderConfig" {
		t.Errorf("got %s", said(resp))
	}
}
