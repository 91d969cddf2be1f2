package action

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/client"
)

// answered returns the output of an answer, which must have a body.
func answered(a *client.Answer) *Output {
	return &Output{Body: a.Body, Ignored: a.Ignored()}
}

// get returns the function that reads the resource of the id that a parameter
// has.
func get(endpoint, id string) func(context.Context, *client.Client, Input) (*Output, error) {
	return func(ctx context.Context, c *client.Client, in Input) (*Output, error) {
		o, err := writeOptions(in)
		if err != nil {
			return nil, err
		}
		r, err := c.Resources(endpoint).Get(ctx, in.text(id), &client.GetOptions{Attributes: o.Attributes, ExcludedAttributes: o.ExcludedAttributes})
		if err != nil {
			return nil, err
		}
		return answered(r.Answer), nil
	}
}

// list returns the function that lists resources: one page as the service sends
// it, or all pages.
func list(endpoint string) func(context.Context, *client.Client, Input) (*Output, error) {
	return func(ctx context.Context, c *client.Client, in Input) (*Output, error) {
		p, err := writeOptions(in)
		if err != nil {
			return nil, err
		}
		if in["all"].Kind() == 't' {
			o := &client.ListOptions{
				Attributes: p.Attributes, ExcludedAttributes: p.ExcludedAttributes,
				Filter: in.text("filter"), SortBy: in.text("sortBy"), Descending: in.text("sortOrder") == "descending",
				StartIndex: in.integer("startIndex"), Count: in.integer("count"),
			}
			return &Output{List: func(yield func(jsontext.Value, error) bool) {
				for r, err := range c.Resources(endpoint).List(ctx, o) {
					if err != nil {
						yield(nil, err)
						return
					}
					if !yield(r.Body, nil) {
						return
					}
				}
			}}, nil
		}
		q := url.Values{}
		for name, names := range map[string][]string{"attributes": p.Attributes, "excludedAttributes": p.ExcludedAttributes} {
			if len(names) > 0 {
				q.Set(name, strings.Join(names, ","))
			}
		}
		for _, name := range []string{"filter", "sortBy", "sortOrder"} {
			if in.has(name) {
				q.Set(name, in.text(name))
			}
		}
		for _, name := range []string{"count", "startIndex"} {
			if in.has(name) {
				q.Set(name, strconv.Itoa(in.integer(name)))
			}
		}
		return page(ctx, c, endpoint, q)
	}
}

// page reads one list.
func page(ctx context.Context, c *client.Client, path string, q url.Values) (*Output, error) {
	a, err := c.Do(ctx, &client.Request{Method: http.MethodGet, Path: path, Query: q})
	if err != nil {
		return nil, err
	}
	return &Output{Body: a.Body, List: within(a.Body, "Resources")}, nil
}

