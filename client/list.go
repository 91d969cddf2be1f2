package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ListOptions select resources; nil selects all.
type ListOptions struct {
	Attributes         []string // as in GetOptions; the id is always shown
	ExcludedAttributes []string // as in GetOptions
	// Filter is a SCIM filter (RFC 7644 section 3.4.2.2), such as
	// userName eq "ada@corp.example"; Quote writes such a value. Empty: all.
	Filter string
	// SortBy is the attribute to sort by, such as "userName", where the service
	// sorts. Empty: the order of the service.
	SortBy     string
	Descending bool // with SortBy
	// StartIndex is the 1-based index of the first resource. Less than 1: 1.
	// More than 1 makes the pages be by index.
	StartIndex int
	// Count is how many resources are asked for in one page. Less than 1: the
	// service decides.
	Count int
}

// List goes through the resources that o selects, page after page, in the order
// of the service. After an error, which comes with a nil resource, it ends.
//
// Where the service offers cursors (RFC 9865), the pages of a list that has more
// than one are by cursor. Else they are by index: what changes while it runs may
// be seen twice or not at all. A service that repeats a page, as those do that
// do not follow startIndex in a URL, is asked for the rest by Search; when that
// repeats it too, the list ends with an error.
func (e Endpoint[T]) List(ctx context.Context, o *ListOptions) iter.Seq2[*T, error] {
	return e.list(ctx, o, e.askList, e.askSearch)
}

func (e Endpoint[T]) askList(p pageAt) (*Request, error) {
	q, err := p.query()
	return &Request{Method: http.MethodGet, Path: e.path, Query: q}, err
}

func (e Endpoint[T]) askSearch(p pageAt) (*Request, error) {
	body, err := p.search()
	return &Request{Method: http.MethodPost, Path: e.path + "/.search", Body: body, reads: true}, err
}

// Search is List by POST (RFC 7644 section 3.4.3): the filter, which may hold
// personal data or be long, is in no URL. A service without it answers with a
// *scim.Error, status 404, 405 or 501.
func (e Endpoint[T]) Search(ctx context.Context, o *ListOptions) iter.Seq2[*T, error] {
	return e.list(ctx, o, e.askSearch, nil)
}

// Search goes through the resources of all types that o selects (RFC 7644
// section 3.4.3), as Endpoint.Search does.
func (c *Client) Search(ctx context.Context, o *ListOptions) iter.Seq2[*Resource, error] {
	return Endpoint[Resource]{c, "", "resource"}.Search(ctx, o)
}

// searchRequestURN is the schema of a search by POST.
const searchRequestURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// pageAt is one page of a list: by cursor or by index.
type pageAt struct {
	*ListOptions
	start    int    // the index of the first; 0: by cursor
	cursor   string // empty: the first page
	byCursor bool
}

func (p pageAt) query() (url.Values, error) {
	q, err := projection(p.Attributes, p.ExcludedAttributes)
	if err != nil {
		return nil, err
	}
	if p.byCursor {
		q.Set("cursor", p.cursor)
	} else {
		q.Set("startIndex", strconv.Itoa(p.start))
	}
	if p.Count > 0 {
		q.Set("count", strconv.Itoa(p.Count))
	}
	if p.Filter != "" {
		q.Set("filter", p.Filter)
	}
	if p.SortBy != "" {
		q.Set("sortBy", p.SortBy)
		if p.Descending {
			q.Set("sortOrder", "descending")
		}
	}
	return q, nil
}

// search returns the page as the body of a search.
func (p pageAt) search() (jsontext.Value, error) {
	if _, err := projection(p.Attributes, p.ExcludedAttributes); err != nil {
		return nil, err
	}
	body := struct {
		Schemas            []string      `json:"schemas"`
		Attributes         []string      `json:"attributes,omitempty"`
		ExcludedAttributes []string      `json:"excludedAttributes,omitempty"`
		Filter             string        `json:"filter,omitempty"`
		SortBy             string        `json:"sortBy,omitempty"`
		SortOrder          string        `json:"sortOrder,omitempty"`
		StartIndex         int           `json:"startIndex,omitzero"`
		Cursor             Field[string] `json:"cursor,omitzero"`
		Count              int           `json:"count,omitzero"`
	}{
		Schemas: []string{searchRequestURN}, Attributes: p.Attributes, ExcludedAttributes: p.ExcludedAttributes,
		Filter: p.Filter, SortBy: p.SortBy, StartIndex: p.start, Count: max(p.Count, 0),
	}
	if p.SortBy != "" && p.Descending {
		body.SortOrder = "descending"
	}
	if p.byCursor {
		body.Cursor = Set(p.cursor)
	}
	return json.Marshal(body)
}

// maxEmptyPages is how many pages in a row may be empty though a cursor leads on
// from them.
const maxEmptyPages = 100

