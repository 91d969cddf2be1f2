package server

import (
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	_ "embed"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

//go:embed openapi.json
var openAPI []byte

// routes is the management API; openapi.json describes it. Handlers that need
// a directory have it in the request, when the key opens it.
func (s *Server) routes() (mux *http.ServeMux, patterns []string) {
	mux = http.NewServeMux()
	add := func(pattern string, h func(*request) error) {
		patterns = append(patterns, pattern)
		s.handle(mux, pattern, h)
	}
	in := func(scope roster.Scope, h func(*request) error) func(*request) error {
		return func(r *request) error {
			if err := s.enter(r, r.PathValue("directory")); err != nil {
				return err
			}
			if scope != "" {
				if err := r.allow(scope); err != nil {
					return err
				}
			}
			return h(r)
		}
	}
	operator := func(h func(*request) error) func(*request) error {
		return func(r *request) error {
			if err := s.authenticate(r); err != nil {
				return err
			}
			if !r.key.Operator() {
				return scim.Errorf(403, "", "Forbidden; this needs an operator key: this one is of a directory")
			}
			if err := r.allow(roster.ScopeAdmin); err != nil {
				return err
			}
			return h(r)
		}
	}
	add("GET /api/v1/openapi.json", func(r *request) error {
		r.send(http.StatusOK, plainJSON, openAPI)
		return nil
	})
	add("GET /api/v1/org", operator(s.organization))
	add("GET /api/v1/directories", s.listDirectories)
	add("POST /api/v1/directories", operator(s.createDirectory))
	add("GET /api/v1/directories/{directory}", in("", s.getDirectory))
	add("PATCH /api/v1/directories/{directory}", in(roster.ScopeAdmin, s.updateDirectory))
	add("DELETE /api/v1/directories/{directory}", operator(s.deleteDirectory))
	add("GET /api/v1/directories/{directory}/schemas", in(roster.ScopeAdmin, s.schemas))
	add("PUT /api/v1/directories/{directory}/schemas", in(roster.ScopeAdmin, s.replaceSchemas))

	add("GET /api/v1/key", s.ownKey)
	add("GET /api/v1/keys", operator(s.listKeys))
	add("POST /api/v1/keys", operator(s.createKey))
	add("POST /api/v1/keys/{key}/rotate", operator(s.rotateKey))
	add("DELETE /api/v1/keys/{key}", operator(s.revokeKey))
	add("GET /api/v1/directories/{directory}/keys", in(roster.ScopeAdmin, s.listKeys))
	add("POST /api/v1/directories/{directory}/keys", in(roster.ScopeAdmin, s.createKey))
	add("POST /api/v1/directories/{directory}/keys/{key}/rotate", in(roster.ScopeAdmin, s.rotateKey))
	add("DELETE /api/v1/directories/{directory}/keys/{key}", in(roster.ScopeAdmin, s.revokeKey))

	add("GET /api/v1/directories/{directory}/events", in(roster.ScopeEventsRead, s.events))
	add("POST /api/v1/directories/{directory}/events/{event}/undo", in(roster.ScopeEventsRead, s.undo))
	add("GET /api/v1/directories/{directory}/resources/{resource}/history", in(roster.ScopeEventsRead, s.history))
	add("GET /api/v1/directories/{directory}/users/{resource}/history", in(roster.ScopeEventsRead, s.history))
	add("POST /api/v1/directories/{directory}/users/{user}/link", in(roster.ScopeAdmin, s.linkAccount))
	add("GET /api/v1/directories/{directory}/trash", in(roster.ScopeAdmin, s.trash))
	add("POST /api/v1/directories/{directory}/trash/{resource}/restore", in(roster.ScopeAdmin, s.restore))
	add("DELETE /api/v1/directories/{directory}/trash/{resource}", in(roster.ScopeAdmin, s.purge))
	add("GET /api/v1/directories/{directory}/requests", in(roster.ScopeAdmin, s.requestLog))
	s.connectionRoutes(add)
	s.workflowRoutes(add)
	return mux, patterns
}

type requestKey struct{}

// handle adds a route to a mux that route serves.
func (s *Server) handle(mux *http.ServeMux, pattern string, h func(*request) error) {
	mux.HandleFunc(pattern, func(_ http.ResponseWriter, hr *http.Request) {
		r := hr.Context().Value(requestKey{}).(*request)
		r.Request, r.route = hr, hr.Pattern
		if err := h(r); err != nil {
			s.fail(r, err)
		}
	})
}

// route serves what is under /api/v1/, and the Admin APIs. The mux is asked first
// whether it has a handler, so that what it would answer by itself has our form.
// To a path with empty or dotted segments it would answer a redirect: that is no
// endpoint.
func (s *Server) route(r *request, mux *http.ServeMux) error {
	if p := r.URL.EscapedPath(); path.Clean(p) != p {
		return noEndpoint(r)
	}
	if _, pattern := mux.Handler(r.Request); pattern == "" {
		if methods := allowedAt(mux, r.Request); len(methods) > 0 {
			return notAllowed(r, methods...)
		}
		return noEndpoint(r)
	}
	mux.ServeHTTP(r.w, r.WithContext(context.WithValue(r.Context(), requestKey{}, r)))
	return nil
}

func noEndpoint(r *request) error {
	if r.admin {
		return scim.Errorf(404, "", "no such endpoint: the Admin APIs are get-scim-links, get-scim-links-for-email, unlink and onlyDeleteUserInDB, under %s", adminPath)
	}
	return scim.Errorf(404, "", "no such endpoint: /api/v1/openapi.json describes what there is")
}

func allowedAt(mux *http.ServeMux, r *http.Request) (methods []string) {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, p := mux.Handler(other); p != "" {
			methods = append(methods, m)
		}
	}
	return methods
}

