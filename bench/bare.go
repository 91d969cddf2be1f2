package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// bareCommand makes this binary the bare server. It is for bench itself.
const bareCommand = "bare-server"

// bareUser is what the bare server decodes a user into and encodes it from.
type bareUser struct {
	Schemas           []string       `json:"schemas"`
	ID                string         `json:"id"`
	ExternalID        string         `json:"externalId,omitzero"`
	UserName          string         `json:"userName"`
	Name              *bareName      `json:"name,omitzero"`
	DisplayName       string         `json:"displayName,omitzero"`
	NickName          string         `json:"nickName,omitzero"`
	Title             string         `json:"title,omitzero"`
	PreferredLanguage string         `json:"preferredLanguage,omitzero"`
	Department        string         `json:"department,omitzero"`
	Organization      string         `json:"organization,omitzero"`
	Timezone          string         `json:"timezone,omitzero"`
	PhoneNumbers      []bareValue    `json:"phoneNumbers,omitempty"`
	Emails            []bareValue    `json:"emails,omitempty"`
	Active            bool           `json:"active"`
	Enterprise        bareEnterprise `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitzero"`
	Meta              bareMeta       `json:"meta"`
}

type bareName struct {
	Formatted       string `json:"formatted,omitzero"`
	FamilyName      string `json:"familyName,omitzero"`
	GivenName       string `json:"givenName,omitzero"`
	MiddleName      string `json:"middleName,omitzero"`
	HonorificPrefix string `json:"honorificPrefix,omitzero"`
	HonorificSuffix string `json:"honorificSuffix,omitzero"`
}

type bareValue struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitzero"`
	Primary bool   `json:"primary"`
}

type bareEnterprise struct {
	Department   string `json:"department,omitzero"`
	Organization string `json:"organization,omitzero"`
}

type bareMeta struct {
	ResourceType string    `json:"resourceType"`
	Created      time.Time `json:"created"`
	LastModified time.Time `json:"lastModified"`
	Location     string    `json:"location"`
}

type barePatch struct {
	Schemas    []string `json:"schemas"`
	Operations []struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	} `json:"Operations"`
}

type bareGroup struct {
	Schemas     []string `json:"schemas"`
	ID          string   `json:"id"`
	DisplayName string   `json:"displayName"`
	Meta        bareMeta `json:"meta"`
}

// serveBare serves until ctx ends. Like roster serve it tells on stdout where it
// listens.
func serveBare(ctx context.Context, stdout io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	h, err := newBare()
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	fmt.Fprintln(stdout, "listening on http://"+ln.Addr().String())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// A bare is a server that stores nothing: it answers a write with what it was
// sent, and a read always with the same.
type bare struct {
	user []byte // the answer to a GET of one, 1 KB
	one  []byte // to a filter
	page []byte // to a list of pageSize

	decoded bareUser
}

const bareID = "00000000-0000-7000-8000-000000000000"

func newBare() (*bare, error) {
	answer, err := answerBare(appendUser(nil, 0, 0, 0), bareID)
	if err != nil {
		return nil, err
	}
	list := func(n int) []byte {
		rows := bytes.Join(slices.Repeat([][]byte{answer}, n), []byte(","))
		return fmt.Appendf(nil, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":%d,"startIndex":1,"itemsPerPage":%d,"Resources":[%s]}`, n, n, rows)
	}
	s := &bare{user: answer, one: list(1), page: list(pageSize)}
	return s, json.Unmarshal(answer, &s.decoded)
}

func (s *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPut, http.MethodPost:
		body := make([]byte, max(r.ContentLength, 0))
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return // the client has gone
		}
		status, id := http.StatusOK, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if r.Method == http.MethodPost {
			status, id = http.StatusCreated, bareID
		}
		answer, err := answerBare(body, id)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		send(w, status, answer)
	case http.MethodPatch:
		body := make([]byte, max(r.ContentLength, 0))
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return // the client has gone
		}
		answer, err := s.patch(body, strings.Contains(r.URL.Path, "/Groups/"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		send(w, http.StatusOK, answer)
	case http.MethodGet:
		switch query := r.URL.RawQuery; {
		case query == "":
			send(w, http.StatusOK, s.user)
		case strings.HasPrefix(query, "filter="):
			send(w, http.StatusOK, s.one)
		default:
			send(w, http.StatusOK, s.page)
		}
	default:
		http.Error(w, r.Method, http.StatusMethodNotAllowed)
	}
}

// patch decodes a PATCH and encodes what it is about: always the same.
func (s *bare) patch(body []byte, group bool) ([]byte, error) {
	var p barePatch
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, err
	}
	if group {
		return json.Marshal(&bareGroup{Schemas: p.Schemas, ID: bareID, DisplayName: "Group 0", Meta: s.decoded.Meta})
	}
	return json.Marshal(&s.decoded)
}

func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/scim+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone is its own affair
}

func answerBare(body []byte, id string) ([]byte, error) {
	var u bareUser
	if err := json.Unmarshal(body, &u); err != nil {
		return nil, err
	}
	u.ID = id
	now := time.Now().UTC()
	u.Meta = bareMeta{
		ResourceType: "User", Created: now, LastModified: now,
		Location: "http://127.0.0.1/scim/directory/" + bareID + "/Users/" + id,
	}
	return json.Marshal(&u)
}
