package sqlstore

import (
	"context"
	"database/sql"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/roster-scim/roster/internal/pgtest"
	"modernc.org/sqlite"
)

// planned are statements of requests about one resource or one page: they must not
// read more of a table than an index leads to.
var planned = map[string]*statement{
	"getResource": getResource, "lockResource": lockResource, "updateResource": updateResource,
	"listMembers": listMembers, "memberships": memberships, "groupLabels": groupLabels, "membershipsOne": membershipsOne,
	"findResources": findResources, "deleteMember": deleteMember, "countMember": countMember,
	"lastSeqOf": lastSeqOf, "history": history, "purgeEvents": purgeEvents, "linkEvent": linkEvent,
	"putTrash": putTrash, "lockTrash": lockTrash,
}

// checkPlan refuses a plan that has a line like one of bad.
func checkPlan(t *testing.T, name string, plan []string, bad *regexp.Regexp) {
	t.Helper()
	if len(plan) == 0 || slices.ContainsFunc(plan, bad.MatchString) {
		t.Errorf("plan of %s:\n%s", name, strings.Join(plan, "\n"))
	}
}

// parameter is a placeholder of either database.
var parameter = regexp.MustCompile(`\$\d+|\?`)

func TestPlans_SQLite(t *testing.T) {
	t.Parallel()
	path := tempPath(t)
	openTest(t, path)
	connector, err := sqlite.NewConnector(sqliteURI(path))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	// Of no table all, or all of an index; nothing sorted on the way.
	bad := regexp.MustCompile(`^SCAN (directories|resources|terms|claims|trash|events|members|[a-z])\b|TEMP B-TREE|AUTOMATIC`)
	for name, s := range planned {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+parameter.ReplaceAllString(s.sqlite, "'1'"))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, detail)
		}
		checkPlan(t, name, lines, bad)
	}
}

// The plans that PostgreSQL makes without parameters and before it has seen any
// rows: it keeps them when the tables have grown.
func TestPlans_Postgres(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	if _, err := Migrate(t.Context(), dsn, nil); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	exec := func(text string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	// Nor what the directory, or the directory and the type, lead to, or an index of
	// members by their own ids to those of a group.
	bad := regexp.MustCompile(`Seq Scan|Bitmap|Join Filter|Index Cond: \(directory = [^()]*\)$|\(directory = [^()]*\) AND \(type = [^()]*\)\)$|member > `)
	exec("SET plan_cache_mode = force_generic_plan")
	for name, s := range planned {
		exec("PREPARE planned AS " + s.postgres)
		n := 0
		for _, p := range parameter.FindAllString(s.postgres, -1) {
			i, _ := strconv.Atoi(p[1:])
			n = max(n, i)
		}
		rows, err := c.Query(t.Context(), "EXPLAIN EXECUTE planned (NULL"+strings.Repeat(", NULL", n-1)+")", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(name, err)
		}
		checkPlan(t, name, lines, bad)
		exec("DEALLOCATE planned")
	}
}
