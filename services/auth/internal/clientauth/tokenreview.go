package clientauth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

const (
	// Audience is what a ServiceAccount token must have been projected for, so
	// that a pod's ordinary API token is no assertion.
	Audience = "lilypad-auth"
	// maxReviews bounds the questions at the API server at one time (R11).
	maxReviews    = 8
	reviewTimeout = 5 * time.Second
)

// TokenReview checks ServiceAccount tokens at the Kubernetes API server. Its
// client ids are namespace/name.
type TokenReview struct {
	client   rest.Interface
	accounts []string
	slots    chan struct{}
}

// NewTokenReview returns a TokenReview that accepts the given ServiceAccounts,
// each namespace/name, at the cluster of config.
func NewTokenReview(config *rest.Config, accounts []string) (*TokenReview, error) {
	// A scheme of one group, instead of client-go's with every API of
	// Kubernetes, keeps the program a third of the size.
	scheme := runtime.NewScheme()
	if err := authenticationv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("token review: %w", err)
	}
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion = "/apis", &authenticationv1.SchemeGroupVersion
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.Timeout = reviewTimeout
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("token review: %w", err)
	}
	return &TokenReview{client: client, accounts: accounts, slots: make(chan struct{}, maxReviews)}, nil
}

// Check implements Checker. What cannot be one of our accounts' tokens is
// refused without a question to the API server.
func (t *TokenReview) Check(ctx context.Context, assertion string, unverified jwt.RegisteredClaims) (string, time.Time, error) {
	account, ok := serviceAccount(unverified.Subject)
	if !ok || !slices.Contains(t.accounts, account) || !slices.Contains(unverified.Audience, Audience) || unverified.ExpiresAt == nil {
		return "", time.Time{}, ErrInvalid
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return "", time.Time{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: assertion, Audiences: []string{Audience}}}
	if err := t.client.Post().Resource("tokenreviews").Body(review).Do(ctx).Into(review); err != nil {
		return "", time.Time{}, fmt.Errorf("%w: token review: %w", ErrUnavailable, err)
	}
	reviewed, ok := serviceAccount(review.Status.User.Username)
	if !ok || !review.Status.Authenticated || reviewed != account || !slices.Contains(review.Status.Audiences, Audience) {
		return "", time.Time{}, ErrInvalid
	}
	return account, unverified.ExpiresAt.Time, nil
}

// serviceAccount turns a username of Kubernetes into namespace/name.
func serviceAccount(username string) (string, bool) {
	rest, ok := strings.CutPrefix(username, "system:serviceaccount:")
	namespace, name, both := strings.Cut(rest, ":")
	return namespace + "/" + name, ok && both && namespace != "" && name != ""
}
