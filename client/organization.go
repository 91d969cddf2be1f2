package client

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An Organization is Atlassian's Admin APIs for user provisioning: they reach
// every directory of an organisation, so Client.Key must be a key of the
// organisation, which at a Roster is an operator key. Client.Directory is not used.
type Organization struct {
	c  *Client
	id string
}

// Organization returns the Admin APIs of the organisation of that id;
// Management.Organization tells that of a Roster.
func (c *Client) Organization(id string) Organization { return Organization{c, id} }

// A ScimLink is the record of a user in one directory, and the account that it
// is linked to.
type ScimLink struct {
	UserID       string `json:"scimUserId"`
	AccountID    string `json:"atlassianAccountId"` // empty: unlinked
	Organization string `json:"orgId"`
	Directory    string `json:"directoryId"`
}

// ListLinks returns the records that are linked to an account.
func (o Organization) ListLinks(ctx context.Context, accountID string) ([]ScimLink, error) {
	account, err := segment("account", accountID)
	if err != nil {
		return nil, err
	}
	return o.links(ctx, &Request{Method: http.MethodGet, Path: "/user/" + account + "/get-scim-links"})
}

// ListLinksOfEmail returns the records that have an e-mail address, unlinked ones
// too.
func (o Organization) ListLinksOfEmail(ctx context.Context, email string) ([]ScimLink, error) {
	body, err := json.Marshal(struct {
		Email string `json:"email"`
	}{email})
	if err != nil {
		return nil, err
	}
	return o.links(ctx, &Request{Method: http.MethodPost, Path: "/get-scim-links-for-email", Body: body, reads: true})
}

// Unlink takes its account from a user, which stays in its directory. One that
// has none is no error.
func (o Organization) Unlink(ctx context.Context, directory, userID string) error {
	d, err := segment("directory", directory)
	if err != nil {
		return err
	}
	u, err := segment("user", userID)
	if err != nil {
		return err
	}
	path := "/scimDirectoryId/" + d + "/scimUserId/" + u + "/unlink"
	_, err = o.send(ctx, &Request{Method: http.MethodPatch, Path: path, Body: jsontext.Value("{}"), repeatable: true})
	return err
}

// DeleteRecords deletes the records that are linked to an account, in every
// directory; none is a *scim.Error with status 404, unless an earlier attempt of
// the same call may have deleted them.
func (o Organization) DeleteRecords(ctx context.Context, accountID string) error {
	account, err := segment("account", accountID)
	if err != nil {
		return err
	}
	_, err = o.send(ctx, &Request{Method: http.MethodDelete, Path: "/user/" + account + "/onlyDeleteUserInDB"})
	return goneAfterAll(err)
}

func (o Organization) links(ctx context.Context, r *Request) ([]ScimLink, error) {
	a, err := o.send(ctx, r)
	if err != nil {
		return nil, err
	}
	var out struct {
		Links []ScimLink `json:"scimLinks"`
	}
	if err := json.Unmarshal(a.Body, &out, looseJSON); err != nil {
		return nil, unreadable(r.Method, r.Path, a, err)
	}
	return out.Links, nil
}

func (o Organization) send(ctx context.Context, r *Request) (*Answer, error) {
	base, err := o.c.base()
	if err != nil {
		return nil, err
	}
	id, err := segment("organisation", o.id)
	if err != nil {
		return nil, err
	}
	return o.c.send(ctx, base+"/admin/user-provisioning/v1/org/"+id, jsonMedia, r)
}
