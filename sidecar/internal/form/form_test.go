package form_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/form"
)

// store is an auth service with one account.
type store struct {
	forms map[string][]byte // by session
	err   error
	enter chan struct{} // if set, Keep waits here
}

func (s *store) KeepForm(_ context.Context, token string, sealed []byte) error {
	if s.enter != nil {
		s.enter <- struct{}{}
	}
	if s.err != nil {
		return s.err
	}
	s.forms[strings.Split(token, ".")[2]] = sealed
	return nil
}

func (s *store) Form(_ context.Context, _, sid string) ([]byte, error) {
	sealed, ok := s.forms[sid]
	if !ok {
		return nil, authclient.ErrNoForm
	}
	return sealed, s.err
}

func (s *store) TakeForm(ctx context.Context, authorization, sid string) ([]byte, error) {
	sealed, err := s.Form(ctx, authorization, sid)
	delete(s.forms, sid)
	return sealed, err
}

const token = "v1.k1.AAAAAAAAAAAAAAAAAAAAAA.7.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA"

func letter() (form.Form, error) {
	return form.Form{Target: "/letters?draft=1", ContentType: "multipart/form-data; boundary=b", Body: []byte("a\nb\n\n\x00planted")}, nil
}

func kept(t *testing.T) (*form.Keeper, *store) {
	t.Helper()
	s := &store{forms: map[string][]byte{}}
	k := form.NewKeeper(s)
	if err := k.Keep(t.Context(), token, letter); err != nil {
		t.Fatal(err)
	}
	return k, s
}

func TestW15_WhatIsTakenIsWhatWasKept(t *testing.T) {
	k, s := kept(t)
	want, _ := letter()
	for range 2 {
		if f, err := k.Look(t.Context(), "", token); err != nil || f.Path() != "/letters" {
			t.Errorf("%+v, %v", f, err)
		}
	}
	for _, sealed := range s.forms {
		if bytes.Contains(sealed, []byte("planted")) || bytes.Contains(sealed, []byte("letters")) {
			t.Errorf("readable: %q", sealed)
		}
	}
	f, err := k.Take(t.Context(), "", token)
	if err != nil || f.Target != want.Target || f.ContentType != want.ContentType || !bytes.Equal(f.Body, want.Body) {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := k.Take(t.Context(), "", token); !errors.Is(err, form.ErrNone) {
		t.Errorf("a second time: %v", err)
	}
}

func TestW15_TheSameFormIsNeverSealedAlike(t *testing.T) {
	_, a := kept(t)
	_, b := kept(t)
	for sid := range a.forms {
		if bytes.Equal(a.forms[sid], b.forms[sid]) {
			t.Error("a nonce came twice")
		}
	}
}

func TestW15_OnlyTheTokenItselfOpensAForm(t *testing.T) {
	for name, other := range map[string]string{
		"another generation": strings.Replace(token, ".7.", ".8.", 1),
		"another MAC":        strings.Replace(token, "BA", "CA", 1),
		"another key":        strings.Replace(token, "k1", "k2", 1),
		"another session":    strings.Replace(token, "AAAA", "AAAB", 1),
		"nothing":            "",
	} {
		k, _ := kept(t)
		if _, err := k.Take(t.Context(), "", other); !errors.Is(err, form.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestW15_AChangedFormIsNone(t *testing.T) {
	_, s := kept(t)
	var sealed []byte
	for _, v := range s.forms {
		sealed = v
	}
	for i := range sealed {
		k, s := kept(t)
		for sid, v := range s.forms {
			s.forms[sid] = slices.Clone(v)
			s.forms[sid][i] ^= 1
		}
		if _, err := k.Look(t.Context(), "", token); !errors.Is(err, form.ErrNone) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for _, short := range [][]byte{nil, {}, sealed[:8], sealed[:len(sealed)-1], append(slices.Clone(sealed), 0)} {
		k, s := kept(t)
		for sid := range s.forms {
			s.forms[sid] = short
		}
		if _, err := k.Look(t.Context(), "", token); !errors.Is(err, form.ErrNone) {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
}

func TestW15_WhatCannotBeKept(t *testing.T) {
	k, s := kept(t)
	for name, size := range map[string]int{"at the cap": form.MaxBytes, "above it": form.MaxBytes + 1} {
		err := k.Keep(t.Context(), token, func() (form.Form, error) {
			return form.Form{Target: "/a", ContentType: "b/c", Body: make([]byte, size-len("/a\nb/c\n"))}, nil
		})
		if (err == nil) != (name == "at the cap") || err != nil && !errors.Is(err, form.ErrNotKept) {
			t.Errorf("%s: %v", name, err)
		}
	}
	unreadable := errors.New("unreadable")
	if err := k.Keep(t.Context(), token, func() (form.Form, error) { return form.Form{}, unreadable }); !errors.Is(err, unreadable) {
		t.Errorf("%v", err)
	}
	s.err = authclient.ErrUnavailable
	if err := k.Keep(t.Context(), token, letter); !errors.Is(err, form.ErrNotKept) {
		t.Errorf("%v", err)
	}
	if _, err := k.Look(t.Context(), "", token); !errors.Is(err, form.ErrUnavailable) || errors.Is(err, form.ErrNone) {
		t.Errorf("an outage is no missing form: %v", err)
	}
}

func TestR11_FormsInMemoryAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{err: errors.New("enough"), enter: make(chan struct{})}
		k := form.NewKeeper(s)
		results := make(chan error, 100)
		for range 100 {
			go func() { results <- k.Keep(t.Context(), token, letter) }()
		}
		synctest.Wait() // as many as may are waiting in the store
		refused := len(results)
		if refused < 50 || refused > 99 {
			t.Errorf("%d of 100 at once were refused", refused)
		}
		for range 100 - refused {
			<-s.enter
		}
		synctest.Wait()
		if err := func() error { s.enter = nil; return k.Keep(t.Context(), token, letter) }(); !errors.Is(err, s.err) {
			t.Errorf("no room after all have gone: %v", err)
		}
	})
}

func TestW15_BelongsToIsAboutTheAddressNotItsSpelling(t *testing.T) {
	f := form.Form{Target: "/a(b)?q='x'"}
	for target, want := range map[string]bool{
		"/a(b)?q='x'": true, "/a%28b%29?q=%27x%27": true, "/a(b)": false, "/a(b)?q='y'": false, "/A(b)?q='x'": false, "/%zz": false, "": false,
	} {
		if f.BelongsTo(target) != want {
			t.Errorf("%s: %v", target, !want)
		}
	}
}

func TestIs(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/x-www-form-urlencoded": true, "application/x-www-form-urlencoded; charset=UTF-8": true, "multipart/form-data; boundary=x": true,
		"": false, "text/plain": false, "application/json": false, "multipart/mixed; boundary=x": false, ";;": false,
	} {
		if form.Is(contentType) != want {
			t.Errorf("%q: %v", contentType, !want)
		}
	}
}
