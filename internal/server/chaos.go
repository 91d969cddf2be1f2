package server

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/roster-scim/roster/scim"
)

// A Chaos makes a server misbehave on purpose, so that clients can be tested
// against it. It is for SCIM routes alone. Each chance is from 0 to 1.
type Chaos struct {
	// Text is what it was parsed from: every answer has it in Roster-Chaos.
	Text string
	// Statuses are answered in the place of what was asked for, which is not
	// done.
	Statuses []ChaosStatus
	// RetryAfter goes with a 429 and a 503. Zero: 1 s.
	RetryAfter time.Duration
	// Latency is waited before anything else, more or less Spread.
	Latency, Spread time.Duration
	// DropBefore is the chance that the connection is closed before the request
	// is done, DropAfter that it is closed instead of answering.
	DropBefore, DropAfter float64

	mu  sync.Mutex
	rnd *rand.Rand
}

// A ChaosStatus is a status with its chance.
type ChaosStatus struct {
	Status int // 400 to 599
	Chance float64
}

// ParseChaos reads "name=value" joined by commas:
//
//	status=429:5%        answer 5 % with this status; may be repeated
//	retry-after=2s       with a 429 and a 503
//	latency=200ms±50ms   wait that long
//	drop-before=1%       close the connection before the request is done
//	drop-after=1%        close it after that, without an answer
//	seed=7               the same luck each time
func ParseChaos(text string) (*Chaos, error) {
	c := &Chaos{Text: strings.ReplaceAll(text, "±", "+-"), rnd: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	total := 0.0
	for part := range strings.SplitSeq(c.Text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return nil, fmt.Errorf("chaos: %q is not name=value, as in status=429:5%%", part)
		}
		var err error
		switch name {
		case "status":
			code, chance, _ := strings.Cut(value, ":")
			s := ChaosStatus{}
			if s.Status, err = strconv.Atoi(code); err != nil || s.Status < 400 || s.Status > 599 {
				return nil, fmt.Errorf("chaos: status %q is not from 400 to 599", code)
			}
			s.Chance, err = parseChance(chance)
			total += s.Chance
			c.Statuses = append(c.Statuses, s)
		case "retry-after":
			c.RetryAfter, err = parseWait(value, 0)
		case "latency":
			wait, spread, _ := strings.Cut(value, "+-")
			if c.Latency, err = parseWait(wait, 0); err == nil && spread != "" {
				c.Spread, err = parseWait(spread, time.Millisecond)
			}
		case "drop-before":
			c.DropBefore, err = parseChance(value)
		case "drop-after":
			c.DropAfter, err = parseChance(value)
		case "seed":
			var seed uint64
			seed, err = strconv.ParseUint(value, 10, 64)
			c.rnd = rand.New(rand.NewPCG(seed, 0))
		default:
			return nil, fmt.Errorf("chaos: no setting %q: there are status, retry-after, latency, drop-before, drop-after and seed", name)
		}
		if err != nil {
			return nil, fmt.Errorf("chaos: %s: %w", name, err)
		}
	}
	if total > 1 {
		return nil, fmt.Errorf("chaos: the chances of the statuses are %.0f %% together", 100*total)
	}
	return c, nil
}

// parseChance reads "5%" or "0.05".
func parseChance(s string) (float64, error) {
	percent, ok := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(percent, 64)
	if ok {
		n /= 100
	}
	if err != nil || !(n >= 0 && n <= 1) {
		return 0, fmt.Errorf("%q is no chance: write one as 5%%", s)
	}
	return n, nil
}

// parseWait reads a duration; a number alone counts units, where there is one.
func parseWait(s string, unit time.Duration) (time.Duration, error) {
	const most = time.Minute
	if n, err := strconv.ParseFloat(s, 64); err == nil && unit > 0 {
		s = strconv.FormatFloat(n*unit.Seconds(), 'f', -1, 64) + "s"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > most {
		return 0, fmt.Errorf("%q is no time from 0 to %v: write one as 200ms", s, most)
	}
	return d, nil
}

// luck returns numbers from 0 to 1: for the wait, the drop before, the status and
// the drop after.
func (c *Chaos) luck() (n [4]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		n[i] = c.rnd.Float64()
	}
	return n
}

// serve does a SCIM request as the chaos has it.
func (c *Chaos) serve(r *request, do func() error) error {
	r.w.Header()["Roster-Chaos"] = []string{c.Text}
	n := c.luck()
	if wait := c.Latency + time.Duration((2*n[0]-1)*float64(c.Spread)); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
	if n[1] < c.DropBefore {
		panic(http.ErrAbortHandler)
	}
	for _, s := range c.Statuses {
		if n[2] >= s.Chance {
			n[2] -= s.Chance
			continue
		}
		if s.Status == 429 || s.Status == 503 {
			seconds := int64((max(c.RetryAfter, time.Second) + time.Second - 1) / time.Second)
			r.w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
		}
		return scim.Errorf(s.Status, "", "this answer is chaos (%s): nothing was done", c.Text)
	}
	if n[3] < c.DropAfter {
		w := r.w
		r.w = &recorder{header: make(http.Header)}
		defer func() { r.w = w }()
		_ = do() // nobody is told
		panic(http.ErrAbortHandler)
	}
	return do()
}
