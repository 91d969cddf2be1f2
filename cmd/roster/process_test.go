package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/roster-scim/roster"
	"github.com/roster-scim/roster/scim"
)

// processKey is the operator key of the servers that startProcess starts.
const processKey = "process-process-process"

// processPatience bounds what a test waits for.
const processPatience = time.Minute

// binaryDir holds the binary that is tested, for as long as the tests run.
var binaryDir string

func TestMain(m *testing.M) {
	if os.Getenv(sinkEnv) != "" {
		if err := runSink(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(func() int {
		var err error
		if binaryDir, err = os.MkdirTemp("", "roster-test-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(binaryDir)
		return m.Run()
	}())
}

// rosterBinary builds roster once for all tests, without the race detector:
// what is tested is the process that people run.
var rosterBinary = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(binaryDir, "roster")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build roster: %w: %s", err, out)
	}
	return binary, nil
})

// A process is roster serve as a process of its own, with one default directory
// of the rule set atlassian.
type process struct {
	cmd       *exec.Cmd
	stderr    bytes.Buffer // to be read when it has ended
	url       string
	directory string
	client    *http.Client
	ended     chan struct{}
	err       error // how it ended
}

// startProcess starts a server with these flags and waits until it is ready.
// wrap is a command that runs it, such as strace with its flags; nil for none.
func startProcess(t *testing.T, wrap []string, flags ...string) *process {
	t.Helper()
	binary, err := rosterBinary()
	if err != nil {
		t.Fatal(err)
	}
	args := append(append(wrap, binary, "serve", "--listen", "127.0.0.1:0"), flags...)
	p := &process{
		cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crashWriters}, Timeout: processPatience},
	}
	p.cmd.Env = append(os.Environ(), "ROSTER_BOOTSTRAP_KEY="+processKey)
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	hangs := time.AfterFunc(processPatience, p.kill)
	defer hangs.Stop()
	line, _ := bufio.NewReader(stdout).ReadString('\n') // an end without it is said below
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		p.kill()
		t.Fatalf("roster serve did not start: %v: %s", p.err, p.stderr.String())
	}
	p.url = url
	p.directory = p.defaultDirectory(t)
	return p
}

// kill sends SIGKILL and waits for the end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // when it has ended already there is nothing to do
	p.client.CloseIdleConnections()
	<-p.ended
}

// stop sends SIGTERM and wants a good end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.client.CloseIdleConnections()
	select {
	case <-p.ended:
	case <-time.After(processPatience):
		t.Fatal("roster serve did not end")
	}
	if p.err != nil {
		t.Fatalf("roster serve ended with %v: %s", p.err, p.stderr.String())
	}
}

func (p *process) defaultDirectory(t *testing.T) string {
	t.Helper()
	var list struct {
		Directories []*roster.Directory `json:"directories"`
	}
	p.read(t, "/api/v1/directories", &list)
	for _, d := range list.Directories {
		if d.Default {
			return d.ID
		}
	}
	t.Fatal("there is no default directory")
	return ""
}

// users returns the path of a user, or for "" of them all.
func (p *process) users(id string) string {
	path := "/scim/directory/" + p.directory + "/Users"
	if id != "" {
		path += "/" + id
	}
	return path
}

// An httpAnswer is what the server said.
type httpAnswer struct {
	status int
	header http.Header
	body   []byte
}

func (a *httpAnswer) String() string {
	if a == nil {
		return "no answer"
	}
	return fmt.Sprintf("%d %.1000s", a.status, a.body)
}

// version returns the version in the ETag, 0 for none.
func (a *httpAnswer) version() int64 {
	n, _ := strconv.ParseInt(strings.Trim(strings.TrimPrefix(a.header.Get("ETag"), "W/"), `"`), 10, 64)
	return n
}

// text returns a text at the top of the body, "" for none.
func (a *httpAnswer) text(name string) string {
	var doc map[string]jsontext.Value
	var s string
	if json.Unmarshal(a.body, &doc) != nil || json.Unmarshal(doc[name], &s) != nil {
		return ""
	}
	return s
}

// document returns the user in the body without what is not stored in it.
func (a *httpAnswer) document(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(a.body, &doc); err != nil {
		t.Errorf("%v: %v", a, err)
		return nil
	}
	// Department is shown in two places, and events name the one at the top.
	if view, _ := doc[scim.EnterpriseUserURN].(map[string]any); view != nil {
		if view["department"] != doc["department"] {
			t.Errorf("department: got %v at the top and %v in the extension", doc["department"], view["department"])
		}
		delete(doc, scim.EnterpriseUserURN)
	}
	for _, name := range []string{"schemas", "id", "meta", "groups"} {
		delete(doc, name)
	}
	return doc
}

// call makes a request. An answer of any status is no error.
func (p *process) call(ctx context.Context, method, path, body string) (*httpAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+processKey)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &httpAnswer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	return a, nil
}

// events returns a page of events, of the directory or of a user. Like list it
// may be called in any goroutine: with an error it returns an empty page.
func (p *process) events(t *testing.T, path string) []crashEvent {
	t.Helper()
	var page struct {
		Events []jsontext.Value `json:"events"`
	}
	p.read(t, "/api/v1/directories/"+p.directory+path, &page)
	events := make([]crashEvent, len(page.Events))
	for i, text := range page.Events {
		events[i].json = string(text)
		if err := json.Unmarshal(text, &events[i].Event); err != nil {
			t.Errorf("%s: %v: %s", path, err, text)
		}
	}
	return events
}

// settle waits until the events of all that was done are there: PostgreSQL holds them
// back while the transaction of anybody is open, such as that which erases old ones.
// It makes users in a directory of its own, which fence is the id of, empty at first.
func (p *process) settle(t *testing.T, fence *string) {
	t.Helper()
	must := func(path, body string) *httpAnswer {
		t.Helper()
		a, err := p.call(t.Context(), http.MethodPost, path, body)
		if err != nil || a.status != http.StatusCreated {
			t.Fatalf("%s: %v, %v", path, a, err)
		}
		return a
	}
	if *fence == "" {
		*fence = must("/api/v1/directories", `{"name":"fence","ruleSet":"standard"}`).text("id")
	}
	id := must("/scim/directory/"+*fence+"/Users", fmt.Sprintf(`{"userName":%q}`, rand.Text())).text("id")
	var page struct {
		Events []*roster.Event `json:"events"`
	}
	api := "/api/v1/directories/" + *fence
	p.read(t, api+"/users/"+id+"/history", &page)
	if len(page.Events) != 1 {
		t.Fatalf("got %d events of a new user", len(page.Events))
	}
	p.read(t, fmt.Sprintf("%s/events?wait=30&after=%d", api, page.Events[0].Seq-1), &page)
	if len(page.Events) == 0 {
		t.Fatal("a transaction is open, and does not end")
	}
}

// A userList is a ListResponse, of which the ids are looked at.
type userList struct {
	Total     int `json:"totalResults"`
	Resources []struct {
		ID string `json:"id"`
	} `json:"Resources"`
}

func (p *process) list(t *testing.T, query string) *userList {
	t.Helper()
	list := new(userList)
	p.read(t, p.users("")+query, list)
	return list
}

// read reads the answer to a GET into v, or fails the test and leaves v as it
// is.
func (p *process) read(t *testing.T, path string, v any) {
	t.Helper()
	a, err := p.call(t.Context(), http.MethodGet, path, "")
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	if err == nil {
		err = json.Unmarshal(a.body, v)
	}
	if err != nil {
		t.Errorf("%s: %v: %v", path, err, a)
	}
}
