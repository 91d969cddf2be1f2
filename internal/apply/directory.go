package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/roster-scim/roster/action"
	"github.com/roster-scim/roster/client"
	"github.com/roster-scim/roster/scim"
)

// A Directory is where changes are applied, and what is known of it.
type Directory struct {
	Client *client.Client
	// Type is the user type: of the schemas that the directory shows, else of its
	// rule set.
	Type *scim.Type
	// Roster says that the service is a Roster, which does a request with an
	// Idempotency-Key once.
	Roster bool
	// Versions says that meta.version is surely compared with If-Match: by a Roster.
	// Of any other service, whatever it says, people are read again just before.
	Versions bool
}

// OpenDirectory asks a directory what it can do. rules are those of a service
// that does not tell them; the zero value is the rule set standard.
func OpenDirectory(ctx context.Context, c *client.Client, rules scim.RuleSet) (*Directory, error) {
	d := &Directory{Client: c}
	cfg, err := c.ServiceProviderConfig(ctx)
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("ask the directory what it can do: %w", err)
	}
	if err == nil {
		if told, err := scim.Rules(cfg.Answer.RuleSet()); err == nil {
			d.Roster, d.Versions = true, cfg.ETag.Supported
			if told, err = told.With(cfg.Answer.Rules()); err == nil {
				rules = told
			}
		}
	}
	if d.Type, err = action.UserType(rules); err != nil {
		return nil, err
	}
	schemas, err := c.Schemas(ctx)
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("read the schemas of the directory: %w", err)
	}
	types, terr := c.ResourceTypes(ctx)
	if terr != nil && !missing(terr) {
		return nil, fmt.Errorf("read the resource types of the directory: %w", terr)
	}
	for _, rt := range types {
		if err == nil && terr == nil && rt.Schema == d.Type.Schema {
			shown := scim.ResourceType{Name: "User", Endpoint: rt.Endpoint, Schema: rt.Schema, Extensions: rt.SchemaExtensions}
			// Schemas that do not fit together tell nothing.
			if t, err := scim.Compile(shown, schemas, d.Type.Rules); err == nil && t.Attr("userName") != nil && t.Attr("emails.value") != nil {
				d.Type = t
			}
		}
	}
	return d, nil
}

// missing reports whether err says that a service has no such endpoint, or that
// what it has there cannot be read.
func missing(err error) bool {
	var ce *client.Error
	return errors.As(err, &ce) && ce.Answer != nil && (statusOf(err) == http.StatusNotFound || statusOf(err) == http.StatusNotImplemented || ce.Answer.Status < 300)
}

// statusOf returns the status that a service refused something with, 0: none.
func statusOf(err error) int {
	var se *scim.Error
	if errors.As(err, &se) {
		return se.Status
	}
	return 0
}

// version returns the version of a person for If-Match, "" when it has none that
// could be relied on.
func (d *Directory) version(doc object) string {
	if !d.Versions {
		return ""
	}
	return metaVersion(doc)
}

func metaVersion(doc object) string {
	meta, err := parseObject(doc.get("meta"))
	if err != nil {
		return ""
	}
	return meta.text("version")
}

// tag returns the ETag of an answer for If-Match, "" where it is no version of the
// person: many web servers put a digest of the body there, and compare it with
// nothing.
func (d *Directory) tag(a *client.Answer) string {
	tag := a.ETag()
	if d.Roster {
		return tag
	}
	if doc, err := parseObject(a.Body); err != nil || metaVersion(doc) != tag {
		return ""
	}
	return tag
}

// users returns the people as JSON documents.
func (d *Directory) users() client.Endpoint[client.Resource] { return d.Client.Resources("/Users") }

// pageSize is how many people are asked for at once; a service gives what it
// likes.
const pageSize = 1000

// listOptions ask for people whole but for their groups, which no plan needs.
func listOptions(filter string) *client.ListOptions {
	return &client.ListOptions{Filter: filter, Count: pageSize, ExcludedAttributes: []string{"groups"}}
}
