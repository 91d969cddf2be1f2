package server

import (
	"cmp"
	"context"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// scim serves what is under /scim/. The forms of a base URL are
//
//	/scim/directory/{id}        as at Atlassian, and in every location
//	/scim/directory/{id}/scim   the alias that Entra ID is given there
//	/scim/v2                    the default directory
//
// ServeMux is not used: it redirects what it finds untidy, and a client that
// follows a redirect of a PUT loses its body.
func (s *Server) scim(r *request, rest string) error {
	var dirID string
	if v2, ok := cutSegment(rest, "v2"); ok {
		rest = v2
	} else {
		var ok bool
		if rest, ok = cutSegment(rest, "directory"); !ok {
			return scim.Errorf(404, "", "Nothing is here: SCIM is under /scim/directory/{directoryId}/")
		}
		dirID, rest, _ = strings.Cut(rest, "/")
		if alias, ok := cutSegment(rest, "scim"); ok {
			rest = alias
		}
		var err error
		if dirID, err = url.PathUnescape(dirID); err != nil || dirID == "" {
			return directory.NoDirectory(dirID)
		}
	}
	segments := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	for i, seg := range segments {
		var err error
		if segments[i], err = url.PathUnescape(seg); err != nil {
			return scim.Errorf(404, "", "the path is not well escaped")
		}
	}
	if err := s.enter(r, dirID); err != nil {
		return err
	}
	r.w.Header()["Roster-Rule-Set"] = []string{r.dir.RuleSet}
	if len(r.dir.Rules) > 0 {
		r.w.Header()["Roster-Rules"] = []string{string(r.dir.Rules)}
	}
	return s.resource(r, segments)
}

// cutSegment takes a leading path segment from path.
func cutSegment(path, segment string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, segment)
	if !ok || rest != "" && rest[0] != '/' {
		return path, false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// enter finds the directory and lets the key in. The directory is looked up
// first, so that a 401 has its form; a key of another directory gets the 404 of
// one that does not exist.
func (s *Server) enter(r *request, dirID string) error {
	find := func() (*directory.Directory, error) {
		if dirID == "" {
			return s.dirs.Default(r.Context())
		}
		return s.dirs.Get(r.Context(), dirID)
	}
	d, notFound := find()
	r.dir = d
	if err := s.authenticate(r); err != nil {
		return err
	}
	if notFound == nil && !r.key.Operator() && r.key.Directory != d.ID {
		r.dir, notFound = nil, directory.NoDirectory(dirID)
	}
	return notFound
}

// enterOwn authenticates a request whose path names no directory and finds the one
// that is meant: that of the parameter directory, else that of the key, else the
// default one.
func (s *Server) enterOwn(r *request) error {
	if err := s.authenticate(r); err != nil {
		return err
	}
	id := cmp.Or(r.query().Get("directory"), r.key.Directory)
	find := s.dirs.Default
	if id != "" {
		find = func(ctx context.Context) (*directory.Directory, error) { return s.dirs.Get(ctx, id) }
	}
	d, err := find(r.Context())
	if err == nil && !r.key.Operator() && r.key.Directory != d.ID {
		err = directory.NoDirectory(id)
	}
	if err == nil {
		r.dir = d
	}
	return err
}

// resource serves what is under the base URL of a directory.
func (s *Server) resource(r *request, seg []string) error {
	for _, t := range r.dir.Model.Types {
		if seg[0] != t.Endpoint[1:] {
			continue
		}
		r.route = "scim " + t.Endpoint
		switch {
		case len(seg) > 2:
			return scim.Errorf(404, "", "no such endpoint: nothing is below %s/{id}", t.Endpoint)
		case len(seg) == 2 && seg[1] == ".search":
			return s.search(r, t)
		case len(seg) == 1:
			return s.collection(r, t)
		}
		r.route += "/{id}"
		return s.one(r, t, seg[1])
	}
	switch seg[0] {
	case "Schemas", "ResourceTypes", "ServiceProviderConfig":
		return s.discover(r, seg)
	case "Bulk":
		return s.bulk(r)
	case "Me":
		return s.me(r, seg)
	case ".search":
		r.route = "scim "
		if len(seg) == 1 {
			return s.search(r, r.dir.Model.Types...)
		}
	case "":
		r.route = "scim /"
		if len(seg) == 1 {
			return s.root(r)
		}
	}
	return scim.Errorf(404, "", "no such endpoint: /ResourceTypes lists those of resources; there are /Bulk, /.search, /Schemas, /ResourceTypes and /ServiceProviderConfig too")
}

func notAllowed(r *request, methods ...string) error {
	r.w.Header().Set("Allow", strings.Join(methods, ", "))
	return scim.Errorf(405, "", "%s is not allowed here: %s", r.Method, strings.Join(methods, ", "))
}

// collection serves /Users.
func (s *Server) collection(r *request, t *scim.Type) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.list(r, t)
	case http.MethodPost:
		return s.create(r, t)
	}
	return notAllowed(r, "GET", "POST")
}

