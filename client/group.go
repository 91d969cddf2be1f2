package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// A Group is a group as a service sends it and takes it (RFC 7643 section 4.2).
type Group struct {
	Schemas     []string        `json:"schemas,omitzero"` // of what was read; sent are those of what is there
	ID          string          `json:"id,omitzero"`      // assigned by the service; not sent
	ExternalID  Field[string]   `json:"externalId,omitzero"`
	DisplayName string          `json:"displayName,omitzero"` // required in what is sent
	Members     Field[[]Member] `json:"members,omitzero"`     // absent in a Replace: kept or emptied, as the service has it
	Meta        Meta            `json:"meta,omitzero"`        // by the service; not sent
	// Extra is a JSON object of the attributes that have no field here. Empty:
	// there are none.
	Extra jsontext.Value `json:",embed"`

	// Answer is what the service said; nil in a Group that was not read.
	Answer *Answer `json:"-"`
}

// A Member is a user or group in a Group.
type Member struct {
	Value   string         `json:"value,omitzero"` // its id
	Ref     string         `json:"$ref,omitzero"`
	Display Field[string]  `json:"display,omitzero"`
	Type    Field[string]  `json:"type,omitzero"` // "User" or "Group"
	Extra   jsontext.Value `json:",embed"`
}

// Members returns the members of those ids, for Group.Members.
func Members(ids ...string) []Member {
	list := make([]Member, len(ids))
	for i, id := range ids {
		list[i].Value = id
	}
	return list
}

// body returns g as it is sent: without what the service assigns.
func (g *Group) body() (jsontext.Value, error) {
	out := *g
	out.ID, out.Meta = "", Meta{}
	var err error
	if out.Schemas, err = withExtensions([]string{scim.GroupURN}, g.Extra); err != nil {
		return nil, err
	}
	return json.Marshal(&out)
}

func (g *Group) read(data jsontext.Value) error { return json.Unmarshal(data, g, looseJSON) }

func (g *Group) answered(id string, a *Answer) {
	g.Answer = a
	if g.ID == "" {
		g.ID = id
	}
}

func (g *Group) twin() string {
	if g.DisplayName == "" {
		return ""
	}
	return "displayName eq " + Quote(g.DisplayName)
}

// Groups are the groups of the directory.
type Groups struct{ Endpoint[Group] }

// Groups returns the groups of the directory.
func (c *Client) Groups() Groups { return Groups{Endpoint[Group]{c, "/Groups", "group"}} }

// MemberOptions go with AddMembers and RemoveMembers; nil is none of them.
type MemberOptions struct {
	// Piece is how many members are named in one PATCH, at the most. Less than
	// 1: 100, which is what the narrowest of the known services takes.
	Piece int
}

const defaultPiece = 100

// AddMembers adds the users, or groups, of those ids to a group, in one PATCH or
// several, and returns how many of them it was done for, from the first on. Who
// is a member already stays one: after an error the call can be repeated. A piece
// that is too large for the service (413) is halved.
func (g Groups) AddMembers(ctx context.Context, id string, members []string, o *MemberOptions) (done int, err error) {
	return g.inPieces(ctx, id, members, o, func(ids []string) Patch {
		return Patch{Add("members", Members(ids...))}
	})
}

// RemoveMembers takes the users, or groups, of those ids out of a group, as
// AddMembers adds them. Who is no member is passed over, if the service does.
// Each is named in a filter: some services read a remove of the whole attribute
// as one of all members, whatever its value.
func (g Groups) RemoveMembers(ctx context.Context, id string, members []string, o *MemberOptions) (done int, err error) {
	return g.inPieces(ctx, id, members, o, func(ids []string) Patch {
		p := make(Patch, len(ids))
		for i, id := range ids {
			p[i] = Remove("members[value eq " + Quote(id) + "]")
		}
		return p
	})
}

func (g Groups) inPieces(ctx context.Context, id string, members []string, o *MemberOptions, patch func(ids []string) Patch) (done int, err error) {
	path, err := g.one(id)
	if err != nil {
		return 0, err
	}
	for i, m := range members {
		if m == "" {
			return 0, fmt.Errorf("member %d of the call has no id", i)
		}
	}
	piece := defaultPiece
	if o != nil && o.Piece > 0 {
		piece = o.Piece
	}
	for done < len(members) {
		n := min(piece, len(members)-done)
		p := patch(members[done : done+n])
		body, err := p.JSON()
		if err != nil {
			return done, err
		}
		r := &Request{Method: http.MethodPatch, Path: path, Body: body, repeatable: p.repeatable(), discard: true}
		if g.c.isRoster.Load() {
			// Not with others: there are services that change no more of a group
			// than such a projection shows, and so lose its members.
			r.Query = url.Values{"excludedAttributes": {"members"}}
		}
		_, err = g.c.Do(ctx, r)
		var refused *scim.Error
		switch {
		case err == nil:
			done += n
		case errors.As(err, &refused) && refused.Status == http.StatusRequestEntityTooLarge && n > 1:
			piece = n / 2
		default:
			return done, err
		}
	}
	return done, nil
}
