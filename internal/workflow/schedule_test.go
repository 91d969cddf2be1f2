package workflow

import (
	"strings"
	"testing"
	"time"
)

func TestSchedule_Next(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about, cron, zone, after string
		want                     []string
	}{
		{"every quarter of an hour", "*/15 * * * *", "", "2026-05-01T10:07:00Z", []string{"2026-05-01T10:15:00Z", "2026-05-01T10:30:00Z"}},
		{"a word", "@daily", "", "2026-05-01T00:00:00Z", []string{"2026-05-02T00:00:00Z"}},
		{"weekdays in a zone", "30 7 * * mon-fri", "Europe/Berlin", "2026-05-01T05:30:00Z", []string{"2026-05-04T05:30:00Z", "2026-05-05T05:30:00Z"}},
		{"a zone with half an hour", "0 9 * * *", "Asia/Kolkata", "2026-05-01T00:00:00Z", []string{"2026-05-01T03:30:00Z"}},
		{"a time that is left out comes later, once", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"two that fall on one", "30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"a time that comes twice counts once", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"asked between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", []string{"2026-10-26T01:30:00Z"}},
		{"every hour is every hour when the clock goes forward", "0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		{"and when it goes back", "0 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", []string{"2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"}},
		{"the other half of the world, forward", "30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", []string{"2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"}},
		{"and back", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", []string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		{"a change at midnight", "30 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", []string{"2026-09-06T04:30:00Z", "2026-09-07T03:30:00Z"}},
		{"a leap day", "0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			s := Schedule{Cron: tt.cron, TimeZone: tt.zone}
			table, err := s.parse()
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				at = table.next(at)
				if got := at.Format(time.RFC3339); got != want {
					t.Errorf("time %d: got %s, want %s", i, got, want)
				}
			}
		})
	}
}

func TestSchedule_Refused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ cron, zone, want string }{
		{"", "", "five fields"},
		{"* * * *", "", "five fields"},
		{"0 0 * * * *", "", "five fields"},
		{"61 * * * *", "", "five fields"},
		{"@every 1s", "", "there are @hourly"},
		{"TZ=Europe/Berlin 0 0 * * *", "", "a key of its own"},
		{"0 0 30 2 *", "", "never comes"},
		{"0 0 * * *", "Mars/Olympus", "no time zone"},
		{"0 0 * * *", "Local", "no time zone"},
	} {
		s := Schedule{Cron: tt.cron, TimeZone: tt.zone}
		if _, err := s.parse(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q in %q: got error %v, want one with %q", tt.cron, tt.zone, err, tt.want)
		}
	}
}
