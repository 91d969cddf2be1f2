package action

import "testing"

func TestNear(t *testing.T) {
	t.Parallel()
	names := []string{"title", "timezone", "update-user", "userName", "to"}
	for _, tt := range []struct{ text, want string }{
		{"titel", "title"}, // two letters swapped are one mistake
		{"tilte", "title"},
		{"titl", "title"},
		{"ttile ", "title"},
		{"UpdateUser", "update-user"},
		{"updaet-usre", "update-user"},
		{"user_nam", "userName"},
		{"timzeone", "timezone"},
		{"table", ""},
		{"ot", ""}, // too short to be told
		{"", ""},
	} {
		if got := Near(tt.text, names); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}
