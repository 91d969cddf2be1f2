package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// list serves GET /Users.
func (s *Server) list(r *request, t *scim.Type) error {
	if err := r.allow(readScope(t)); err != nil {
		return err
	}
	q, err := r.searchRequest()
	if err != nil {
		return err
	}
	return s.found(r, q, t)
}

// root serves GET on the base URL: a list of all types (RFC 7644 section
// 3.4.2.1).
func (s *Server) root(r *request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notAllowed(r, "GET")
	}
	types, err := r.readable(r.dir.Model.Types)
	if err != nil {
		return err
	}
	q, err := r.searchRequest()
	if err != nil {
		return err
	}
	return s.found(r, q, types...)
}

// search serves POST /Users/.search, and POST /.search for all types (RFC 7644
// section 3.4.3).
func (s *Server) search(r *request, types ...*scim.Type) error {
	r.route += "/.search"
	if r.Method != http.MethodPost {
		return notAllowed(r, "POST")
	}
	types, err := r.readable(types)
	if err != nil {
		return err
	}
	if err := jsonBody(r.Request); err != nil {
		return err
	}
	body := getBuffer()
	defer putBuffer(body)
	if *body, err = s.read(r, *body, s.MaxBody); err != nil {
		return err
	}
	q, err := scim.ParseSearch(*body, r.dir.Model.Rules)
	if err != nil {
		return err
	}
	return s.found(r, q, types...)
}

// readable returns those of types that the key may read; none is a 403.
func (r *request) readable(types []*scim.Type) (list []*scim.Type, err error) {
	for _, t := range types {
		if refused := r.allow(readScope(t)); refused == nil {
			list = append(list, t)
		} else if err == nil {
			err = refused
		}
	}
	if len(list) > 0 {
		err = nil
	}
	return list, err
}

// searchRequest reads the parameters of a list.
func (r *request) searchRequest() (*scim.SearchRequest, error) {
	q := r.query()
	s := &scim.SearchRequest{
		Attributes: q["attributes"], ExcludedAttributes: q["excludedAttributes"],
		Filter: q.Get("filter"), SortBy: q.Get("sortBy"), SortOrder: q.Get("sortOrder"),
	}
	if q.Has("cursor") {
		cursor := q.Get("cursor")
		s.Cursor = &cursor
	}
	start, err := integer(q, "startIndex", 1)
	if err != nil && s.Cursor == nil {
		return nil, err
	}
	count, err := integer(q, "count", directory.DefaultPage)
	var e *scim.Error
	if s.Cursor != nil && errors.As(err, &e) {
		e.Type = scim.InvalidCount
	}
	s.StartIndex, s.Count = &start, &count
	return s, err
}

// found answers with the page of a list that q asks for. What the filter and the
// order look at must be the key's to read.
func (s *Server) found(r *request, q *scim.SearchRequest, types ...*scim.Type) error {
	query := directory.Query{Start: 1, Count: directory.DefaultPage, Cursor: q.Cursor, Scopes: r.key.Scopes}
	if q.StartIndex != nil {
		query.Start = *q.StartIndex
	}
	if q.Count != nil {
		query.Count = *q.Count
	}
	var err error
	var filters []*scim.Filter
	if strings.TrimSpace(q.Filter) != "" {
		if filters, err = scim.ParseFilters(types, q.Filter); err != nil {
			return err
		}
		for _, f := range filters {
			for _, c := range f.Coerced() {
				if !slices.Contains(r.coerced, c) {
					r.coerced = append(r.coerced, c)
				}
			}
		}
		if len(r.coerced) > 0 {
			r.w.Header()["Roster-Coerced"] = []string{headerList(r.coerced)}
		}
	}
	var orders []*scim.Order
	if strings.TrimSpace(q.SortBy) != "" {
		if orders, err = scim.NewOrders(types, strings.TrimSpace(q.SortBy), q.SortOrder); err != nil {
			return err
		}
	}
	shown := make(map[*scim.Type]*scim.Projection, len(types))
	for i, t := range types {
		p, err := r.projection(t, q.Attributes, q.ExcludedAttributes)
		if err != nil {
			return err
		}
		shown[t] = p
		one := directory.Selection{Type: t, Links: showsLinks(t, p)}
		if filters != nil {
			one.Filter = filters[i]
		}
		if orders != nil {
			one.Order = orders[i]
		}
		if one.UsesLinks() {
			if err := r.allow(linkScope(t)); err != nil {
				return err
			}
		}
		query.Select = append(query.Select, one)
	}
	page, err := r.dir.List(r.Context(), query)
	if err != nil {
		return err
	}
	defer page.Release()
	rows := getBuffer()
	defer putBuffer(rows)
	base := r.directoryURL()
	for i, res := range page.Resources {
		if i > 0 {
			*rows = append(*rows, ',')
		}
		if *rows, err = res.Type.Render(*rows, res.Doc, res.Meta(base), shown[res.Type]); err != nil {
			return err
		}
	}
	list := scim.ListResponse{Total: page.Total, N: len(page.Resources), Previous: page.Previous, Next: page.Next}
	if q.Cursor == nil {
		list.Start = max(query.Start, 1)
	}
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = scim.AppendList(*buf, list, *rows)
	r.send(http.StatusOK, scimJSON, *buf)
	return nil
}