// within goes through the values of an array in a document. One that is missing
// or null is empty, and an array stands for itself.
func within(doc jsontext.Value, name string) iter.Seq2[jsontext.Value, error] {
	return func(yield func(jsontext.Value, error) bool) {
		list := doc
		if doc.Kind() != '[' {
			o, err := parseObject(doc)
			if err != nil {
				yield(nil, fmt.Errorf("the answer is no list: %w", err))
				return
			}
			list = o.get(name)
		}
		if len(list) == 0 {
			return
		}
		var values []jsontext.Value
		if err := json.Unmarshal(list, &values); err != nil {
			yield(nil, fmt.Errorf("the answer is no list: %w", err))
			return
		}
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// operations reads the parameter operations. What no service could take is an
// *InputError.
func operations(in Input) (client.Patch, error) {
	v := in["operations"]
	fault := func(i int, text string) error {
		return &InputError{[]Fault{{Parameter: "operations", Text: fmt.Sprintf("[%d] %s", i, text)}}}
	}
	var list []jsontext.Value
	if err := json.Unmarshal(v, &list); err != nil {
		return nil, fmt.Errorf("operations: %w", err)
	}
	var p client.Patch
	for i, one := range list {
		o, err := parseObject(one)
		if err != nil {
			return nil, fault(i, err.Error())
		}
		op := client.Operation{Op: client.Op(strings.ToLower(o.text("op"))), Path: o.text("path")}
		value := o.get("value")
		if len(value) > 0 {
			op.Value = value
		}
		switch {
		case op.Op != client.OpAdd && op.Op != client.OpReplace && op.Op != client.OpRemove:
			return nil, fault(i, "op must be add, replace or remove")
		case op.Op == client.OpRemove && op.Path == "":
			return nil, fault(i, "a remove needs a path")
		case op.Op != client.OpRemove && len(value) == 0:
			return nil, fault(i, "needs a value")
		case op.Op != client.OpRemove && op.Path == "" && value.Kind() != '{':
			return nil, fault(i, "without a path the value must be an object of attributes")
		}
		p = append(p, op)
	}
	return p, nil
}

func discoverAll(path string) func(context.Context, *client.Client, Input) (*Output, error) {
	return func(ctx context.Context, c *client.Client, _ Input) (*Output, error) {
		return page(ctx, c, path, nil)
	}
}

// discoverOne returns the function that reads one document of discovery, of the
// id that a parameter has unless it is empty.
func discoverOne(path, id string) func(context.Context, *client.Client, Input) (*Output, error) {
	return func(ctx context.Context, c *client.Client, in Input) (*Output, error) {
		at := path
		if id != "" {
			// A colon is allowed in a path as it is (RFC 3986 section 3.3), and some
			// services compare without unescaping.
			at += "/" + strings.ReplaceAll(url.PathEscape(in.text(id)), "%3A", ":")
		}
		a, err := c.Do(ctx, &client.Request{Method: http.MethodGet, Path: at})
		if err != nil {
			return nil, err
		}
		return answered(a), nil
	}
}

// organization returns the Admin APIs of the organisation that in names, else of
// that which the service says it is.
func organization(ctx context.Context, c *client.Client, in Input) (client.Organization, error) {
	id := in.text("orgId")
	if id == "" {
		var err error
		if id, err = c.Management().Organization(ctx); err != nil {
			var failed *client.Error
			if errors.As(err, &failed) && failed.Answer != nil && failed.Answer.Header.Get("Roster-Request-Id") == "" {
				err = &InputError{[]Fault{{"orgId", "is required: this service does not tell the id of its organisation; give it", " with --org-id"}}}
			}
			return client.Organization{}, err
		}
	}
	return c.Organization(id), nil
}

func getLinks(ctx context.Context, c *client.Client, in Input) (*Output, error) {
	org, err := organization(ctx, c, in)
	if err != nil {
		return nil, err
	}
	links, err := org.ListLinks(ctx, in.text("accountId"))
	return linksOutput(links, err)
}

func getLinksOfEmail(ctx context.Context, c *client.Client, in Input) (*Output, error) {
	org, err := organization(ctx, c, in)
	if err != nil {
		return nil, err
	}
	links, err := org.ListLinksOfEmail(ctx, in.text("email"))
	return linksOutput(links, err)
}

// linksOutput returns links as the service sends them: what is not linked has
// null for its account.
func linksOutput(links []client.ScimLink, err error) (*Output, error) {
	if err != nil {
		return nil, err
	}
	type link struct {
		UserID       string  `json:"scimUserId"`
		AccountID    *string `json:"atlassianAccountId"`
		Organization string  `json:"orgId"`
		Directory    string  `json:"directoryId"`
	}
	all := make([]link, len(links))
	for i, l := range links {
		all[i] = link{UserID: l.UserID, Organization: l.Organization, Directory: l.Directory}
		if l.AccountID != "" {
			all[i].AccountID = &l.AccountID
		}
	}
	body, err := json.Marshal(map[string]any{"scimLinks": all})
	if err != nil {
		return nil, err
	}
	return &Output{Body: body, List: within(body, "scimLinks")}, nil
}