// list goes through the pages that ask asks for, and from where they repeat
// through those of instead, unless it is nil.
func (e Endpoint[T]) list(ctx context.Context, o *ListOptions, ask, instead func(pageAt) (*Request, error)) iter.Seq2[*T, error] {
	if o == nil {
		o = new(ListOptions)
	}
	get := func(ask func(pageAt) (*Request, error), p pageAt) (*page[T], error) {
		r, err := ask(p)
		if err != nil {
			return nil, err
		}
		return e.page(ctx, r)
	}
	return func(yield func(*T, error) bool) {
		ask, instead := ask, instead
		at := pageAt{ListOptions: o, start: max(o.StartIndex, 1)}
		if cfg := e.c.config.Load(); cfg != nil && cfg.Pagination.Cursor && at.start == 1 {
			at.start, at.byCursor = 0, true
		}
		seen := make(map[[sha256.Size]byte]bool) // the pages, by their bytes and by the id of their first
		for empty := 0; ; {
			p, err := get(ask, at)
			if err == nil && !at.byCursor && at.start == 1 && p.nextCursor == "" && p.total > int64(len(p.resources)) && e.c.hasCursors(ctx) {
				at.start, at.byCursor = 0, true
				p, err = get(ask, at)
			}
			if err == nil {
				err = repeated(p, seen, &at)
				if err != nil && instead != nil && !at.byCursor {
					if other, oerr := get(instead, at); oerr == nil && repeated(other, seen, &at) == nil {
						p, err = other, nil
					}
					ask, instead = instead, nil
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, v := range p.resources {
				if !yield(v, nil) {
					return
				}
			}
			switch {
			case p.nextCursor != "":
				at.cursor, at.start, at.byCursor = p.nextCursor, 0, true
			case at.byCursor || !p.leadsOn(at.start, o.Count):
				return
			default:
				at.start += len(p.resources)
			}
			if empty++; len(p.resources) > 0 {
				empty = 0
			} else if empty > maxEmptyPages {
				yield(nil, fmt.Errorf("list: %d pages in a row are empty, and each has a cursor to another", empty))
				return
			}
		}
	}
}

// repeated returns an error when a page is one that was there already, which
// would go on for ever.
func repeated[T any](p *page[T], seen map[[sha256.Size]byte]bool, at *pageAt) error {
	if at.byCursor && p.nextCursor != "" && p.nextCursor == at.cursor {
		return errors.New("list: the service gives the cursor of a page as that of the next")
	}
	if len(p.resources) == 0 {
		return nil
	}
	first := sha256.Sum256([]byte(p.first))
	if seen[p.sum] || p.first != "" && seen[first] {
		if at.byCursor {
			return errors.New("list: the service gives a page twice, by different cursors")
		}
		return fmt.Errorf("list: the page from %d begins as an earlier one did: the service does not page by startIndex; narrow the list with a filter", at.start)
	}
	seen[p.sum], seen[first] = true, true
	return nil
}

// A page is one answer to a list.
type page[T any] struct {
	total      int64 // -1: not said
	resources  []*T
	nextCursor string
	first      string            // the id of the first
	sum        [sha256.Size]byte // of the resources as they were sent
}

// leadsOn reports whether pages by index may go on after p, which began at
// start. What was returned counts, not itemsPerPage, which some services fill
// with the limit. A total less than what was seen is none; and one that is just
// a full page may be the length of the page.
func (p *page[T]) leadsOn(start, count int) bool {
	n := len(p.resources)
	if n == 0 {
		return false
	}
	if p.total < int64(n) || p.total == int64(n) && n == count {
		return true
	}
	return int64(start-1+n) < p.total
}

// page gets one page.
func (e Endpoint[T]) page(ctx context.Context, r *Request) (*page[T], error) {
	a, err := e.c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	var list struct {
		TotalResults jsontext.Value `json:"totalResults,case:ignore"`
		NextCursor   jsontext.Value `json:"nextCursor,case:ignore"`
		Resources    jsontext.Value `json:"Resources,case:ignore"`
	}
	if err := json.Unmarshal(a.Body, &list, looseJSON); err != nil {
		return nil, unreadable(r.Method, r.Path, a, err)
	}
	p := &page[T]{total: -1, sum: sha256.Sum256(list.Resources)}
	if list.NextCursor.Kind() == '"' {
		if err := json.Unmarshal(list.NextCursor, &p.nextCursor, looseJSON); err != nil {
			return nil, unreadable(r.Method, r.Path, a, err)
		}
	}
	if n, err := strconv.ParseInt(text(list.TotalResults), 10, 64); err == nil {
		p.total = n
	}
	docs, err := documents(list.Resources)
	if err != nil {
		return nil, unreadable(r.Method, r.Path, a, err)
	}
	for i, doc := range docs {
		one := *a
		one.Body = doc
		v, err := e.read(r.Method, r.Path, "", &one)
		if err != nil {
			return nil, err
		}
		if p.resources = append(p.resources, v); i == 0 {
			p.first = idOf(doc)
		}
	}
	return p, nil
}

// maxPage bounds the resources of one page: many that are next to nothing would
// take far more memory than Client.MaxAnswer.
const maxPage = 100_000

// documents returns the resources of a list: null or absent are none, and one
// that is in no array is the only one.
func documents(v jsontext.Value) ([]jsontext.Value, error) {
	switch v := jsontext.Value(bytes.TrimSpace(v)); v.Kind() {
	case 0, 'n':
		return nil, nil
	case '{':
		return []jsontext.Value{v}, nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(v), looseJSON)
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '[' {
		return nil, cmp.Or(err, errors.New("its Resources are no array"))
	}
	var docs []jsontext.Value
	for dec.PeekKind() != ']' {
		doc, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if len(docs) == maxPage {
			return nil, fmt.Errorf("it has more than %d resources in one page", maxPage)
		}
		docs = append(docs, doc.Clone())
	}
	return docs, nil
}

// idOf returns the id of a document, "" when it has none.
func idOf(doc jsontext.Value) string {
	var named struct {
		ID jsontext.Value `json:"id"`
	}
	_ = json.Unmarshal(doc, &named, looseJSON)
	return text(named.ID)
}
