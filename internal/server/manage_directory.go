package server

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// updateDirectory serves PATCH of a directory: with ?plan=true it answers what
// the change would do.
func (s *Server) updateDirectory(r *request) error {
	var u roster.DirectoryUpdate
	if err := s.body(r, &u); err != nil {
		return err
	}
	if u.Default != nil && !r.key.Operator() {
		return scim.Errorf(403, "", "Forbidden; which directory is the default one is for an operator key to say")
	}
	return s.update(r, u, func(d *roster.Directory) error { return r.reply(http.StatusOK, d) })
}

// replaceSchemas serves PUT of the schemas of a directory.
func (s *Server) replaceSchemas(r *request) error {
	var doc jsontext.Value
	if err := s.body(r, &doc); err != nil {
		return err
	}
	return s.update(r, roster.DirectoryUpdate{Schemas: doc}, r.sendSchemas)
}

func (s *Server) update(r *request, u roster.DirectoryUpdate, send func(*roster.Directory) error) error {
	c := r.call()
	c.IfMatch = condition(r.Header["If-Match"])
	switch r.query().Get("plan") {
	case "true":
		plan, err := s.dirs.PlanUpdate(r.Context(), c, r.dir.ID, u)
		if err != nil {
			return err
		}
		return r.reply(http.StatusOK, plan)
	case "", "false":
	default:
		return scim.Errorf(400, scim.InvalidValue, "plan must be true or false")
	}
	d, _, err := s.dirs.Update(r.Context(), c, r.dir.ID, u)
	if err != nil {
		return err
	}
	r.tag(d.Version)
	return send(d)
}

// tag sends the version of what is answered, for If-Match.
func (r *request) tag(version int64) {
	r.w.Header()["Etag"] = []string{`W/"` + strconv.FormatInt(version, 10) + `"`}
}

func (s *Server) schemas(r *request) error {
	d, err := s.stored(r)
	if err != nil {
		return err
	}
	r.tag(d.Version)
	return r.sendSchemas(d)
}

// sendSchemas answers with the document that PUT takes.
func (r *request) sendSchemas(d *roster.Directory) error {
	doc := d.Schemas
	if len(doc) == 0 {
		doc = jsontext.Value(`{"schemas":[],"resourceTypes":[]}`)
	}
	r.send(http.StatusOK, plainJSON, doc)
	return nil
}

// stored reads the directory afresh: the count of users is of now, not of the
// cache.
func (s *Server) stored(r *request) (*roster.Directory, error) {
	list, err := s.dirs.List(r.Context())
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if d.ID == r.dir.ID {
			return d, nil
		}
	}
	return nil, directory.NoDirectory(r.dir.ID)
}
