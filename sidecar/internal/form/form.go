// Package form keeps a form that was posted after its sender's session had
// ended, until they have signed in again and say that it may be sent (W15).
//
// The form is sealed (AES-256-GCM) with a key made from the refresh token of
// the session that ended. That token is in the sender's browser and nowhere
// else, so the auth service keeps what no reader of its store can open, and finds it
// for the same account only. One request at a time sends it, and it stays until
// the application has answered. Nothing of a form is logged.
package form

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"lilypad.example/services/auth/api"
	"lilypad.example/sidecar/internal/authclient"
)

const (
	// MaxBytes bounds a form: its body and what says where it belongs.
	MaxBytes = 64 << 10
	// purpose tells the key from any other that the same token may come to make.
	purpose = "lilypad kept form v1"
)

// ErrNone says that no form is kept for this browser and this account: it was
// sent or discarded, its time is over, or it was another account's.
var ErrNone = errors.New("form: none is kept")

// ErrClaimed says that the form is being sent at this moment, perhaps from another tab.
var ErrClaimed = authclient.ErrFormClaimed

// ErrUnavailable says that the auth service could not answer: a form may well be kept.
var ErrUnavailable = authclient.ErrUnavailable

// ErrNotKept says that a form could not be kept.
var ErrNotKept = errors.New("form: not kept")

// A Form is a posted form, whole.
type Form struct {
	Target      string // path and query, as they came
	ContentType string
	Body        []byte
}

// Path returns the path of the form's target.
func (f *Form) Path() string {
	path, _, _ := strings.Cut(f.Target, "?")
	return path
}

// BelongsTo reports whether target is where the form was posted to. A page and
// a browser may have written another spelling of it.
func (f *Form) BelongsTo(target string) bool {
	was, err1 := url.PathUnescape(f.Target)
	is, err2 := url.PathUnescape(target)
	return err1 == nil && err2 == nil && was == is
}

// Is reports whether contentType is one that browsers post forms with.
func Is(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/x-www-form-urlencoded" || kind == "multipart/form-data")
}

// seal encrypts f for whoever has token.
func (f *Form) seal(token string) ([]byte, error) {
	c, err := newCipher(token)
	if err != nil {
		return nil, err
	}
	// Neither a target nor a field value has a line end in it.
	plain := fmt.Appendf(nil, "%s\n%s\n", f.Target, f.ContentType)
	if len(plain)+len(f.Body) > MaxBytes {
		return nil, fmt.Errorf("%w: it is too large", ErrNotKept)
	}
	return c.Seal(nil, nil, append(plain, f.Body...), nil), nil //nolint:gosec // this cipher makes a random nonce for each
}

// open decrypts what seal made with the same token.
func open(token string, sealed []byte) (*Form, error) {
	c, err := newCipher(token)
	if err != nil {
		return nil, err
	}
	plain, err := c.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, err
	}
	target, rest, ok1 := bytes.Cut(plain, []byte("\n"))
	contentType, body, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok1 || !ok2 {
		return nil, errors.New("form: not of the form that it is sealed in")
	}
	return &Form{Target: string(target), ContentType: string(contentType), Body: body}, nil
}

func newCipher(token string) (cipher.AEAD, error) {
	// The token holds a MAC of 256 bits that cannot be guessed: it needs no salt.
	key, err := hkdf.Key(sha256.New, []byte(token), nil, purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Auth is the auth service; see authclient.Client, whose errors it has.
type Auth interface {
	KeepForm(ctx context.Context, refreshToken string, sealed []byte) error
	Form(ctx context.Context, authorization, sid string) ([]byte, error)
	ClaimForm(ctx context.Context, authorization, sid, claim string) ([]byte, error)
	SettleForm(ctx context.Context, authorization, sid, claim string, sent bool) error
	DiscardForm(ctx context.Context, authorization, sid string) error
}

// Keeper keeps forms at the auth service.
type Keeper struct{ auth Auth }

// NewKeeper returns a Keeper.
func NewKeeper(auth Auth) *Keeper { return &Keeper{auth} }

// Keep keeps f for whose session the refresh token former was. It fails with
// ErrNotKept.
func (k *Keeper) Keep(ctx context.Context, former string, f Form) error {
	sealed, err := f.seal(former)
	if err != nil {
		return err
	}
	if err := k.auth.KeepForm(ctx, former, sealed); err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

// Look returns the form that is kept for the browser that remembers former and
// the account that authorization speaks for. It fails with ErrNone or ErrUnavailable.
func (k *Keeper) Look(ctx context.Context, authorization, former string) (*Form, error) {
	return opened(former, func(sid string) ([]byte, error) { return k.auth.Form(ctx, authorization, sid) })
}

// A Claim is a form that is being sent: nobody else gets it until Settle, or for two minutes.
type Claim struct {
	Form

	auth               Auth
	authorization, sid string
	id                 string
}

// Claim is Look for who sends the form now. It fails with ErrClaimed, too.
func (k *Keeper) Claim(ctx context.Context, authorization, former string) (*Claim, error) {
	c := &Claim{auth: k.auth, authorization: authorization, sid: api.SessionIDOf(former), id: rand.Text()}
	f, err := opened(former, func(sid string) ([]byte, error) { return k.auth.ClaimForm(ctx, authorization, sid, c.id) })
	if err != nil {
		return nil, err
	}
	c.Form = *f
	return c, nil
}

// Settle ends the claim. A form that was sent is kept no longer, any other one
// can be claimed again.
func (c *Claim) Settle(ctx context.Context, sent bool) error {
	return c.auth.SettleForm(ctx, c.authorization, c.sid, c.id, sent)
}

// Discard forgets the form that Look would return.
func (k *Keeper) Discard(ctx context.Context, authorization, former string) error {
	if former == "" {
		return nil
	}
	return k.auth.DiscardForm(ctx, authorization, api.SessionIDOf(former))
}

func opened(former string, get func(sid string) ([]byte, error)) (*Form, error) {
	if former == "" {
		return nil, ErrNone
	}
	sealed, err := get(api.SessionIDOf(former))
	if errors.Is(err, authclient.ErrNoForm) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, err
	}
	f, err := open(former, sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err) // sealed with another token of the session, or changed
	}
	return f, nil
}

// ConfirmationField is the name of the one field of a Confirmation.
const ConfirmationField = "lilypad-form"

// ConfirmationValue is its value: the session's id, so that no other form is one.
func ConfirmationValue(former string) string { return api.SessionIDOf(former) }

// Confirmation is the form that the page that offers a kept form posts to the
// kept form's own address, in its place.
func Confirmation(former string) string {
	return ConfirmationField + "=" + ConfirmationValue(former)
}
