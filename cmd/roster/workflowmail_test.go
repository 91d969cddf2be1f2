package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/internal/mail/sink"
)

// The workflow update-user-and-email, started in each of the ways in which a
// workflow is, mails what it did by a mail server that is a process of its own.
func TestWorkflow_UpdateUserAndEmail(t *testing.T) {
	t.Parallel()
	w := &updates{t: t, mail: startMailServer(t), dir: t.TempDir()}
	w.serve()
	w.userID = w.must(t, http.StatusCreated, http.MethodPost, w.users(""), `{"userName":"ada","displayName":"Ada Lovelace",
		"title":"Engineer","nickName":"Countess","phoneNumbers":[{"value":"+44 20 7946 0000","type":"work"}],`+adaMails+`}`).text("id")
	w.title = "Engineer"
	env := []string{"ROSTER_URL=" + w.url, "ROSTER_KEY=" + processKey}
	library, _ := succeed(t, nil, "workflow", "new", "update-user-and-email")
	w.write("update.yaml", library)
	succeed(t, env, "workflow", "deploy", filepath.Join(w.dir, "update.yaml"))

	// From the command line. What is left out is cleared.
	inputs := func(title string) []string {
		var args []string
		for _, in := range []string{"userId=" + w.userID, "userName=ada", "displayName=Ada Lovelace", "emails=" + adaMails[len(`"emails":`):], "title=" + title, "recipient=boss@corp.example"} {
			args = append(args, "--input", in)
		}
		return args
	}
	stdout, stderr := succeed(t, env, append([]string{"workflow", "run", "update-user-and-email", "-o", "json"}, inputs("Analyst")...)...)
	run := startedRun.FindStringSubmatch(stderr)
	if run == nil || !strings.Contains(stdout, `"Analyst"`) {
		t.Fatalf("got %s%s", stdout, stderr)
	}
	w.wantMail(run[1], "update-user-and-email", "Analyst", "What was cleared:\n  nickName: it was Countess\n  phoneNumbers: it was +44 20 7946 0000\n\n")

	// By the API, without waiting and with.
	values := map[string]any{
		"userId": w.userID, "userName": "ada", "displayName": "Ada Lovelace", "recipient": "boss@corp.example",
		"emails": []any{map[string]any{"value": "ada@corp.example", "type": "work", "primary": true}},
	}
	values["title"] = "Lead"
	queued := w.start(t, http.StatusAccepted, "update-user-and-email", "", values)
	w.await(t, queued.ID, roster.RunSucceeded)
	w.wantMail(queued.ID, "update-user-and-email", "Lead", "")
	values["title"] = "Director"
	ended := w.start(t, http.StatusOK, "update-user-and-email", "?wait=60", values)
	if ended.Status != roster.RunSucceeded {
		t.Errorf("got %s, %+v", ended.Status, ended.Error)
	}
	w.wantMail(ended.ID, "update-user-and-email", "Director", "")

	// By a change of somebody else: the run's own change starts no other one.
	renamed := func(name, triggers string) string {
		return strings.Replace(library, "name: update-user-and-email", "name: "+name, 1) + triggers
	}
	w.deploy(t, "on-change", renamed("on-change", fmt.Sprintf(onAda, "event: {type: User, attributes: [department]}", "From an event", w.userID)))
	w.must(t, http.StatusOK, http.MethodPatch, w.users(w.userID), `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"department","value":"Research"}]}`)
	w.wantMail(w.runOf("on-change"), "on-change", "From an event", "What was cleared:\n  department: it was Research\n\n")

	// On a schedule, whose time came while no server ran: nothing waits for a clock,
	// and the next time is an hour later.
	cron := fmt.Sprintf(`schedule: {cron: "%d * * * *"}`, time.Now().UTC().Add(-time.Hour/4).Minute())
	w.deploy(t, "on-schedule", renamed("on-schedule", fmt.Sprintf(onAda, cron, "From a schedule", w.userID)))
	w.must(t, http.StatusNoContent, http.MethodDelete, "/api/v1/workflows/on-change", "")
	w.finish(t, syscall.SIGTERM, exitOK)
	w.ago(time.Hour / 2)
	w.serve()
	w.wantMail(w.runOf("on-schedule"), "on-schedule", "From a schedule", "")

	// A failure tells what to do.
	w.must(t, http.StatusOK, http.MethodPatch, "/api/v1/workflows/on-schedule", `{"enabled":false}`)
	w.must(t, http.StatusCreated, http.MethodPost, w.users(""), userBody("grace", "Admiral"))
	values["userName"] = "grace"
	failed := w.start(t, http.StatusOK, "update-user-and-email", "?wait=60", values)
	if failed.Status != roster.RunFailed {
		t.Errorf("got %s", failed.Status)
	}
	w.wantFailure(failed.ID)
	w.finish(t, syscall.SIGTERM, exitOK)
	if n := len(w.mail.mails); n > 0 {
		t.Errorf("%d more mails came", n)
	}
}