// body reads a JSON body into v; a member that is not known is a 400.
func (s *Server) body(r *request, v any) error {
	if err := jsonBody(r.Request); err != nil {
		return err
	}
	data := getBuffer()
	defer putBuffer(data)
	var err error
	if *data, err = s.read(r, *data, s.MaxBody); err != nil {
		return err
	}
	if err := json.Unmarshal(*data, v, json.RejectUnknownMembers(true)); err != nil {
		return scim.Errorf(400, scim.InvalidSyntax, "the body does not fit: %s", unfit(err))
	}
	return nil
}

// unfit says what of a body does not fit, and where. The decoder's words are not
// repeated: they are of Go, and may quote a value.
func unfit(err error) string {
	var (
		syntactic *jsontext.SyntacticError
		semantic  *json.SemanticError
		where     jsontext.Pointer
		what      = "is not valid JSON"
	)
	switch {
	case errors.As(err, &syntactic):
		where = syntactic.JSONPointer
	case errors.As(err, &semantic):
		where, what = semantic.JSONPointer, "has another type or form"
		if errors.Is(err, json.ErrUnknownName) {
			what = "is no member that there is"
		}
	}
	at := strings.ToValidUTF8(string(where[:min(len(where), 100)]), "")
	return "what is at /" + strings.TrimPrefix(at, "/") + " " + what
}

func (r *request) reply(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.send(status, plainJSON, body)
	return nil
}

func (s *Server) listDirectories(r *request) error {
	if err := s.authenticate(r); err != nil {
		return err
	}
	list, err := s.dirs.List(r.Context())
	if err != nil {
		return err
	}
	if !r.key.Operator() {
		list = slices.DeleteFunc(list, func(d *roster.Directory) bool { return d.ID != r.key.Directory })
	} else if err := r.allow(roster.ScopeAdmin); err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Directories []*roster.Directory `json:"directories"`
	}{list})
}

func (s *Server) createDirectory(r *request) error {
	var in struct {
		Name    string         `json:"name"`
		RuleSet string         `json:"ruleSet"`
		Rules   jsontext.Value `json:"rules"`
	}
	if err := s.body(r, &in); err != nil {
		return err
	}
	if in.Rules.Kind() == 'n' { // null: none
		in.Rules = nil
	}
	d, err := s.dirs.Create(r.Context(), in.Name, in.RuleSet, in.Rules, false)
	if err != nil {
		return err
	}
	r.w.Header().Set("Location", r.base+"/api/v1/directories/"+d.ID)
	return r.reply(http.StatusCreated, d)
}

