package server_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

var segment = regexp.MustCompile(`^(.*?)\[([\w$]+)=(.*)\]$`)

// dig follows a path such as /emails[type=work]/0/value.
func dig(js any, path string) (any, bool) {
	for _, seg := range strings.Split(path, "/") {
		if seg == "" {
			continue
		}
		m := segment.FindStringSubmatch(seg)
		key := seg
		if m != nil {
			key = m[1]
		}
		switch cur := js.(type) {
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < -len(cur) || i >= len(cur) {
				return nil, false
			}
			if i < 0 {
				i += len(cur)
			}
			js = cur[i]
		case map[string]any:
			x, ok := cur[key]
			if !ok {
				return nil, false
			}
			js = x
		default:
			return nil, false
		}
		if m == nil {
			continue
		}
		list, _ := js.([]any)
		i := slices.IndexFunc(list, func(x any) bool {
			o, ok := x.(map[string]any)
			return ok && pythonText(o[m[2]]) == m[3]
		})
		if i < 0 {
			return nil, false
		}
		js = list[i]
	}
	return js, true
}

// pythonText is Python's str of a value.
func pythonText(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	}
	return fmt.Sprint(v)
}

// partOf reports whether want is got, or an object whose members got has too.
func partOf(want, got any) bool {
	w, ok := want.(map[string]any)
	g, ok2 := got.(map[string]any)
	if !ok || !ok2 {
		return reflect.DeepEqual(want, got)
	}
	for k, x := range w {
		y, has := g[k]
		if !has || !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

// holds reports whether an assertion is true of what was found.
func holds(op string, found bool, got, want any) bool {
	list, isList := got.([]any)
	text, isText := got.(string)
	object, isObject := got.(map[string]any)
	number, isNumber := got.(float64)
	empty := !found || got == nil || isList && len(list) == 0 || isObject && len(object) == 0
	n, counts := 0, true
	switch {
	case isList:
		n = len(list)
	case isText:
		n = len([]rune(text))
	case isObject:
		n = len(object)
	default:
		counts = empty
	}
	limit, _ := want.(float64)
	has := func() bool {
		if isText {
			return strings.Contains(text, fmt.Sprint(want))
		}
		return isList && slices.ContainsFunc(list, func(x any) bool { return partOf(want, x) })
	}
	switch op {
	case "exists":
		return !empty && got != ""
	case "absent":
		return empty
	case "absentOrBlank":
		return empty || got == ""
	case "eq":
		return found && reflect.DeepEqual(got, want)
	case "ne":
		return !found || !reflect.DeepEqual(got, want)
	case "ieq":
		return found && strings.EqualFold(pythonText(got), pythonText(want))
	case "in":
		return slices.ContainsFunc(want.([]any), func(w any) bool { return w == nil && empty || found && reflect.DeepEqual(got, w) })
	case "len":
		return counts && float64(n) == limit
	case "maxlen":
		return counts && float64(n) <= limit
	case "minlen":
		return counts && float64(n) >= limit
	case "gte":
		return found && isNumber && number >= limit
	case "lte":
		return found && isNumber && number <= limit
	case "matches":
		return found && isText && regexp.MustCompile(want.(string)).MatchString(text)
	case "contains":
		return has()
	case "ncontains":
		return !has()
	case "count":
		w := want.(map[string]any)
		k := 0.0
		for _, x := range list {
			if partOf(w["match"], x) {
				k++
			}
		}
		low, _ := w["min"].(float64)
		high, bounded := w["max"].(float64)
		return k >= low && (!bounded || k <= high)
	case "httpstatus":
		if isObject {
			text, isText = object["code"].(string)
		}
		return isText && slices.ContainsFunc(want.([]any), func(w any) bool { return regexp.MustCompile("^(?:" + w.(string) + ")$").MatchString(text) })
	case "set":
		w, ok := want.([]any)
		if !isList || !ok || len(w) != len(list) {
			return false
		}
		texts := func(l []any) (out []string) {
			for _, x := range l {
				b, _ := json.Marshal(x)
				out = append(out, string(b))
			}
			slices.Sort(out)
			return out
		}
		return slices.Equal(texts(list), texts(w))
	case "type":
		switch want {
		case "string":
			return found && isText
		case "number":
			return found && isNumber
		case "boolean":
			_, ok := got.(bool)
			return found && ok
		case "array":
			return found && isList
		case "object":
			return found && isObject
		}
	}
	panic("unknown op " + op)
}
