package client

import (
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// field draws a Field in any of its states.
func field[T any](value *rapid.Generator[T]) *rapid.Generator[Field[T]] {
	return rapid.Custom(func(t *rapid.T) Field[T] {
		switch rapid.IntRange(0, 3).Draw(t, "state") {
		case 0:
			return Field[T]{}
		case 1:
			return Null[T]()
		}
		return Set(value.Draw(t, "value"))
	})
}

func multiValues() *rapid.Generator[[]MultiValue] {
	texts := field(rapid.String())
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) MultiValue {
		return MultiValue{texts.Draw(t, "value"), texts.Draw(t, "display"), texts.Draw(t, "type"), field(rapid.Bool()).Draw(t, "primary"), nil}
	}), 0, 3)
}

// aUser draws a user whose attributes are in any state.
func aUser(t *rapid.T) *User {
	texts := field(rapid.String())
	return &User{
		UserName: rapid.StringN(1, 8, -1).Draw(t, "userName"), ExternalID: texts.Draw(t, "externalId"),
		DisplayName: texts.Draw(t, "displayName"), NickName: texts.Draw(t, "nickName"), Title: texts.Draw(t, "title"),
		Active: field(rapid.Bool()).Draw(t, "active"),
		Emails: field(multiValues()).Draw(t, "emails"), PhoneNumbers: field(multiValues()).Draw(t, "phoneNumbers"),
		Name: field(rapid.Custom(func(t *rapid.T) Name {
			return Name{GivenName: texts.Draw(t, "givenName"), FamilyName: texts.Draw(t, "familyName")}
		})).Draw(t, "name"),
	}
}

// states compares Fields by what they are.
var states = cmp.Exporter(func(reflect.Type) bool { return true })

func TestField_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := aUser(t)
		data, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		var back, loose User
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if err := loose.read(data); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if diff := cmp.Diff(&back, u, states); diff != "" {
			t.Fatalf("(-got +want):\n%s", diff)
		}
		if diff := cmp.Diff(&loose, u, states); diff != "" {
			t.Fatalf("read loosely (-got +want):\n%s", diff)
		}
	})
}

// What a service shows of a user that was sent covers it, and after another
// change of one attribute it does not.
func TestCovers_WhatWasSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := aUser(t)
		body, err := u.body()
		if err != nil {
			t.Fatal(err)
		}
		var shown User
		if err := shown.read(body); err != nil {
			t.Fatal(err)
		}
		shown.ID, shown.Locale = "u1", Set("en")
		if !covers(&shown, u) {
			t.Fatalf("%s does not cover itself", body)
		}
		u.Title = Set(shown.Title.Value() + "x")
		if covers(&shown, u) {
			t.Fatalf("%s covers another title", body)
		}
	})
}
