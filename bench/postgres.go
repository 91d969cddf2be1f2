package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
)

// createDatabase makes a database on the server that admin names, and returns
// its DSN and what drops it. psql is used, which comes with the server: only the
// store may import a driver.
func createDatabase(ctx context.Context, admin, name string) (dsn string, drop func() error, err error) {
	u, err := url.Parse(admin)
	if err != nil {
		return "", nil, fmt.Errorf("ROSTER_TEST_POSTGRES: %w", err)
	}
	run := func(ctx context.Context, command string) error {
		out, err := exec.CommandContext(ctx, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, admin).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
		return nil
	}
	name = fmt.Sprintf("roster_bench_%d_%s", os.Getpid(), name)
	if err := run(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() error { return run(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)") }, nil
}
