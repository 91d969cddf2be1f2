package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// operatorKey is the key of the server under test.
const operatorKey = "interop-interop-interop"

// patience bounds what a test waits for.
const patience = 30 * time.Second

// base is the URL of the server under test, and directory the id of its default
// directory, which has the rule set atlassian. Tests make users of their own.
var base, directory string

func TestMain(m *testing.M) {
	code, err := withServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

// withServer builds roster, without the race detector, and serves while run
// runs.
func withServer(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "roster-interop-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "roster")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join("..", "cmd", "roster")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build roster: %w: %s", err, out)
	}

	var stderr bytes.Buffer
	cmd := exec.Command(binary, "serve", "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "ROSTER_BOOTSTRAP_KEY="+operatorKey)
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	// A server that hangs is killed, and then the line below is not there.
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok || !kill.Stop() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return 0, fmt.Errorf("roster did not start: %s", stderr.String())
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if e := cmd.Wait(); err == nil && e != nil {
			err = fmt.Errorf("roster did not end well: %w: %s", e, stderr.String())
		}
	}()
	base = url
	if directory, err = defaultDirectory(); err != nil {
		return 0, err
	}
	return run(), nil
}

func defaultDirectory() (string, error) {
	body, err := call(context.Background(), http.MethodGet, "/api/v1/directories", "")
	if err != nil {
		return "", err
	}
	var list struct {
		Directories []struct {
			ID      string `json:"id"`
			Default bool   `json:"default"`
		} `json:"directories"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return "", err
	}
	for _, d := range list.Directories {
		if d.Default {
			return d.ID, nil
		}
	}
	return "", fmt.Errorf("no default directory: %s", body)
}

// call makes a request without any library, to see or to send what the one
// under test cannot.
func call(ctx context.Context, method, path, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+operatorKey)
	req.Header.Set("Content-Type", "application/scim+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d: %s", method, path, resp.StatusCode, answer)
	}
	return answer, err
}
