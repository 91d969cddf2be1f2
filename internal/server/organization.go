package server

import (
	"net/http"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/directory"
	"github.com/roster-scim/roster/scim"
)

// adminPath is where the four Admin APIs of an organisation are.
const adminPath = "/admin/user-provisioning/v1/org/{org}"

// adminRoutes are Atlassian's Admin APIs: they reach every directory of the
// organisation, so they take an operator key, and no directory's.
func (s *Server) adminRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	add := func(pattern string, scope roster.Scope, h func(*request) error) {
		s.handle(mux, pattern, func(r *request) error {
			if err := s.enterOrganization(r, scope); err != nil {
				return err
			}
			return h(r)
		})
	}
	add("GET "+adminPath+"/user/{account}/get-scim-links", roster.ScopeUsersRead, s.linksOfAccount)
	add("POST "+adminPath+"/get-scim-links-for-email", roster.ScopeUsersRead, s.linksOfEmail)
	add("PATCH "+adminPath+"/scimDirectoryId/{directory}/scimUserId/{user}/unlink", roster.ScopeUsersWrite, s.unlinkAccount)
	add("DELETE "+adminPath+"/user/{account}/onlyDeleteUserInDB", roster.ScopeUsersWrite, s.deleteAccount)
	return mux
}

// enterOrganization lets an operator key in. A directory's key is none here: as
// at Atlassian, that is a 401.
func (s *Server) enterOrganization(r *request, scope roster.Scope) error {
	if err := s.authenticate(r); err != nil {
		return err
	}
	if !r.key.Operator() {
		return scim.Errorf(401, "", "Unauthorized; the Admin APIs of the organization need an operator key: this one is of a directory. Make one with roster key create --operator")
	}
	if err := r.allow(scope); err != nil {
		return err
	}
	if r.PathValue("org") != s.dirs.Org() {
		return scim.Errorf(404, "", "there is no such organization: GET /api/v1/org says the id of the one that there is")
	}
	return nil
}

func (s *Server) linksOfAccount(r *request) error {
	links, err := s.dirs.LinksOfAccount(r.Context(), r.PathValue("account"))
	if err != nil {
		return err
	}
	return s.replyLinks(r, links)
}

func (s *Server) linksOfEmail(r *request) error {
	var in struct {
		Email string `json:"email"`
	}
	if err := s.body(r, &in); err != nil {
		return err
	}
	if in.Email == "" {
		return scim.Errorf(400, scim.InvalidValue, "email is required: the address whose records are asked for")
	}
	links, err := s.dirs.LinksOfEmail(r.Context(), in.Email)
	if err != nil {
		return err
	}
	return s.replyLinks(r, links)
}

func (s *Server) replyLinks(r *request, links []directory.AccountLink) error {
	type link struct {
		User      string  `json:"scimUserId"`
		Account   *string `json:"atlassianAccountId"` // null: unlinked
		Org       string  `json:"orgId"`
		Directory string  `json:"directoryId"`
	}
	list := make([]link, len(links))
	for i, l := range links {
		list[i] = link{User: l.User, Org: s.dirs.Org(), Directory: l.Directory}
		if l.Account != "" {
			list[i].Account = &l.Account
		}
	}
	return r.reply(http.StatusOK, struct {
		Links []link `json:"scimLinks"`
	}{list})
}

// unlinkAccount takes no body, or {}, as clients send it.
func (s *Server) unlinkAccount(r *request) error {
	if r.ContentLength != 0 {
		if err := s.body(r, &struct{}{}); err != nil {
			return err
		}
	}
	d, err := s.dirs.Get(r.Context(), r.PathValue("directory"))
	if err != nil {
		return err
	}
	r.dir, r.resource = d, r.PathValue("user")
	if _, err := d.UnlinkAccount(r.Context(), r.call(), r.resource); err != nil {
		return err
	}
	r.send(http.StatusNoContent, nil, nil)
	return nil
}

func (s *Server) deleteAccount(r *request) error {
	gone, err := s.dirs.DeleteAccount(r.Context(), r.call(), r.PathValue("account"))
	for _, l := range gone { // each directory is told of its own
		one := *r
		one.status, one.resource = http.StatusNoContent, l.User
		if one.dir, _ = s.dirs.Get(r.Context(), l.Directory); one.dir != nil {
			s.requests.add(&one, s.Now().Sub(r.start))
		}
	}
	if err != nil {
		return err
	}
	r.send(http.StatusNoContent, nil, nil)
	return nil
}

// linkAccount gives an unlinked user of a directory an account again; Atlassian has no
// such call.
func (s *Server) linkAccount(r *request) error {
	r.resource = r.PathValue("user")
	c := r.call()
	c.Links = true
	res, err := r.dir.LinkAccount(r.Context(), c, r.resource)
	if err != nil {
		return err
	}
	defer res.Release()
	return r.shows(res)
}

func (s *Server) organization(r *request) error {
	return r.reply(http.StatusOK, struct {
		ID string `json:"id"`
	}{s.dirs.Org()})
}