// me serves /Me, which is the user that the key is bound to (RFC 7644 section
// 3.11): whatever is done to it is done to /Users/{id}, which every answer has as
// its Location. There is no POST, since that user is there already.
func (s *Server) me(r *request, seg []string) error {
	r.route = "scim /Me"
	switch {
	case len(seg) > 1:
		return scim.Errorf(404, "", "no such endpoint: nothing is below /Me")
	case r.key.User == "":
		return scim.Errorf(501, "", "/Me is the user that the key is bound to, and this key is bound to none: make one with roster key create --user ID")
	}
	t := r.dir.Model.Type("User")
	r.me = true
	r.w.Header()["Location"] = []string{r.directoryURL() + t.Endpoint + "/" + r.key.User}
	return s.one(r, t, r.key.User)
}

// one serves /Users/{id}.
func (s *Server) one(r *request, t *scim.Type, id string) error {
	r.resource = id
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.get(r, t, id)
	case http.MethodPut:
		return s.replace(r, t, id)
	case http.MethodDelete:
		return s.delete(r, t, id)
	case http.MethodPatch:
		return s.patch(r, t, id)
	}
	return notAllowed(r, "GET", "PUT", "PATCH", "DELETE")
}

func (s *Server) get(r *request, t *scim.Type, id string) error {
	if err := r.allow(readScope(t)); err != nil {
		return err
	}
	p, err := projection(r, t)
	if err != nil {
		return err
	}
	res, err := r.dir.Get(r.Context(), t, id, showsLinks(t, p))
	if err != nil {
		return err
	}
	defer res.Release()
	meta := res.Meta(r.directoryURL())
	etag := meta.ETag()
	r.w.Header()["Etag"] = []string{etag}
	if matches(r.Header["If-None-Match"], etag) {
		r.send(http.StatusNotModified, nil, nil)
		return nil
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if *buf, err = t.Render(*buf, res.Doc, meta, p); err != nil {
		return err
	}
	r.send(http.StatusOK, scimJSON, *buf)
	return nil
}

func (s *Server) create(r *request, t *scim.Type) error {
	var body *scim.Resource
	return s.write(r, t, change{
		status: http.StatusCreated,
		parse:  parseResource(t, &body),
		do: func(c directory.Call) (*directory.Result, error) {
			c.IfMatch = nil // there is nothing to match yet
			return r.dir.Create(r.Context(), c, body)
		},
	})
}

func (s *Server) replace(r *request, t *scim.Type, id string) error {
	var body *scim.Resource
	return s.write(r, t, change{
		status: http.StatusOK,
		parse:  parseResource(t, &body),
		do: func(c directory.Call) (*directory.Result, error) {
			return r.dir.Replace(r.Context(), c, id, body)
		},
	})
}

func (s *Server) patch(r *request, t *scim.Type, id string) error {
	var body *scim.Patch
	ch := change{
		status: http.StatusOK,
		parse: func(data []byte) (_ canonical, notes scim.Notes, err error) {
			body, notes, err = t.ParsePatch(data)
			return body, notes, err
		},
		do: func(c directory.Call) (*directory.Result, error) {
			// Whom a filter finds tells what members are called.
			if slices.ContainsFunc(body.Members(), func(op scim.MemberOp) bool { return op.Kind == scim.RemoveWhere }) {
				if err := r.allow(linkScope(t)); err != nil {
					return nil, err
				}
			}
			return r.dir.Patch(r.Context(), c, t, id, body)
		},
	}
	if t.Schema == scim.GroupURN {
		ch.maxLinks = t.Rules.AnswerMembers
	}
	return s.write(r, t, ch)
}

func (s *Server) delete(r *request, t *scim.Type, id string) error {
	return s.write(r, t, change{
		status: http.StatusNoContent,
		do: func(c directory.Call) (*directory.Result, error) {
			return r.dir.Delete(r.Context(), c, t, id)
		},
	})
}

// A change is what tells one method that changes a resource from another.
type change struct {
	status   int
	maxLinks int // an answer that would show more links is a 204; 0: none is
	// parse reads the body; nil where there is none.
	parse func([]byte) (canonical, scim.Notes, error)
	do    func(directory.Call) (*directory.Result, error)
}

// canonical is a body that was parsed. Append appends what it says, whatever its
// spelling was, and nothing of what must not be kept.
type canonical interface{ Append(dst []byte) []byte }

func parseResource(t *scim.Type, body **scim.Resource) func([]byte) (canonical, scim.Notes, error) {
	return func(data []byte) (_ canonical, notes scim.Notes, err error) {
		*body, notes, err = t.Parse(data)
		return *body, notes, err
	}
}

// write is what every change has in common: scope, projection, body, condition,
// Idempotency-Key, and the answer.
func (s *Server) write(r *request, t *scim.Type, ch change) error {
	if err := r.allow(writeScope(t)); err != nil {
		return err
	}
	p, err := projection(r, t)
	if err != nil {
		return err
	}
	data := getBuffer()
	defer putBuffer(data)
	var body canonical
	if ch.parse != nil {
		if err := jsonBody(r.Request); err != nil {
			return err
		}
		if *data, err = s.read(r, *data, s.MaxBody); err != nil {
			return err
		}
		var notes scim.Notes
		body, notes, err = ch.parse(*data)
		r.ignored, r.coerced = notes.Ignored, notes.Coerced
		if err != nil {
			return err
		}
	}
	c := r.call()
	c.IfMatch = condition(r.Header["If-Match"])
	c.Links, c.MaxLinks = ch.status != http.StatusNoContent && showsLinks(t, p), ch.maxLinks
	render := func(res *directory.Result, dst []byte) (*answer, error) {
		a := &answer{
			Status: ch.status, Resource: res.ID,
			Ignored: append(slices.Clip(r.ignored), res.Ignored...), Coerced: append(slices.Clip(r.coerced), res.Coerced...),
		}
		if ch.status == http.StatusNoContent {
			return a, nil
		}
		meta := res.Meta(r.directoryURL())
		a.ETag, a.Location = meta.ETag(), meta.Location
		if c.Links && c.MaxLinks > 0 && res.Members > int64(c.MaxLinks) {
			a.Status = http.StatusNoContent
			return a, nil
		}
		var err error
		a.Body, err = t.Render(dst, res.Doc, meta, p)
		return a, err
	}
	if err := idempotency(r, &c, body, render); err != nil {
		return err
	}
	res, err := ch.do(c)
	if err != nil {
		return err
	}
	defer res.Release()
	if res.Answer != nil {
		return r.replay(res.Answer)
	}
	buf := getBuffer()
	defer putBuffer(buf)
	a, err := render(res, *buf)
	if err != nil {
		return err
	}
	r.answer(a)
	if a.Body != nil {
		*buf = a.Body
	}
	return nil
}

// directoryURL returns the canonical URL of the directory, whatever alias was
// used: locations begin with it.
func (r *request) directoryURL() string { return r.base + "/scim/directory/" + r.dir.ID }

// readScope, writeScope and linkScope are what a key must have for resources of a type.
func readScope(t *scim.Type) roster.Scope {
	if t.Schema == scim.GroupURN {
		return roster.ScopeGroupsRead
	}
	return roster.ScopeUsersRead
}

func linkScope(t *scim.Type) roster.Scope {
	if t.Schema == scim.GroupURN {
		return roster.ScopeUsersRead
	}
	return roster.ScopeGroupsRead
}

func writeScope(t *scim.Type) roster.Scope {
	if t.Schema == scim.GroupURN {
		return roster.ScopeGroupsWrite
	}
	return roster.ScopeUsersWrite
}

// showsLinks reports whether an answer shows what is kept as memberships.
func showsLinks(t *scim.Type, p *scim.Projection) bool {
	return t.Linked() != nil && p.Shows(t.Linked())
}

// query returns the query parameters. What of them is not well escaped is left
// out, as is usual.
func (r *request) query() url.Values {
	if r.URL.RawQuery == "" {
		return nil
	}
	return r.URL.Query()
}

// projection returns what the answer shows. The groups of a user are shown to who
// may read groups, the members of a group to who may read users.
func projection(r *request, t *scim.Type) (*scim.Projection, error) {
	q := r.query()
	return r.projection(t, q["attributes"], q["excludedAttributes"])
}

func (r *request) projection(t *scim.Type, attributes, excluded []string) (*scim.Projection, error) {
	p, err := t.NewProjection(attributes, excluded)
	if err == nil && t.Linked() != nil && !r.key.Allows(linkScope(t)) {
		p = t.Without(p, t.Linked())
	}
	return p, err
}

// jsonBody accepts a body that says it is JSON, or does not say what it is.
func jsonBody(r *http.Request) error {
	ct := r.Header.Get("Content-Type")
	if ct == "" || ct == "application/scim+json" || ct == "application/json" {
		return nil
	}
	media, _, err := mime.ParseMediaType(ct)
	if err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")) {
		return nil
	}
	return scim.Errorf(415, "", "the body must be application/scim+json or application/json")
}
