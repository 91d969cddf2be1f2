package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"github.com/roster-scim/roster/client"
)

// rosterPackage is built without the race detector, however bench is.
const rosterPackage = "github.com/roster-scim/roster/cmd/roster"

// benchKey is the operator key of the servers that are measured.
const benchKey = "bench-bench-bench-bench"

func buildRoster(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "roster")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, rosterPackage).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build roster: %w: %s", err, out)
	}
	return binary, nil
}

// startRoster starts a Roster with its own folder, on the database db, or for ""
// on SQLite in that folder.
func startRoster(ctx context.Context, binary, dir, db string, flags ...string) (*process, error) {
	args := append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--rule-set", "atlassian"}, flags...)
	if db != "" {
		args = append(args, "--db", db)
	}
	return start(ctx, dir, []string{"ROSTER_BOOTSTRAP_KEY=" + benchKey}, binary, args...)
}

// newRoster returns a started Roster as a target for so many users, which are
// not there yet.
func newRoster(ctx context.Context, p *process, name string, users int) (*target, error) {
	id, err := defaultDirectory(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &target{
		process: p, name: name, key: benchKey, path: "/scim/directory/" + id + "/Users",
		users: users, ids: make([]byte, users*idLength), turns: make([]atomic.Uint32, users),
	}, nil
}

func defaultDirectory(ctx context.Context, p *process) (string, error) {
	c := &client.Client{BaseURL: "http://" + p.addr, Key: benchKey}
	list, err := c.Management().ListDirectories(ctx)
	if err != nil {
		return "", fmt.Errorf("list directories: %w", err)
	}
	for _, d := range list {
		if d.Default {
			return d.ID, nil
		}
	}
	return "", errors.New("there is no default directory")
}

// newBareTarget returns a started bare server as a target.
func newBareTarget(ctx context.Context, dir string) (*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, dir, nil, self, bareCommand)
	if err != nil {
		return nil, err
	}
	t := &target{
		process: p, name: "bare", bare: true, key: benchKey,
		path: "/scim/directory/" + bareID + "/Users", users: pageSize,
		ids: bytes.Repeat([]byte(bareID), pageSize), turns: make([]atomic.Uint32, pageSize), cursors: []string{"x"},
	}
	for _, size := range groupSizes {
		t.groups = append(t.groups, &group{id: bareID, members: size})
	}
	return t, nil
}
