package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/roster-scim/roster"
)

const (
	backupWriters = 8
	backupCopies  = 3
	backupBefore  = 150 // writes that are answered before each copy begins
	backupAfter   = 50  // and at least so many after the last has ended
)

// A copy that is taken while writers are at work has all that was answered
// before it began, and nothing by halves; it can be put in the place of nothing,
// or of a database whose server was killed, which then can be put back.
func TestBackup_UnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	s := serve(t, nil, "--data", data)
	s.useDefault(t)
	w := startWriters(t, s)
	var files []string
	var before []map[string]int64 // what was answered before each copy
	for i := range backupCopies {
		w.await(t, w.count()+backupBefore)
		before = append(before, w.acknowledged())
		files = append(files, filepath.Join(dir, fmt.Sprintf("copy%d.db", i)))
		_, stderr := succeed(t, nil, "backup", "--data", data, files[i])
		keys := filepath.Join(data, "secret.key")
		if got, want := stderr, "wrote "+files[i]+"\nnote: what is secret in it opens with "+keys+" alone: keep a copy of that file too, in another place\n"; got != want {
			t.Errorf("stderr: got %q, want %q", got, want)
		}
	}
	w.await(t, w.count()+backupAfter)
	w.end()
	all := w.acknowledged()
	file := files[0]
	refuse(t, nil, exitError, "in use by another roster process, which has locked "+filepath.Join(data, "roster.db.lock")+": stop that one first",
		"restore", "--data", data, file)
	wantPrivate(t, append(files, data, filepath.Join(data, "roster.db"), filepath.Join(data, "roster.db-wal"))...)
	s.kill() // so that there is a log to be taken care of
	t.Logf("%d writes to %d users before the first copy, %d to %d in all", writes(before[0]), len(before[0]), writes(all), len(all))

	for i, file := range files {
		t.Run(fmt.Sprintf("copy %d into an empty folder", i), func(t *testing.T) {
			fresh := filepath.Join(dir, fmt.Sprintf("fresh%d", i))
			_, stderr := succeed(t, nil, "restore", "--data", fresh, file)
			if got, want := stderr, "restored from "+file+"\n"; got != want {
				t.Errorf("stderr: got %q, want %q", got, want)
			}
			wantPrivate(t, fresh, filepath.Join(fresh, "roster.db"))
			verifyRestored(t, fresh, before[i], all)
		})
	}
	t.Run("over another", func(t *testing.T) {
		_, stderr := succeed(t, nil, "restore", "--data", data, file)
		m := regexp.MustCompile(`^kept what was there as (.*)\nrestored from .*\n$`).FindStringSubmatch(stderr)
		if m == nil {
			t.Fatalf("stderr does not say what was kept: %q", stderr)
		}
		if filepath.Dir(m[1]) != data {
			t.Errorf("%s is not in the data folder", m[1])
		}
		verifyRestored(t, data, before[0], all)

		succeed(t, nil, "restore", "--data", data, m[1])
		verifyRestored(t, data, all, all)
	})
}

// A log that lost its database belongs to nothing that is put there.
func TestRestore_WhereALogWasLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "copy.db")
	s := serve(t, nil, "--data", data)
	s.useDefault(t)
	ada := s.must(t, http.StatusCreated, "POST", s.users(""), userBody("ada", "Engineer")).text("id")
	succeed(t, nil, "backup", "--data", data, file)
	s.must(t, http.StatusOK, "PUT", s.users(ada), userBody("ada", "CTO"))
	s.must(t, http.StatusCreated, "POST", s.users(""), userBody("grace", "Admiral"))
	s.kill()
	database := filepath.Join(data, "roster.db")
	if info, err := os.Stat(database + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("the killed server left no log: %v", err)
	}

	// A copy of such a file alone would lack what is in the log.
	refuse(t, nil, exitError, "some of its changes may be in "+database+"-wal: make one file of the two with roster backup --db sqlite:"+database+" FILE",
		"restore", "--data", filepath.Join(dir, "other"), database)

	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	succeed(t, nil, "restore", "--data", data, file)
	s = serve(t, nil, "--data", data)
	s.useDefault(t)
	if got := s.must(t, http.StatusOK, "GET", s.users(ada), ""); got.text("title") != "Engineer" {
		t.Errorf("the copy was not restored as it is: %v", got)
	}
	if got := s.list(t, "").Total; got != 1 {
		t.Errorf("got %d users, want 1", got)
	}
	s.finish(t, syscall.SIGTERM, exitOK)
}

