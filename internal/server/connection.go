package server

import (
	"errors"
	"net/http"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/workflow"
)

// connectionRoutes are those of the connections that a directory's workflows use.
// They name no directory: it is that of the key, or for an operator key the
// parameter directory.
func (s *Server) connectionRoutes(add func(pattern string, h func(*request) error)) {
	in := func(h func(*request) error) func(*request) error {
		return func(r *request) error {
			if err := s.enterOwn(r); err != nil {
				return err
			}
			if err := r.allow(roster.ScopeAdmin); err != nil {
				return err
			}
			return h(r)
		}
	}
	add("GET /api/v1/connections", in(s.listConnections))
	add("POST /api/v1/connections", in(s.createConnection))
	add("GET /api/v1/connections/{connection}", in(s.getConnection))
	add("PUT /api/v1/connections/{connection}", in(s.replaceConnection))
	add("DELETE /api/v1/connections/{connection}", in(s.deleteConnection))
	add("POST /api/v1/connections/{connection}/test", in(s.testConnection))
}

func (s *Server) listConnections(r *request) error {
	list, err := s.Connections.List(r.Context(), r.dir.ID)
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Connections []*roster.Connection `json:"connections"`
	}{list})
}

func (s *Server) createConnection(r *request) error {
	var in struct {
		Name string `json:"name"`
		workflow.ConnectionInput
	}
	if err := s.body(r, &in); err != nil {
		return err
	}
	c, err := s.Connections.Create(r.Context(), r.dir.ID, in.Name, in.ConnectionInput)
	if err != nil {
		return err
	}
	r.w.Header().Set("Location", r.base+"/api/v1/connections/"+c.Name+"?directory="+c.Owner)
	return r.replyConnection(http.StatusCreated, c)
}

func (s *Server) getConnection(r *request) error {
	c, err := s.Connections.Get(r.Context(), r.dir.ID, r.PathValue("connection"))
	if err != nil {
		return err
	}
	return r.replyConnection(http.StatusOK, c)
}

func (s *Server) replaceConnection(r *request) error {
	var in workflow.ConnectionInput
	if err := s.body(r, &in); err != nil {
		return err
	}
	c, err := s.Connections.Replace(r.Context(), r.dir.ID, r.PathValue("connection"), ifMatch(r), in)
	if err != nil {
		return err
	}
	return r.replyConnection(http.StatusOK, c)
}

func (r *request) replyConnection(status int, c *roster.Connection) error {
	r.tag(c.Version)
	return r.reply(status, c)
}

func (s *Server) deleteConnection(r *request) error {
	if err := s.Connections.Delete(r.Context(), r.dir.ID, r.PathValue("connection"), ifMatch(r)); err != nil {
		return err
	}
	r.send(http.StatusNoContent, nil, nil)
	return nil
}

// testConnection answers what was found, also when that is a fault: the test was
// made.
func (s *Server) testConnection(r *request) error {
	found, err := s.Connections.Test(r.Context(), r.dir.ID, r.PathValue("connection"))
	if d, ok := errors.AsType[*workflow.Diagnosis](err); ok {
		return r.reply(http.StatusOK, struct {
			Works bool   `json:"works"`
			Fault string `json:"fault"`
			Next  string `json:"next,omitzero"`
		}{false, d.What, d.Next})
	}
	if err != nil {
		return err
	}
	return r.reply(http.StatusOK, struct {
		Works bool `json:"works"`
		*workflow.Examination
	}{true, found})
}
