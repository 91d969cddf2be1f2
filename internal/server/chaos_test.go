package server_test

import (
	"errors"
	"io"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/roster-scim/roster/internal/server"
	"github.com/roster-scim/roster/scim"
)

func chaos(t *testing.T, text string) server.Options {
	t.Helper()
	c, err := server.ParseChaos(text)
	if err != nil {
		t.Fatal(err)
	}
	return server.Options{Chaos: c}
}

func TestChaos_Statuses(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	d = d.on(w.serveToo(t, chaos(t, "status=429:25%,status=500:0.25,retry-after=1500ms,seed=7")))
	const n = 400
	got := map[int]float64{}
	for range n {
		r := d.get("/Users").headerIs("Roster-Chaos", "status=429:25%,status=500:0.25,retry-after=1500ms,seed=7")
		got[r.status]++
		if r.status == 429 {
			r.refused(429, "", "chaos").headerIs("Retry-After", "2")
		}
	}
	for status, want := range map[int]float64{200: n / 2, 429: n / 4, 500: n / 4} {
		if math.Abs(got[status]-want) > n/10 {
			t.Errorf("%d answers with %d of %d, want about %v", int(got[status]), status, n, want)
		}
	}
	// What is no SCIM is left alone.
	for range 20 {
		d.at("/api/v1/directories/"+d.id).get("").want(200).headerIs("Roster-Chaos", "")
	}
}

// A drop before leaves nothing done, a drop after what was asked for; neither
// answers.
func TestChaos_Drops(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	for _, tt := range []struct {
		text string
		done float64
	}{{"drop-before=100%", 0}, {"drop-after=100%", 1}} {
		broken := d.on(w.serveToo(t, chaos(t, tt.text)))
		_, err := broken.try(t.Context(), "POST", "/Users", user(tt.text))
		var netErr *url.Error
		if !errors.As(err, &netErr) || !errors.Is(err, io.EOF) {
			t.Errorf("%s: got error %v, want a lost connection", tt.text, err)
		}
		d.get("/Users?count=0&filter="+url.QueryEscape(`userName eq "`+tt.text+`"`)).has("totalResults", tt.done)
	}
}

func TestChaos_Latency(t *testing.T) {
	w := onSQLite(t)
	d := w.directory(t, scim.Standard)
	const wait = 50 * time.Millisecond
	d = d.on(w.serveToo(t, chaos(t, "latency=60ms±10")))
	start := time.Now()
	d.get("/Users").want(200)
	if took := time.Since(start); took < wait {
		t.Errorf("answered after %v, want no less than %v", took, wait)
	}
}

func TestParseChaos_Errors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "status", "status=429", "status=429:101%", "status=200:5%", "status=600:5%", "status=x:5%", "status=429:-1%", "status=429:NaN",
		"status=429:60%,status=503:60%", "latency=1", "latency=-1s", "latency=2m", "latency=1s±x", "drop-before=2", "drop-after=", "seed=-1", "luck=5%",
	} {
		if c, err := server.ParseChaos(text); err == nil || !strings.HasPrefix(err.Error(), "chaos: ") {
			t.Errorf("%q: got %v, %v", text, c, err)
		}
	}
}
