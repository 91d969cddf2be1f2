package client

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrganization_SendsWhatTheAdminAPIsTake(t *testing.T) {
	t.Parallel()
	links := answer(200, `{"scimLinks":[{"scimUserId":"u","atlassianAccountId":"712020:a","orgId":"o","directoryId":"d"},{"scimUserId":"v","atlassianAccountId":null,"orgId":"o","directoryId":"d"}]}`)
	s := serve(t, links, links, answer(204, ""), answer(204, ""))
	org := s.client().Organization("o")
	want := []ScimLink{
		{UserID: "u", AccountID: "712020:a", Organization: "o", Directory: "d"},
		{UserID: "v", Organization: "o", Directory: "d"},
	}
	got, err := org.ListLinks(t.Context(), "712020:a/b")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if got, err = org.ListLinksOfEmail(t.Context(), "ada@corp.example"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if err := org.Unlink(t.Context(), "d", "u"); err != nil {
		t.Error(err)
	}
	if err := org.DeleteRecords(t.Context(), "712020:a"); err != nil {
		t.Error(err)
	}
	base := "/admin/user-provisioning/v1/org/o"
	if diff := cmp.Diff(s.requests(), []string{
		"GET " + base + "/user/712020:a%2Fb/get-scim-links",
		"POST " + base + `/get-scim-links-for-email {"email":"ada@corp.example"}`,
		"PATCH " + base + "/scimDirectoryId/d/scimUserId/u/unlink {}",
		"DELETE " + base + "/user/712020:a/onlyDeleteUserInDB",
	}); diff != "" {
		t.Error(diff)
	}
}

func TestOrganization_NeedsIDs(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.client()
	_, links := c.Organization("o").ListLinks(t.Context(), "")
	_, none := c.Organization("").ListLinksOfEmail(t.Context(), "a@corp.example")
	for what, err := range map[string]error{
		"account": links, "organisation": none,
		"directory": c.Organization("o").Unlink(t.Context(), "..", "u"),
		"user":      c.Organization("o").Unlink(t.Context(), "d", ""),
		"records":   c.Organization("o").DeleteRecords(t.Context(), "."),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if got := s.requests(); len(got) != 0 {
		t.Errorf("sent %q", got)
	}
}

func TestOrganization_LostAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(503, ""), answer(200, `{"scimLinks":null}`), drop, answer(200, ""), drop, answer(404, "{}"))
	org := s.client().Organization("o")
	if links, err := org.ListLinksOfEmail(t.Context(), "ada@corp.example"); err != nil || len(links) != 0 {
		t.Errorf("got %v, %v", links, err)
	}
	if err := org.Unlink(t.Context(), "d", "u"); err != nil {
		t.Error(err)
	}
	if err := org.DeleteRecords(t.Context(), "712020:a"); err != nil {
		t.Errorf("got %v, want none: the first attempt was done", err)
	}
	if len(s.requests()) != 6 || s.sentKeys()[0] != "" {
		t.Errorf("sent %q with keys %q", s.requests(), s.sentKeys())
	}
}
