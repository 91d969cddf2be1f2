// Command bench measures Roster against a bare server and prints the table of
// docs/bench.md. It is what make bench runs.
//
// The bare server (bare.go) is net/http that decodes the JSON it is sent,
// encodes it again and stores nothing: what an exchange costs before any
// directory begins. It, a Roster on SQLite and, where ROSTER_TEST_POSTGRES names
// a database server, a Roster on PostgreSQL are processes of their own
// (process.go), driven by turns (measure.go) with one client (load.go, conn.go) that speaks
// HTTP/1.1 by hand, so that the client takes little of the processors that it
// shares with them. The same requests go to all (operation.go, user.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	users       []int         // how many users a directory has: one table each
	rounds      int           // how often each server gets its turn
	duration    time.Duration // how long a turn is
	connections int           // how many requests are under way at once
	events      int           // how many events start a run each; 0: that is not measured
	dir         string        // where the databases are made; the default temporary folder for ""
	only        *regexp.Regexp
	postgres    string // an administrator's DSN; no PostgreSQL for ""
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == bareCommand {
		return serveBare(ctx, stdout)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	r, err := measure(ctx, o, stderr)
	if err != nil {
		return err
	}
	return r.write(stdout)
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{postgres: os.Getenv("ROSTER_TEST_POSTGRES")}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	users := f.String("users", "1000,100000", "how many users there are, one table for each `number`")
	only := f.String("only", "", "measure only the operations that this `expression` matches (POST is always: it makes the users)")
	quick := f.Bool("quick", false, "1,000 users and short turns: shows that it runs, says nothing about speed")
	f.IntVar(&o.rounds, "rounds", 5, "turns that each server gets for each operation")
	f.DurationVar(&o.duration, "duration", 2*time.Second, "length of a turn")
	f.IntVar(&o.connections, "connections", 64, "requests under way at once")
	f.IntVar(&o.events, "events", 10_000, "how many events start a run of a workflow each (-only events); 0: none")
	f.StringVar(&o.dir, "dir", "", "`folder` for the databases: the disk that is measured (default: the temporary folder)")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if *quick {
		*users, o.rounds, o.duration, o.connections, o.events = "1000", 1, 200*time.Millisecond, 16, 100
	}
	for text := range strings.SplitSeq(*users, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < pageSize || n > maxUsers {
			return nil, fmt.Errorf("-users %s: numbers from %d to %d, with commas between them", *users, pageSize, maxUsers)
		}
		o.users = append(o.users, n)
	}
	if f.NArg() > 0 || o.rounds < 1 || o.duration <= 0 || o.connections < 1 || o.connections > 10_000 || o.events < 0 || o.events > maxUsers {
		return nil, errors.New("flags only, and each at least 1; -help lists them")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	return o, nil
}
