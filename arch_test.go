package roster_test

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/roster-scim/roster"

// allowed says which package may import which of ours, and why. This table is
// the architecture; change it on purpose or not at all.
var allowed = map[string][]string{
	"scim":                      {},                                                                                                        // the words of the RFC depend on nothing of ours
	".":                         {"scim"},                                                                                                  // nouns are made of words
	"client":                    {".", "scim"},                                                                                             // public: must not drag a server along
	"action":                    {".", "scim", "client"},                                                                                   // acts through a client alone, so that it acts on any directory
	"internal/store":            {".", "scim"},                                                                                             // a contract names nouns, not backends
	"internal/store/sqlstore":   {".", "scim", "internal/store"},                                                                           // the only importer of the drivers
	"internal/store/storetest":  {".", "scim", "internal/store"},                                                                           // the contract as tests knows no backend
	"internal/pgtest":           {},                                                                                                        // gives tests a database, knows no schema
	"internal/rostertest":       {"client", "internal/directory", "internal/server", "internal/store/sqlstore"},                            // serves a Roster to tests, and is in no program
	"internal/directory":        {".", "scim", "internal/store"},                                                                           // rules know neither HTTP nor SQL
	"internal/server":           {".", "scim", "action", "internal/directory", "internal/workflow"},                                        // HTTP asks the rules, never the store
	"internal/apply":            {".", "scim", "client", "action"},                                                                         // acts through a client alone, so that it acts on any directory
	"internal/mail":             {},                                                                                                        // a message and the way to send it
	"internal/mail/sink":        {},                                                                                                        // takes mails from the network, whoever sent them
	"internal/secret":           {},                                                                                                        // bytes in, sealed bytes out
	"internal/workflow":         {".", "scim", "client", "action", "internal/apply", "internal/mail", "internal/secret", "internal/store"}, // acts on users through an action alone
	"internal/workflow/durable": {".", "internal/workflow", "internal/secret", "internal/store"},                                           // the engine behind an interface
	"cmd/roster":                {"*"},                                                                                                     // joins all parts
	"bench":                     {".", "scim", "client"},                                                                                   // drives processes from outside
}

// foreign says what of the world a package may not import, and why.
var foreign = map[string][]string{
	"scim":               {"net", "net/http", "database/sql", "os", "time/tzdata", "log/slog"}, // pure: bytes in, values out
	".":                  {"net", "net/http", "database/sql", "os"},                            // plain structs
	"internal/directory": {"net", "net/http", "database/sql", "os"},                            // rules, not transport
	"internal/store":     {"database/sql", "net/http", "os"},                                   // a contract
	"client":             {"database/sql"},
	"action":             {"database/sql", "os"},
}

// onlyIn says which packages alone may import something, and why.
var onlyIn = map[string][]string{
	"modernc.org/sqlite":                            {"internal/store/sqlstore"},                              // one SQLite library in one place
	"github.com/jackc/pgx/v5":                       {"internal/store/sqlstore", "internal/workflow/durable"}, // so that errors are classified in one place; the engine is given a pool
	"github.com/spf13/cobra":                        {"cmd/roster"},                                           // flags stay in the command
	"github.com/pressly/goose/v3":                   {"internal/store/sqlstore"},
	"github.com/wneessen/go-mail":                   {"internal/mail"},
	"github.com/emersion/go-smtp":                   {"internal/mail/sink"}, // the demo's mail server, and the tests'
	"github.com/expr-lang/expr":                     {"internal/workflow"},
	"github.com/robfig/cron/v3":                     {"internal/workflow"},
	"github.com/dbos-inc/dbos-transact-golang/dbos": {"internal/workflow/durable"}, // a change of engine changes one package
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "interop") {
			return fs.SkipDir
		}
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			return nil // no Go files here
		}
		seen++
		dir = filepath.ToSlash(dir)
		may, known := allowed[dir]
		if !known {
			t.Errorf("package %s is not in the table: add it on purpose", dir)
			return nil
		}
		for _, imp := range pkg.Imports {
			ours, isOurs := strings.CutPrefix(imp, module)
			ours = strings.TrimPrefix(ours, "/")
			if ours == "" {
				ours = "."
			}
			if isOurs && !slices.Contains(may, ours) && !slices.Contains(may, "*") {
				t.Errorf("%s imports %s, which the table does not allow", dir, ours)
			}
			if slices.Contains(foreign[dir], imp) {
				t.Errorf("%s imports %s: it must not", dir, imp)
			}
			for lib, owners := range onlyIn {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(owners, dir) && dir != "internal/pgtest" {
					t.Errorf("%s imports %s: only %s may", dir, imp, owners)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < len(allowed)-1 { // bench may be absent in a partial checkout; nothing else
		t.Errorf("found %d packages, the table has %d: remove what is gone", seen, len(allowed))
	}
}
