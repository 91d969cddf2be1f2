package workflow

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// schedules are the words that stand for cron expressions.
var schedules = map[string]string{
	"@hourly":  "0 * * * *",
	"@daily":   "0 0 * * *",
	"@weekly":  "0 0 * * 0",
	"@monthly": "0 0 1 * *",
}

var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// A timetable is a parsed Schedule.
type timetable struct {
	zone *time.Location
	spec *cron.SpecSchedule
	// hourly says that it names no hours: then it follows the time that passes and
	// not the clock on the wall, so that a change of the clock makes no difference.
	hourly bool
}

// parse returns the times of a schedule, or says what is wrong with it.
func (s *Schedule) parse() (*timetable, error) {
	zone := time.UTC
	if s.TimeZone != "" {
		var err error
		// Local would be another time on each machine.
		if zone, err = time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "Local" {
			return nil, fmt.Errorf("there is no time zone %q: it is a name such as Europe/Berlin", s.TimeZone)
		}
	}
	text := strings.TrimSpace(s.Cron)
	if strings.HasPrefix(text, "@") {
		if text = schedules[text]; text == "" {
			return nil, fmt.Errorf("%q is no schedule: there are @hourly, @daily, @weekly and @monthly", s.Cron)
		}
	}
	if strings.Contains(text, "=") { // the parser would take TZ=
		return nil, fmt.Errorf("%q is no cron expression: the time zone has a key of its own", s.Cron)
	}
	parsed, err := cronParser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf(`%q is no cron expression: it is five fields, minute (0-59) hour (0-23) day (1-31) month (1-12) weekday (0-6, sun-sat), such as "30 7 * * mon-fri"`, s.Cron)
	}
	spec := parsed.(*cron.SpecSchedule) // what it makes of fields
	spec.Location = time.UTC
	const everyHour = 1<<24 - 1
	t := &timetable{zone: zone, spec: spec, hourly: spec.Hour&everyHour == everyHour}
	if t.next(time.Unix(0, 0)).IsZero() {
		return nil, fmt.Errorf("%q never comes: no year has such a day", s.Cron)
	}
	return t, nil
}

// Next returns the first time after another at which a schedule of f starts a run;
// the zero time when it has none.
func (f *File) Next(after time.Time) (first time.Time) {
	for _, tr := range f.Triggers {
		if tr.Schedule == nil {
			continue
		}
		times, err := tr.Schedule.parse()
		if err != nil {
			continue // Parse has seen that there is none
		}
		if at := times.next(after); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// next returns the first time of t after another, the zero time when there is
// none. A time that a change of the clock leaves out comes as much later as the
// clock goes forward; one that comes twice counts the first time (RFC 5545
// section 3.3.5).
func (t *timetable) next(after time.Time) time.Time {
	if t.hourly {
		spec := *t.spec
		spec.Location = t.zone
		return spec.Next(after.In(t.zone)).UTC()
	}
	wall := onWall(after.In(t.zone))
	for {
		if wall = t.spec.Next(wall); wall.IsZero() {
			return wall
		}
		if at := atWall(wall, t.zone); at.After(after) {
			return at.UTC()
		}
	}
}

// onWall returns what the clock shows at t as if it were UTC, where no time is
// left out and none comes twice.
func onWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// atWall is the reverse of onWall.
func atWall(wall time.Time, zone *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone)
	// How the clock stood before the change counts: in a gap t may be of either
	// side, and of two times it may be the second.
	switch shown := onWall(t); {
	case shown.After(wall):
		return t
	case shown.Before(wall):
		return wall.Add(-offset(t))
	}
	if start, _ := t.ZoneBounds(); !start.IsZero() {
		if first := wall.Add(-offset(start.Add(-1))); first.Before(start) {
			return first
		}
	}
	return t
}

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}
