package main

import (
	"bytes"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The log, at its most talkative, has nothing of what people and keys are: every
// request here brings a canary or more, each in another place.
func TestServe_LogHasNothingOfPeople(t *testing.T) {
	t.Parallel()
	s := serve(t, []string{"ROSTER_LOG_FORMAT=json"}, "--data", t.TempDir(), "--log-level", "debug", "--max-body", "4096")
	s.useDefault(t)
	const person = `{"userName":"canary-user","password":"canary-password","title":"canary-title","canaryUnknown":"canary-unknown",
		"name":{"givenName":"canary-given"},"emails":[{"value":"canary-mail@corp.example","primary":true}]}`
	a := s.must(t, 201, "POST", s.users(""), person)
	id := a.text("id")
	key := s.must(t, 201, "POST", "/api/v1/directories/"+s.directory+"/keys", `{"name":"canary-keyname","scopes":["users:write"]}`).text("key")
	if !strings.HasPrefix(key, "rk_") {
		t.Fatalf("no key: %q", key)
	}
	requests := 0
	for _, tt := range []struct {
		status int
		method string
		path   string
		body   string
		header string // name: value
	}{
		{200, "PUT", s.users(id), strings.Replace(person, "canary-title", "canary-other", 1), ""},
		{200, "GET", s.users("") + "?filter=userName%20eq%20%22canary-user%22", "", ""},
		{200, "GET", s.users("") + "?filter=emails.value%20eq%20%22canary-mail%40corp.example%22&attributes=canary-attribute", "", ""},
		{400, "GET", s.users("") + "?filter=canary-filter%20is%20%22canary%22", "", ""},
		{200, "GET", s.users("") + "?count=1;canary-semicolon=1", "", ""},
		{404, "GET", s.users("canary-mail@corp.example"), "", ""},
		{404, "GET", "/scim/directory/canary-directory/Users", "", ""},
		{404, "GET", "/canary-path?canary-query=1", "", ""},
		{404, "GET", "/api/v1/canary-endpoint", "", ""},
		{405, "TRACE", s.users(""), "", ""},
		{409, "POST", s.users(""), person, ""},
		{400, "POST", s.users(""), `{"userName":"canary-broken",`, ""},
		{400, "POST", s.users(""), `{"userName":"canary-type","emails":"canary-mail@corp.example"}`, ""},
		{413, "POST", s.users(""), `{"userName":"` + strings.Repeat("canary-large ", 1000) + `"}`, ""},
		{401, "GET", s.users(""), "", "Authorization: Bearer canary-wrong-key"},
		{401, "GET", s.users(""), "", "Authorization: Basic canary-basic"},
		{200, "GET", s.users(""), "", "Authorization: Bearer " + key},
		{403, "GET", keysPath, "", "Authorization: Bearer " + key},
		{200, "PUT", s.users(id), person, "Idempotency-Key: canary-idempotency"},
		{412, "PUT", s.users(id), person, `If-Match: W/"canary-etag"`},
		{200, "GET", s.users(id), "", "X-Forwarded-For: canary-forwarded"},
		{200, "GET", s.users(id), "", "User-Agent: canary-agent"},
		{201, "POST", "/api/v1/directories", `{"name":"canary-directory-name"}`, ""},
		{400, "POST", "/api/v1/directories", `{"name":"canary","ruleSet":"canary-rules"}`, ""},
		{204, "DELETE", s.users(id), "", ""},
		{200, "POST", "/api/v1/directories/" + s.directory + "/trash/" + id + "/restore", "", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, s.url+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+processKey)
		if name, value, ok := strings.Cut(tt.header, ": "); ok {
			req.Header.Set(name, value)
		}
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if requests++; resp.StatusCode != tt.status {
			t.Errorf("%s %s: got %d, want %d", tt.method, tt.path, resp.StatusCode, tt.status)
		}
	}
	s.finish(t, syscall.SIGTERM, exitOK)

	logged := 0
	for line := range strings.Lines(s.log.String()) {
		var entry struct {
			Msg    string         `json:"msg"`
			Level  string         `json:"level"`
			Time   string         `json:"time"`
			Status int            `json:"status"`
			Rest   jsontext.Value `json:",inline"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "" || entry.Level == "" || entry.Time == "" {
			t.Errorf("no line of a log: %v: %s", err, line)
		}
		if entry.Msg == "request" && entry.Status != 0 {
			logged++
		}
	}
	if logged < requests {
		t.Errorf("%d requests were made, and %d are in the log: %s", requests, logged, s.log)
	}
	for _, secret := range []string{"canary", processKey, key, key[3:20], "corp.example"} {
		text := []byte(s.log.String())
		if i := bytes.Index(bytes.ToLower(text), bytes.ToLower([]byte(secret))); i >= 0 {
			t.Errorf("the log has %q: …%s…", secret, text[max(0, i-200):min(len(text), i+200)])
		}
	}
}
