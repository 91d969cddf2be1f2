package durable

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// No more runs begin in a second than the rate allows, on all nodes together.
func TestEngine_Rate(t *testing.T) {
	onBoth(t, func(t *testing.T, o opener) {
		opts := o.options(nothing)
		opts.Rate = 15
		e := o.open(opts)
		if o.leases != nil {
			o.open(opts)
		}
		var ids []string
		for i := range 25 {
			ids = append(ids, fmt.Sprintf("r%02d", i))
		}
		start(t, e, ids...)
		var times []time.Time
		for _, id := range ids {
			times = append(times, wait(t, e, id).Started)
		}
		slices.SortFunc(times, time.Time.Compare)
		for i := opts.Rate; i < len(times); i++ {
			if d := times[i].Sub(times[i-opts.Rate]); d < time.Second-2*time.Millisecond { // the times are cut to milliseconds
				t.Errorf("%d runs began within %s", opts.Rate+1, d)
			}
		}
	})
}