const (
	adaMails = `"emails":[{"value":"ada@corp.example","type":"work","primary":true}]`
	onAda    = `triggers:
  - %s
    inputs:
      title: %s
      userId: %s
      userName: ada
      displayName: Ada Lovelace
      emails: [{value: ada@corp.example, type: work, primary: true}]
      recipient: boss@corp.example
`
)

var startedRun = regexp.MustCompile(`Started run ([0-9a-f]+)`)

// updates is a server whose workflows update ada.
type updates struct {
	*served
	t      *testing.T
	mail   *mailServer
	dir    string
	userID string
	title  string // ada's, as the last run has left it
}

// serve starts the server, or starts it again.
func (w *updates) serve() {
	w.t.Helper()
	w.served = serve(w.t, []string{"ROSTER_MAIL=smtp://user:password@" + w.mail.addr + "?tls=none"},
		"--data", w.dir, "--mail-from", "Roster <roster@corp.example>")
	w.useDefault(w.t)
}

func (w *updates) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// ago has the workflows of a server that does not run deployed so long ago.
func (w *updates) ago(d time.Duration) {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "roster.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = db.ExecContext(w.t.Context(), `UPDATE workflows SET active = active - $1`, d.Microseconds())
	if err := db.Close(); err != nil {
		w.t.Error(err)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// runOf returns the id of the one run of a workflow when it has ended.
func (w *updates) runOf(name string) string {
	w.t.Helper()
	m, _ := w.mail.next() // its mail comes before its end
	w.mail.mails <- m
	var page struct {
		Runs []*roster.Run `json:"runs"`
	}
	w.read(w.t, "/api/v1/runs?workflow="+name, &page)
	if len(page.Runs) != 1 {
		w.t.Fatalf("%s: got %d runs, want 1", name, len(page.Runs))
	}
	return w.await(w.t, page.Runs[0].ID, roster.RunSucceeded).ID
}

// wantMail wants the mail of a run that has given ada a title, part by part.
// cleared is what the text tells of what was cleared.
func (w *updates) wantMail(run, workflow, title, cleared string) {
	w.t.Helper()
	m, parts := w.mail.next()
	before := w.title
	w.title = title
	w.wantHeaders(m, parts, run, "tell", "Updated: ada")
	w.same("text", parts.Text, "Ada Lovelace (ada) was updated.\n\nWhat changed:\n  title: "+before+" -> "+title+"\n\n"+cleared+w.footer(workflow, run))
	w.wantHTML(parts.HTML, "Updated", "Ada Lovelace was updated", ">title<", ">"+before+"<", ">"+title+"<", "run "+run)
	a, err := w.call(w.t.Context(), http.MethodGet, w.users(w.userID), "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.wantAttachment(parts, string(a.body))
}

// wantFailure wants the mail of a run that could not update ada.
func (w *updates) wantFailure(run string) {
	w.t.Helper()
	m, parts := w.mail.next()
	w.wantHeaders(m, parts, run, "tell_failure", "Failed: update of grace")
	text, rest, _ := strings.Cut(parts.Text, "What happened:\n")
	w.same("text", text, "Ada Lovelace (grace) was not updated.\n\n")
	what, todo, _ := strings.Cut(rest, "\n\nWhat to do:\n")
	if !strings.HasSuffix(what, "(409 uniqueness)") {
		w.t.Errorf("what happened: got %q", what)
	}
	w.same("what to do", todo, "  Somebody else in the directory has a value that must be unique, such as the user name or an e-mail address: choose another one, or change it there first.\n\n"+w.footer("update-user-and-email", run))
	w.wantHTML(parts.HTML, "Failed", "Ada Lovelace (grace) was not updated", "(409 uniqueness)", "choose another one", "run "+run)
	if len(parts.Attachments) != 1 || !strings.Contains(string(parts.Attachments[0].Content), `"scimType": "uniqueness"`) {
		w.t.Errorf("got attachments %+v", parts.Attachments)
	}
}

// footer is how a text ends.
func (w *updates) footer(workflow, run string) string {
	return fmt.Sprintf("--\nDirectory %s, workflow %s, run %s\n", w.directory, workflow, run)
}

// wantHeaders looks at the envelope and at every header.
func (w *updates) wantHeaders(m *sink.Message, parts *sink.Mail, run, step, subject string) {
	w.t.Helper()
	m.Data, m.TLS = nil, false
	w.same("envelope", m, &sink.Message{From: "roster@corp.example", To: []string{"boss@corp.example"}, User: "user"})
	got := make(map[string]string)
	for name := range parts.Header {
		v, err := parts.Get(name)
		if err != nil {
			w.t.Error(err)
		}
		got[name] = v
	}
	if at, err := parts.Header.Date(); err != nil || time.Since(at).Abs() > time.Hour {
		w.t.Errorf("Date: got %v, %v", at, err)
	}
	if !strings.HasPrefix(got["Content-Type"], "multipart/mixed;") {
		w.t.Errorf("Content-Type: got %q", got["Content-Type"])
	}
	if step == "tell_failure" { // it has when the run failed, too
		got["Message-Id"] = regexp.MustCompile(`\.[0-9a-z]{10}@`).ReplaceAllString(got["Message-Id"], "@")
	}
	delete(got, "Date")
	delete(got, "Content-Type")
	w.same("headers", got, map[string]string{
		"From": `"Roster" <roster@corp.example>`, "To": "<boss@corp.example>", "Subject": subject,
		"Message-Id":     "<" + run + "." + step + "@corp.example>",
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Mime-Version": "1.0",
	})
}

// wantHTML wants a whole page that has these texts in this order.
func (w *updates) wantHTML(page string, texts ...string) {
	w.t.Helper()
	if !strings.HasPrefix(page, "<!doctype html>\n") || !strings.HasSuffix(strings.TrimSpace(page), "</html>") || strings.Contains(page, "<no value>") {
		w.t.Errorf("HTML: got %s", page)
	}
	rest := page
	for _, text := range texts {
		var ok bool
		if _, rest, ok = strings.Cut(rest, text); !ok {
			w.t.Errorf("HTML: there is no %q in its place in %s", text, page)
		}
	}
}

// wantAttachment wants the one attachment, which is this user.
func (w *updates) wantAttachment(parts *sink.Mail, user string) {
	w.t.Helper()
	if len(parts.Attachments) != 1 {
		w.t.Fatalf("got %d attachments, want 1", len(parts.Attachments))
	}
	a := parts.Attachments[0]
	w.same("attachment", a.Name+" "+a.Type, "result.json application/json")
	w.same("result.json", decoded(w.t, a.Content), decoded(w.t, []byte(user)))
}

func (w *updates) same(what string, got, want any) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