func TestRestore_Refused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, good := filepath.Join(dir, "data"), filepath.Join(dir, "good.db")
	s := serve(t, nil, "--data", data)
	s.useDefault(t)
	for i := range 50 { // some pages
		s.must(t, http.StatusCreated, "POST", s.users(""), userBody(fmt.Sprintf("user%d", i), strings.Repeat("long ", 100)))
	}
	s.finish(t, syscall.SIGTERM, exitOK)
	succeed(t, nil, "backup", "--data", data, good)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	make := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	damaged := []byte(string(whole))
	for i := len(damaged) / 2; i < len(damaged)/2+8192; i++ {
		damaged[i] = 0xa5
	}
	newer := make("newer.db", whole)
	sqliteExec(t, newer, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
	foreign, goose := filepath.Join(dir, "foreign.db"), filepath.Join(dir, "goose.db")
	sqliteExec(t, foreign, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
	sqliteExec(t, goose, "CREATE TABLE events (id INTEGER PRIMARY KEY)",
		"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id INTEGER, is_applied INTEGER)", "INSERT INTO goose_db_version VALUES (1, 1, 1)")
	unchanged := folderOf(t, data)
	for _, tt := range []struct{ name, file, want string }{
		{"damaged", make("damaged.db", damaged), "damaged"},
		{"cut off", make("cut.db", whole[:len(whole)*2/3]), "damaged"},
		{"a text", make("text.db", []byte(strings.Repeat("no database at all\n", 100))), "damaged, or no database"},
		{"empty", make("empty.db", nil), "the file is no database of Roster"},
		{"of another program", foreign, "the file is no database of Roster"},
		{"of another program that uses goose too", goose, "the file is no database of Roster"},
		{"newer", newer, "schema version 999 is newer than this program's"},
		{"missing", filepath.Join(dir, "missing.db"), "no such file or directory"},
		{"a folder", dir, "is a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refuse(t, nil, exitError, tt.want, "restore", "--data", data, tt.file)
			if got := folderOf(t, data); !maps.Equal(got, unchanged) {
				t.Errorf("the data folder is no longer as it was: %v, before %v", got, unchanged)
			}
		})
	}
	refuse(t, nil, exitError, "use pg_restore on PostgreSQL", "restore", "--db", "postgres://nobody@127.0.0.1:1/none", good)
	refuse(t, nil, exitUsage, "one FILE is needed, there are 0", "restore", "--data", data)
}

func TestBackup_Refused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "copy.db")
	refuse(t, nil, exitError, "roster.db: no database", "backup", "--data", data, file)
	if _, err := os.Stat(data); err == nil {
		t.Error("a backup of nothing made a data folder")
	}
	succeed(t, nil, "migrate", "--data", data)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, nil, exitError, "file already exists", "backup", "--data", data, file)
	if got, err := os.ReadFile(file); string(got) != "precious" {
		t.Errorf("the file that was there is now %q, %v", got, err)
	}
	refuse(t, nil, exitError, "no such file or directory", "backup", "--data", data, filepath.Join(dir, "none", "copy.db"))
	refuse(t, nil, exitError, "use pg_dump or pg_basebackup on PostgreSQL", "backup", "--db", "postgres://nobody@127.0.0.1:1/none", filepath.Join(dir, "pg.db"))
	if got := folderOf(t, dir); len(got) != 2 {
		t.Errorf("something was left behind: %v", got)
	}
}

// folderOf returns the names in a folder with the sizes and times of the files.
func folderOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = fmt.Sprint(info.Size(), info.ModTime())
	}
	return out
}

