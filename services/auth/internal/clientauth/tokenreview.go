package clientauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

const (
	// Audience is the required audience of ServiceAccount tokens, so that a pod's default API token
	// is not accepted as an assertion.
	Audience = "lilypad-auth"
	// reviewTimeout bounds a review, including its wait in a lane.
	reviewTimeout = 5 * time.Second
	// acceptedLife bounds how long a client is still accepted after its account or pod was deleted.
	acceptedLife = time.Minute
	// refusedLife is short because a lagging API server may refuse a token that is valid a moment
	// later.
	refusedLife = 10 * time.Second
)

// TokenReview checks ServiceAccount tokens with the Kubernetes API server. Its client IDs are
// namespace/name.
//
// Only the API server knows whether the pod and the account of a token still exist, so it reviews
// every token that passes the local checks of claims and signature. Answers are cached, and reviews
// are limited in two lanes (see admission).
type TokenReview struct {
	client    rest.Interface
	accounts  []string
	validator *jwt.Validator
	parser    *jwt.Parser
	cluster   *discovery
	admission *admission

	// flights are the reviews in progress, at most one per token.
	flights singleflight.Group
	// Two caches, so that forged tokens cannot displace accepted ones.
	accepted, refused answers
}

// NewTokenReview returns a TokenReview that accepts the given ServiceAccounts (namespace/name) of
// the cluster of config. It makes no request.
func NewTokenReview(config *rest.Config, accounts []string, log *slog.Logger) (*TokenReview, error) {
	// A scheme with one group, instead of client-go's with every Kubernetes API, reduces the binary
	// to a third.
	scheme := runtime.NewScheme()
	if err := authenticationv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("token review: %w", err)
	}
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion = "/apis", &authenticationv1.SchemeGroupVersion
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.Timeout = reviewTimeout
	c.QPS = -1 // no limit in client-go; admission limits
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("token review: %w", err)
	}
	claims := []jwt.ParserOption{jwt.WithAudience(Audience), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway)}
	return &TokenReview{
		client: client, accounts: accounts, cluster: &discovery{client: client, log: log}, admission: newAdmission(),
		validator: jwt.NewValidator(claims...), parser: jwt.NewParser(jwt.WithStrictDecoding()),
	}, nil
}

// Algorithms implements Checker. It returns the algorithms that API servers can sign with.
func (*TokenReview) Algorithms() []string {
	return []string{
		jwt.SigningMethodES256.Alg(), jwt.SigningMethodES384.Alg(), jwt.SigningMethodES512.Alg(), jwt.SigningMethodRS256.Alg(),
	}
}

// Check implements Checker.
func (t *TokenReview) Check(ctx context.Context, assertion, source string) (string, error) {
	sum := sha256.Sum256([]byte(assertion))
	known, proven := t.accepted.get(sum)
	if proven && time.Now().Before(known.until) {
		return known.account, nil
	}
	if _, refused := t.refused.get(sum); refused {
		return "", ErrInvalid
	}
	token, account, err := t.inspect(assertion)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	signed, err := t.cluster.verify(ctx, token)
	if err != nil {
		return "", err
	}
	// Several requests may wait for the review, so it must not end with the one that started it.
	done := t.flights.DoChan(string(sum[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		return nil, t.ask(ctx, sum, token, account, source, signed || proven)
	})
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case result := <-done:
		if result.Err != nil {
			return "", result.Err
		}
		return account, nil
	}
}

// inspect refuses tokens that cannot belong to one of the accounts.
func (t *TokenReview) inspect(assertion string) (token *jwt.Token, account string, err error) {
	token, _, err = t.parser.ParseUnverified(assertion, jwt.MapClaims{})
	if err != nil {
		return nil, "", err
	}
	if !slices.Contains(t.Algorithms(), token.Method.Alg()) {
		return nil, "", errors.New("alg is not one of an API server")
	}
	if err := t.validator.Validate(token.Claims); err != nil {
		return nil, "", err
	}
	subject, err := token.Claims.GetSubject()
	if err != nil {
		return nil, "", err
	}
	account, ok := serviceAccount(subject)
	if !ok || !slices.Contains(t.accounts, account) {
		return nil, "", errors.New("sub is not a client")
	}
	return token, account, nil
}

// ask returns nil if the API server accepts token for account, and caches the answer. trusted
// reports that the token is known not to be forged.
func (t *TokenReview) ask(ctx context.Context, sum digest, token *jwt.Token, account, source string, trusted bool) error {
	leave, err := t.admission.enter(ctx, source, trusted)
	if err != nil {
		return fmt.Errorf("%w: token review: %w", ErrUnavailable, err)
	}
	accepted, err := t.review(ctx, token.Raw, account)
	leave(err == nil && !accepted)
	now := time.Now()
	switch {
	case err != nil:
		return fmt.Errorf("%w: token review: %w", ErrUnavailable, err)
	case !accepted:
		t.refused.put(sum, answer{expires: now.Add(refusedLife)})
		return ErrInvalid
	}
	expires, err := token.Claims.GetExpirationTime() // validated by inspect
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	t.accepted.put(sum, answer{account: account, until: now.Add(acceptedLife), expires: expires.Time})
	return nil
}

func (t *TokenReview) review(ctx context.Context, token, account string) (bool, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{Audience}}}
	if err := t.client.Post().Resource("tokenreviews").Body(review).Do(ctx).Into(review); err != nil {
		return false, err
	}
	reviewed, ok := serviceAccount(review.Status.User.Username)
	return ok && review.Status.Authenticated && reviewed == account && slices.Contains(review.Status.Audiences, Audience), nil
}

// serviceAccount converts a Kubernetes username to namespace/name.
func serviceAccount(username string) (string, bool) {
	rest, ok := strings.CutPrefix(username, "system:serviceaccount:")
	namespace, name, both := strings.Cut(rest, ":")
	return namespace + "/" + name, ok && both && namespace != "" && name != ""
}
