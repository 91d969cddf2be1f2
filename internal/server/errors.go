package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster/scim"
)

// fail writes the answer to a request that failed: a SCIM error, or for 401 and
// 403 of a SCIM route what the directory's rules have instead, and of an Admin
// API what Atlassian has. What is no
// *scim.Error is logged in full and sent as a bare 500.
func (s *Server) fail(r *request, err error) {
	var e *scim.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		if e.Status >= 500 && e.Status != 501 && e.Status != 503 {
			s.log.Error("request failed", "request", r.id, "method", r.Method, "route", r.route, "err", err)
			e = &scim.Error{Status: e.Status, Detail: "Roster failed here. The log has it under the request id " + r.id + "."}
		}
	case errors.As(err, &tooLarge):
		e = scim.Errorf(413, "", "the body is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		e = scim.Errorf(499, "", "the client has gone")
	case errors.Is(err, context.DeadlineExceeded):
		e = scim.Errorf(503, "", "this took too long: try again")
	default:
		s.log.Error("request failed", "request", r.id, "method", r.Method, "route", r.route, "err", err)
		e = scim.Errorf(500, "", "Roster failed here. The log has it under the request id %s.", r.id)
	}
	r.scimType = e.Type
	h := r.w.Header()
	if e.Status == 401 {
		h.Set("WWW-Authenticate", `Bearer realm="roster"`)
	}
	if e.Status == 429 || e.Status == 503 {
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	if (e.Status == 401 || e.Status == 403) && (r.admin || r.scim && r.dir != nil && r.dir.Model.Rules.FailureBody) {
		body := []byte(`{"error":`)
		body, _ = jsontext.AppendQuote(body, e.Detail) // text of ours
		body = append(body, `,"traceId":"`+r.id+`"}`...)
		r.send(e.Status, plainJSON, body)
		return
	}
	r.send(e.Status, scimJSON, e.AppendJSON(nil))
}