// writers change users of their own, one writer each, until they are ended.
type writers struct {
	s    *served
	stop chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex
	more  *sync.Cond
	n     int              // writes that were answered
	users map[string]int64 // the version that each user has at least
}

// writerTitle is what version n of a user has for its title.
func writerTitle(n int64) string { return fmt.Sprintf("title %d", n) }

func startWriters(t *testing.T, s *served) *writers {
	t.Helper()
	w := &writers{s: s, stop: make(chan struct{}), users: make(map[string]int64)}
	w.more = sync.NewCond(&w.mu)
	t.Cleanup(w.end)
	for i := range backupWriters {
		w.wg.Go(func() { w.write(t, fmt.Sprintf("writer%d", i)) })
	}
	return w
}

// write makes a user, changes it nine times, and so on.
func (w *writers) write(t *testing.T, name string) {
	id := ""
	for n := int64(0); ; n++ {
		select {
		case <-w.stop:
			return
		default:
		}
		userName, version := fmt.Sprintf("%s-%d", name, n/10), n%10+1
		method, want := http.MethodPut, http.StatusOK
		if version == 1 {
			id, method, want = "", http.MethodPost, http.StatusCreated
		}
		a, err := w.s.call(t.Context(), method, w.s.users(id), userBody(userName, writerTitle(version)))
		if err != nil || a.status != want || a.version() != version {
			t.Errorf("%s %s: got %v, %v, want %d and version %d", method, userName, a, err, want, version)
			w.mu.Lock() // so that nobody has just looked and not begun to wait
			defer w.mu.Unlock()
			w.more.Broadcast()
			return
		}
		id = a.text("id")
		w.mu.Lock()
		w.n++
		w.users[id] = version
		w.mu.Unlock()
		w.more.Broadcast()
	}
}

// await waits until n writes were answered.
func (w *writers) await(t *testing.T, n int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.n < n {
		if t.Failed() {
			t.FailNow()
		}
		w.more.Wait()
	}
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

func (w *writers) acknowledged() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.users)
}

func (w *writers) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.wg.Wait()
}

func writes(users map[string]int64) (n int64) {
	for _, version := range users {
		n += version
	}
	return n
}

// verifyRestored serves a database that was restored. It must have each user in
// the version of least or a later one, and nothing that is not in most.
func verifyRestored(t *testing.T, data string, least, most map[string]int64) {
	t.Helper()
	if got := sqliteQuery(t, filepath.Join(data, "roster.db"), "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity check: %s", got)
	}
	s := serve(t, nil, "--data", data)
	s.useDefault(t)
	found := 0
	for id, most := range most {
		a, err := s.call(t.Context(), http.MethodGet, s.users(id), "")
		if err != nil {
			t.Fatal(err)
		}
		if a.status == http.StatusNotFound && least[id] == 0 {
			continue
		}
		found++
		version := a.version()
		if a.status != http.StatusOK || version < least[id] || version > most || a.text("title") != writerTitle(version) {
			t.Errorf("user %s: want version %d to %d: %v", id, least[id], most, a)
			continue
		}
		history := s.events(t, "/users/"+id+"/history")
		for i, e := range history {
			if e.Version != int64(len(history)-i) || (e.Operation == roster.OpCreate) != (e.Version == 1) {
				t.Errorf("user %s: event %d of %d is a %s of version %d", id, i+1, len(history), e.Operation, e.Version)
			}
		}
		if int64(len(history)) != version {
			t.Errorf("user %s: version %d has %d events", id, version, len(history))
		}
	}
	if got := s.list(t, "?count=1").Total; got != found {
		t.Errorf("there are %d users, of which %d were written", got, found)
	}
	a := s.must(t, http.StatusCreated, "POST", s.users(""), userBody("after the restore", "new"))
	s.must(t, http.StatusOK, "PUT", a.header.Get("Location")[len(s.url):], userBody("after the restore", "newer"))
	s.must(t, http.StatusNoContent, "DELETE", s.users(a.text("id")), "")
	s.finish(t, syscall.SIGTERM, exitOK)
}
