package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"lilypad.example/services/pkg/look"
)

// A file is the undecoded policy file. Each upstream and route is decoded separately, so that an
// error names it and does not hide errors of others.
type file struct {
	Brand     look.Brand                 `json:"brand"`
	Upstreams map[string]json.RawMessage `json:"upstreams"`
	Routes    []json.RawMessage          `json:"routes"`
}

// decode decodes YAML text into the struct that to points to. It reports duplicate and unknown
// fields, and values of a wrong type. If whole is false, the struct is incomplete.
func decode(text []byte, to any) (faults []error, whole bool) {
	plain, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return []error{errors.New(strings.ReplaceAll(err.Error(), "\n ", ""))}, false
	}
	faults = unknownFields(plain, reflect.TypeOf(to).Elem(), "")
	if err := yaml.Unmarshal(text, to); err != nil {
		return append(faults, kindFault(err)), false
	}
	return faults, true
}

// kindFault rewrites a type error of encoding/json for the author of a policy.
func kindFault(err error) error {
	kind, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	want := "one value"
	switch kind.Type.Kind() { //nolint:exhaustive // a policy has no other kinds
	case reflect.String:
		want = "text"
	case reflect.Bool:
		want = "true or false"
	case reflect.Slice:
		want = "a list"
	case reflect.Struct, reflect.Map:
		want = "a set of fields"
	}
	if kind.Field == "" {
		return fmt.Errorf("it must be %s", want)
	}
	return fmt.Errorf("%s must be %s", kind.Field, want)
}

// unknownFields returns an error for each field of text, in JSON, that the struct t or a struct in
// it does not have. within is the path of the enclosing field.
func unknownFields(text []byte, t reflect.Type, within string) (faults []error) {
	var given map[string]json.RawMessage
	if json.Unmarshal(text, &given) != nil {
		return nil // not an object
	}
	known := make(map[string]reflect.Type)
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			known[name], names = f.Type, append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch field, ok := known[name]; {
		case !ok:
			faults = append(faults, fmt.Errorf("unknown field %q: use %s", within+name, alternatives(names)))
		case field.Kind() == reflect.Struct:
			faults = append(faults, unknownFields(given[name], field, within+name+".")...)
		case field.Kind() == reflect.Slice && field.Elem().Kind() == reflect.Struct:
			var items []json.RawMessage
			_ = json.Unmarshal(given[name], &items) // a value of another kind is reported by decode
			for i, item := range items {
				faults = append(faults, unknownFields(item, field.Elem(), fmt.Sprintf("%s%s[%d].", within, name, i))...)
			}
		}
	}
	return faults
}

// alternatives lists the known fields for an error message.
func alternatives(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
