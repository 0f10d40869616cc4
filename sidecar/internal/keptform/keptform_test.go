package keptform_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"lilypad.example/sidecar/internal/authclient"
	"lilypad.example/sidecar/internal/keptform"
)

// store is an auth service with one account.
type store struct {
	forms map[string][]byte // by session
	claim string            // of the form that is being sent
	err   error
}

func (s *store) KeepForm(_ context.Context, token string, sealed []byte) error {
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

func (s *store) ClaimForm(ctx context.Context, authorization, sid, claim string) ([]byte, error) {
	if s.claim != "" {
		return nil, authclient.ErrFormClaimed
	}
	sealed, err := s.Form(ctx, authorization, sid)
	if err == nil {
		s.claim = claim
	}
	return sealed, err
}

func (s *store) SettleForm(_ context.Context, _, sid, claim string, sent bool) error {
	if claim == s.claim {
		s.claim = ""
		if sent {
			delete(s.forms, sid)
		}
	}
	return s.err
}

func (s *store) DiscardForm(_ context.Context, _, sid string) error {
	delete(s.forms, sid)
	return s.err
}

const token = "v1.k1.AAAAAAAAAAAAAAAAAAAAAA.7.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA"

func letter() keptform.Form {
	return keptform.Form{Target: "/letters?draft=1", ContentType: "multipart/form-data; boundary=b", Body: []byte("a\nb\n\n\x00planted")}
}

func kept(t *testing.T) (*keptform.Keeper, *store) {
	t.Helper()
	s := &store{forms: map[string][]byte{}}
	k := keptform.NewKeeper(s)
	if err := k.Keep(t.Context(), token, letter()); err != nil {
		t.Fatal(err)
	}
	return k, s
}

func TestWhatIsClaimedIsWhatWasKept(t *testing.T) {
	k, s := kept(t)
	want := letter()
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
	first := claim(t, k)
	if first.Target != want.Target || first.ContentType != want.ContentType || !bytes.Equal(first.Body, want.Body) {
		t.Errorf("%+v", first)
	}
	if _, err := k.Claim(t.Context(), "", token); !errors.Is(err, keptform.ErrClaimed) {
		t.Errorf("claimed twice: %v", err)
	}
	if err := first.Settle(t.Context(), false); err != nil {
		t.Error(err)
	}
	if err := claim(t, k).Settle(t.Context(), true); err != nil {
		t.Error(err)
	}
	if _, err := k.Claim(t.Context(), "", token); !errors.Is(err, keptform.ErrNone) {
		t.Errorf("after it was sent: %v", err)
	}
}

func claim(t *testing.T, k *keptform.Keeper) *keptform.Claim {
	t.Helper()
	c, err := k.Claim(t.Context(), "", token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheSameFormIsNeverSealedAlike(t *testing.T) {
	_, a := kept(t)
	_, b := kept(t)
	for sid := range a.forms {
		if bytes.Equal(a.forms[sid], b.forms[sid]) {
			t.Error("a nonce came twice")
		}
	}
}

func TestOnlyTheTokenItselfOpensAForm(t *testing.T) {
	for name, other := range map[string]string{
		"another generation": strings.Replace(token, ".7.", ".8.", 1),
		"another MAC":        strings.Replace(token, "BA", "CA", 1),
		"another key":        strings.Replace(token, "k1", "k2", 1),
		"another session":    strings.Replace(token, "AAAA", "AAAB", 1),
		"nothing":            "",
	} {
		k, _ := kept(t)
		if _, err := k.Claim(t.Context(), "", other); !errors.Is(err, keptform.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAChangedFormIsNone(t *testing.T) {
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
		if _, err := k.Look(t.Context(), "", token); !errors.Is(err, keptform.ErrNone) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for _, short := range [][]byte{nil, {}, sealed[:8], sealed[:len(sealed)-1], append(slices.Clone(sealed), 0)} {
		k, s := kept(t)
		for sid := range s.forms {
			s.forms[sid] = short
		}
		if _, err := k.Look(t.Context(), "", token); !errors.Is(err, keptform.ErrNone) {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
}

func TestWhatCannotBeKept(t *testing.T) {
	k, s := kept(t)
	for name, size := range map[string]int{"at the cap": keptform.MaxBytes, "above it": keptform.MaxBytes + 1} {
		err := k.Keep(t.Context(), token, keptform.Form{Target: "/a", ContentType: "b/c", Body: make([]byte, size-len("/a\nb/c\n"))})
		if (err == nil) != (name == "at the cap") || err != nil && !errors.Is(err, keptform.ErrNotKept) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.err = authclient.ErrUnavailable
	if err := k.Keep(t.Context(), token, letter()); !errors.Is(err, keptform.ErrNotKept) {
		t.Errorf("%v", err)
	}
	if _, err := k.Look(t.Context(), "", token); !errors.Is(err, keptform.ErrUnavailable) || errors.Is(err, keptform.ErrNone) {
		t.Errorf("an outage is no missing form: %v", err)
	}
}

func TestBelongsToIsAboutTheAddressNotItsSpelling(t *testing.T) {
	f := keptform.Form{Target: "/a(b)?q='x'"}
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
		if keptform.Is(contentType) != want {
			t.Errorf("%q: %v", contentType, !want)
		}
	}
}