func (s *Server) getDirectory(r *request) error {
	d, err := s.stored(r)
	if err != nil {
		return err
	}
	r.tag(d.Version)
	return r.reply(http.StatusOK, d)
}

func (s *Server) deleteDirectory(r *request) error {
	id := r.PathValue("directory")
	if err := s.dirs.Delete(r.Context(), id); err != nil {
		return err
	}
	if s.Workflows != nil {
		if err := s.Workflows.CancelRuns(r.Context(), id); err != nil {
			// They fail by themselves: the directory has no keys any more.
			s.log.Warn("the runs of a deleted directory were not cancelled", "directory", id, "err", err)
		}
	}
	s.requests.drop(id)
	r.send(http.StatusNoContent, nil, nil)
	return nil
}

// ownKey shows the key that the request was made with, so that its holder can
// see what it may do without trying.
func (s *Server) ownKey(r *request) error {
	if err := s.authenticate(r); err != nil {
		return err
	}
	return r.reply(http.StatusOK, r.key)
}

func (s *Server) listKeys(r *request) error {
	list, err := s.dirs.ListKeys(r.Context(), r.PathValue("directory"))
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Keys []*roster.Key `json:"keys"`
	}{list})
}

// A newKey is a key with its secret, which is shown this once.
type newKey struct {
	*roster.Key
	Secret string `json:"key"`
}

func (s *Server) createKey(r *request) error {
	var in struct {
		Name      string         `json:"name"`
		Scopes    []roster.Scope `json:"scopes"`
		ExpiresAt *time.Time     `json:"expiresAt"`
		User      string         `json:"user"`
	}
	if err := s.body(r, &in); err != nil {
		return err
	}
	expires, err := expiry(in.ExpiresAt)
	if err != nil {
		return err
	}
	k, secret, err := s.dirs.CreateKey(r.Context(), r.key, directory.NewKey{
		Directory: r.PathValue("directory"), Name: in.Name, Scopes: in.Scopes, Expires: expires, User: in.User,
	})
	if err != nil {
		return err
	}
	return r.reply(http.StatusCreated, newKey{k, secret})
}

func (s *Server) rotateKey(r *request) error {
	var in struct {
		Overlap   string     `json:"overlap"`
		ExpiresAt *time.Time `json:"expiresAt"`
	}
	if r.ContentLength != 0 {
		if err := s.body(r, &in); err != nil {
			return err
		}
	}
	var overlap time.Duration
	if in.Overlap != "" {
		var err error
		if overlap, err = time.ParseDuration(in.Overlap); err != nil {
			return scim.Errorf(400, scim.InvalidValue, `overlap must be a duration such as "24h"`)
		}
	}
	expires, err := expiry(in.ExpiresAt)
	if err != nil {
		return err
	}
	k, secret, err := s.dirs.RotateKey(r.Context(), r.key, r.PathValue("directory"), r.PathValue("key"), overlap, expires)
	if err != nil {
		return err
	}
	return r.reply(http.StatusCreated, newKey{k, secret})
}

// expiry returns the zero time for none.
func expiry(at *time.Time) (time.Time, error) {
	if at == nil {
		return time.Time{}, nil
	}
	if at.Year() < 1970 {
		return time.Time{}, scim.Errorf(400, scim.InvalidValue, "expiresAt is in the past")
	}
	return *at, nil
}

func (s *Server) revokeKey(r *request) error {
	if err := s.dirs.RevokeKey(r.Context(), r.PathValue("directory"), r.PathValue("key")); err != nil {
		return err
	}
	r.send(http.StatusNoContent, nil, nil)
	return nil
}

func (s *Server) requestLog(r *request) error {
	return r.reply(http.StatusOK, struct {
		Requests []loggedRequest `json:"requests"`
	}{s.requests.get(r.dir.ID)})
}
